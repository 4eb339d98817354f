"""Leftovers of killed runs in an output folder: partial files and folders."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

# Names of unfinished files of this project, and of the engine's temporary files.
_UNFINISHED = re.compile(r"\.(tmp|partial)(\.[a-z]+)?$|\.duckdb\.[^/]*\.tmp[^/]*$")
_REPLACING = re.compile(r"\.(new|old)$")
_SPILL = "spill"  # folder for data that exceeds memory
# Files of other tools, or settings that a started command still needs.
_KEPT = re.compile(r"^(mlartifacts|mlflow[.]db.*|prefect[.]db.*|config[.]yaml.*)$")


def leftovers(output: Path) -> list[Path]:
    """Return unfinished files and folders; the caller holds the output folder's lock.

    A ``.new`` or ``.old`` folder counts only if the replaced folder exists; otherwise it may be the
    only complete one.
    """
    return list(_unfinished(output, top=True))


def _unfinished(folder: Path, *, top: bool = False) -> Iterator[Path]:
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if (top and _KEPT.match(path.name)) or path.is_symlink():
            continue
        replaced_name = _REPLACING.search(path.name)
        if top and path.name == _SPILL:
            yield from sorted(path.iterdir())
        elif _UNFINISHED.search(path.name) or (
            replaced_name and path.is_dir() and path.with_suffix("").exists()
        ):
            yield path
        elif path.is_dir():
            yield from _unfinished(path)


def remove_leftover(place: Path) -> None:
    """Remove a file or folder."""
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
