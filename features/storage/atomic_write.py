"""Atomic replacement of folders; an interrupted replacement fixes it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from features.storage.fault_injection import boundary


def new_folder_of(place: Path) -> Path:
    """Return the folder in which the next content of `place` is written."""
    return place.with_name(f"{place.name}.new")


def replace_folder(place: Path, *, whole: str) -> None:
    """Replace a folder by its new version, and remove the old one.

    Parameters
    ----------
    place
        The folder that others read.
    whole
        File, relative to the folder, that is written last; it marks the new folder as complete.
    """
    new_folder, old_folder = new_folder_of(place), _old_folder_of(place)
    if not (new_folder / whole).is_file():
        raise ValueError(f"{new_folder} has no {whole}")
    boundary(f"{place.name}: fresh is whole")
    shutil.rmtree(old_folder, ignore_errors=True)
    if place.exists():
        os.replace(place, old_folder)
    boundary(f"{place.name}: old is aside")
    os.replace(new_folder, place)
    boundary(f"{place.name}: fresh is in place")
    shutil.rmtree(old_folder, ignore_errors=True)


def remove_path(place: Path) -> None:
    """Remove a file, a folder with its content, or a link; a missing path is ignored."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def _old_folder_of(place: Path) -> Path:
    return place.with_name(f"{place.name}.old")


def finish_replacement(place: Path, *, whole: str) -> Path:
    """Complete an interrupted `replace_folder`, and return the folder."""
    new_folder = new_folder_of(place)
    if not place.exists() and (new_folder / whole).is_file():
        os.replace(new_folder, place)
    return place


def remove_replacement_leftovers(place: Path, *, whole: str) -> Path:
    """Complete an interrupted replacement, remove leftovers, and return the folder."""
    finish_replacement(place, whole=whole)
    shutil.rmtree(new_folder_of(place), ignore_errors=True)
    if place.exists():
        shutil.rmtree(_old_folder_of(place), ignore_errors=True)
    return place
