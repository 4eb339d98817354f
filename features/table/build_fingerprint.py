"""Stored snapshots of other code or settings: they are built anew, though no event has changed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from features.config.config import Config
from features.plugins import plugins
from features.table.feature_columns import columns, expected_spec
from features.table.feature_store import FOLDER, drop_snapshots

MARK = "built_by"  # beside the snapshots
CODE = Path(__file__).parent


def column_names(config: Config) -> list[str]:
    """All feature columns that a config asks for, whether or not its data have them yet."""
    return [column.name for column in columns(expected_spec(config))]


def built_by(config: Config, code: Path = CODE) -> str:
    """Hash of what stored snapshots depend on, besides the tallies that they are built from.

    The tallies are guarded by the config's own hash; to read all events again because a family of
    features was written would take too long.

    Parameters
    ----------
    config
        The data set.
    code
        Folder of the modules that build features.
    """
    found = hashlib.sha256()
    for path in sorted(code.rglob("*.py")):
        found.update(path.read_bytes())
    for plugin in (*plugins("families"), *plugins("measures")):
        found.update(plugin.code)
    # Families may be added in memory, by a notebook for one.
    found.update(json.dumps([column_names(config), config.churn.by]).encode())
    return found.hexdigest()


def drop_outdated(output: Path, config: Config) -> int:
    """Remove the snapshots that other code or settings have built; gives how many there were.

    The caller holds the output folder.
    """
    folder = output / FOLDER
    mark, now = folder / MARK, built_by(config)
    if mark.is_file() and mark.read_text(encoding="utf-8") == now:
        return 0
    dropped = drop_snapshots(folder, after=-1)
    if folder.is_dir():
        # Last: killed before, the next run drops again what is built in between.
        mark.write_text(now, encoding="utf-8")
    return dropped
