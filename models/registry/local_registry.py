"""Versions of a registered model and their places, read from a local ``mlflow.db``.

Without importing MLflow, which takes seconds of processor: most of a command that only looks.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from models.registry.version import Version

Answer = TypeVar("Answer")
_ARTIFACTS = "select storage_location from model_versions where name = ? and version = ?"
_VERSIONS = (
    "select version, run_id, description, creation_time from model_versions "
    "where name = ? and current_stage <> 'Deleted_Internal' order by version desc"
)


def local_versions(output: Path, name: str) -> list[Version] | None:
    """All versions of a registered model, the newest first.

    Returns
    -------
    list of Version or None
        As `models.registry.registry.versions`; None if the registry is elsewhere, or its database
        is not readable, so that MLflow itself has to be asked.
    """
    return _asked(output, lambda rows: list(_versions(rows, name)))


def local_artifacts(output: Path, name: str, version: int) -> Path | None:
    """Folder of a version's artifacts; None if it, or the registry, is not on this machine."""
    locations = _asked(output, lambda rows: rows.execute(_ARTIFACTS, (name, version)).fetchall())
    folder = Path(locations[0][0] or "") if locations else None
    return folder if folder is not None and (folder / "code").is_dir() else None


def _asked(output: Path, ask: Callable[[sqlite3.Connection], Answer]) -> Answer | None:
    """An answer of the local database; None if the registry is elsewhere, or it is not readable."""
    database = output / "mlflow.db"
    if not database.is_file() or any(
        os.environ.get(variable) for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
    ):
        return None
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as rows:
            return ask(rows)
    except sqlite3.Error:
        return None


def _versions(rows: sqlite3.Connection, name: str) -> Iterator[Version]:
    aliases: dict[int, list[str]] = {}
    for alias, version in rows.execute(
        "select alias, version from registered_model_aliases where name = ?", (name,)
    ):
        aliases.setdefault(int(version), []).append(alias)
    tags: dict[int, dict[str, str]] = {}
    for key, value, version in rows.execute(
        "select key, value, version from model_version_tags where name = ?", (name,)
    ):
        tags.setdefault(int(version), {})[key] = value
    for version, run_id, description, created_at in rows.execute(_VERSIONS, (name,)):
        yield Version(
            name=name,
            version=int(version),
            run_id=run_id or "",
            aliases=tuple(sorted(aliases.get(version, ()))),
            tags=tags.get(version, {}),
            description=description or "",
            created_at=int(created_at),
        )
