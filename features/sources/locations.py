"""Where tables are: their names for messages, and the files behind them."""

from __future__ import annotations

import filecmp
import os
from collections.abc import Sequence
from pathlib import Path

from features.config.sources import DatasetTable, Location, UrlTable
from features.errors import UserError


def describe_location(location: Location) -> str:
    """Return a table's name for messages, without a URL's user, password and query."""
    if isinstance(location, DatasetTable):
        return f"{location.dataset}.{location.table}"
    if isinstance(location, UrlTable):
        return f"{location.url.split('://', maxsplit=1)[0]}://... table {location.table}"
    if isinstance(location, tuple):
        further_files = f" and {len(location) - 1} more" if len(location) > 1 else ""
        return f"{_short_name(location[0])}{further_files}"
    return _short_name(location)


def _short_name(location: str) -> str:
    """Return the file's name; for ``events/*.parquet`` with its folder."""
    path = Path(location)
    name_parts = path.parts[-2:] if path.stem == "*" else path.parts[-1:]
    return "/".join(name_part for name_part in name_parts if name_part != path.anchor)


def duplicate_files(file_names: Sequence[str]) -> dict[str, str]:
    """Map files whose content was delivered twice to the first file with that content."""
    by_size: dict[int, list[str]] = {}
    first_copies: dict[str, str] = {}
    for file_name in file_names:
        same_size = by_size.setdefault(os.path.getsize(file_name), [])
        same_content = [
            earlier for earlier in same_size if filecmp.cmp(file_name, earlier, shallow=False)
        ]
        if same_content:
            first_copies[file_name] = same_content[0]
        else:
            same_size.append(file_name)
    return first_copies


def distinct_files(location: str | tuple[str, ...]) -> list[str]:
    """Return the paths of the files at a location, without files of identical content.

    Raises
    ------
    UserError
        Where there is none.
    """
    file_names = existing_files(location)
    duplicates = duplicate_files(file_names)
    return [file_name for file_name in file_names if file_name not in duplicates]


def existing_files(location: str | tuple[str, ...]) -> list[str]:
    """Return the paths of all files at a location.

    Raises
    ------
    UserError
        Where there is none.
    """
    if isinstance(location, tuple):
        return list(
            dict.fromkeys(file_name for part in location for file_name in existing_files(part))
        )
    path = Path(location)
    if path.is_file():
        return [str(path)]
    is_pattern = bool(path.name) and path.name != ".." and path.parent.is_dir()
    candidates = sorted(path.parent.glob(path.name)) if is_pattern else []
    file_names = [str(file) for file in candidates if file.is_file()]
    if not file_names:
        raise UserError(
            f"file {path}",
            found="a folder" if path.is_dir() else "no such file",
            expected="a csv, parquet, json lines or spreadsheet file (or a glob of them)",
            hint="check the path; relative paths start at the config's folder",
        )
    return file_names
