"""The parts of a registered scorer, read from a local registry without importing MLflow."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.registry.artifact_integrity import MANIFEST_TAG, check_seal
from models.registry.local_registry import local_artifacts, local_versions
from models.registry.logged_code import importable_folders


@dataclass(frozen=True)
class ScorerParts:
    """What explains and describes scores: a scorer without MLflow's model around it.

    Attributes
    ----------
    parts
        The scorer's parts, by name of their task.
    head
        Facts of the whole scorer (see `models.scorer.artifacts`).
    folder
        Its artifacts on this machine.
    """

    parts: Mapping[str, Any]
    head: Mapping[str, Any]
    folder: Path


def local_scorer(output: Path, name: str, version: int) -> ScorerParts | None:
    """Parts of a version, by the code that was logged with it.

    Returns
    -------
    ScorerParts or None
        None if registry or artifacts are elsewhere, or do not load: MLflow has to be asked, and
        says why.
    """
    tags = [row.tags for row in local_versions(output, name) or () if row.version == version]
    folder = local_artifacts(output, name, version)
    if not tags or MANIFEST_TAG not in tags[0] or folder is None:
        return None
    try:
        check_seal(folder, tags[0][MANIFEST_TAG])
        (package,) = (path.name for path in (folder / "code").iterdir() if path.is_dir())
        with importable_folders(folder / "code"):
            logged_code = importlib.import_module(f"{package}.artifacts")
        parts, head = logged_code.load_scorer(folder / "artifacts" / "scorer")
    except (OSError, ValueError, KeyError, ImportError):
        return None
    return ScorerParts(parts, head, folder)
