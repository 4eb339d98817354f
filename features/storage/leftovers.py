"""What killed runs leave behind in an output folder: parts of files, and folders in the making."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

# As every writer of the project names what is not whole yet, and the engine its temporary files.
_UNFINISHED = re.compile(r"\.(tmp|partial)(\.[a-z]+)?$|\.duckdb\.[^/]*\.tmp[^/]*$")
_REPLACING = re.compile(r"\.(new|old)$")
SPILL = "spill"  # what did not fit in memory
# Not ours, or settings that a started command still needs.
_KEPT = re.compile(r"^(mlartifacts|mlflow[.]db.*|prefect[.]db.*|config[.]yaml.*)$")


def leftovers(output: Path) -> list[Path]:
    """Files and folders that nobody will finish; the caller holds the folder.

    A folder that is replaced by another is one only where both are there: else the one that is left
    may be the whole one.
    """
    return list(_unfinished(output, top=True))


def _unfinished(folder: Path, *, top: bool = False) -> Iterator[Path]:
    for place in sorted(folder.iterdir()) if folder.is_dir() else []:
        if (top and _KEPT.match(place.name)) or place.is_symlink():
            continue
        replacing = _REPLACING.search(place.name)
        if top and place.name == SPILL:
            yield from sorted(place.iterdir())
        elif _UNFINISHED.search(place.name) or (
            replacing and place.is_dir() and place.with_suffix("").exists()
        ):
            yield place
        elif place.is_dir():
            yield from _unfinished(place)


def remove(place: Path) -> None:
    """Remove a file or folder."""
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
