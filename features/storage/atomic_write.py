"""A folder replaced by another as good as at once: killed in between, the next look fixes it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from features.storage.fault_injection import boundary


def fresh_of(place: Path) -> Path:
    """Where the content of the next `place` is made."""
    return place.with_name(f"{place.name}.new")


def replace_folder(place: Path, *, whole: str) -> None:
    """Put the fresh folder in the place of the old one, which is removed.

    Parameters
    ----------
    place
        The folder that others read.
    whole
        File, relative to the folder, that is written last: it says that the fresh one is whole.
    """
    fresh, old = fresh_of(place), _old_of(place)
    if not (fresh / whole).is_file():
        raise ValueError(f"{fresh} has no {whole}")
    boundary(f"{place.name}: fresh is whole")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        os.replace(place, old)
    boundary(f"{place.name}: old is aside")
    os.replace(fresh, place)
    boundary(f"{place.name}: fresh is in place")
    shutil.rmtree(old, ignore_errors=True)


def remove(place: Path) -> None:
    """Remove a file, a folder with all it holds, or nothing; of a link only the link itself."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def _old_of(place: Path) -> Path:
    return place.with_name(f"{place.name}.old")


def settled(place: Path, *, whole: str) -> Path:
    """The folder, once what a killed `replace_folder` left has been brought to its end."""
    fresh = fresh_of(place)
    if not place.exists() and (fresh / whole).is_file():
        os.replace(fresh, place)
    return place


def cleared(place: Path, *, whole: str) -> Path:
    """The folder as `settled` gives it, and nothing beside it; for the one who may write it."""
    settled(place, whole=whole)
    shutil.rmtree(fresh_of(place), ignore_errors=True)
    if place.exists():
        shutil.rmtree(_old_of(place), ignore_errors=True)
    return place
