"""Check sums of stored tables: a file that changed on disk is refused.

Each file has its sum beside it, in a hidden file that folder readers ignore. Files are checked when
read, once per process unless they change.
"""

from __future__ import annotations

import hashlib
import os
from functools import lru_cache
from pathlib import Path

from features.errors import UserError


def write_sums(path: Path) -> None:
    """Write the check sum of a file, or of every parquet file in a folder, beside it."""
    for file in _files(path):
        _sum_file(file).write_text(_sum(file), encoding="ascii")


def write_sum_before_rename(content: Path, file: Path) -> None:
    """Write the check sum for `file` from content that is about to be renamed to it."""
    sum_file = _sum_file(file)
    partial = sum_file.with_name(f"{content.name}.sum.partial")
    partial.write_text(_sum(content), encoding="ascii")
    os.replace(partial, sum_file)


def has_sums(path: Path) -> bool:
    """Return True if a file, or every file of a folder, has a check sum."""
    files = _files(path) if path.exists() else []
    return bool(files) and all(_sum_file(file).exists() for file in files)


def remove_sums(file: Path) -> None:
    """Remove the check sum of a file that is about to be removed."""
    _sum_file(file).unlink(missing_ok=True)


def refuse_changed(path: Path) -> None:
    """Compare a file, or every parquet file in a folder, with its check sum.

    Raises
    ------
    UserError
        Naming the first file that has changed.
    """
    for file in _files(path):
        try:
            stored_sum = _sum_file(file).read_bytes()
            status = file.stat()
        except OSError:
            stored_sum = b""
        if (
            not stored_sum
            or stored_sum != _known_sum(str(file), status.st_size, status.st_mtime_ns).encode()
        ):
            raise UserError(
                f"{file.parent.name}/{file.name}",
                found="content that is not as it was stored" if stored_sum else "no check sum",
                expected="what stagecast has written, unchanged",
                hint="check the disk, remove the folder `features` of the output folder, and run "
                "`stagecast features` again",
            )


def _files(path: Path) -> list[Path]:
    return sorted(path.glob("*.parquet")) if path.is_dir() else [path]


def _sum_file(file: Path) -> Path:
    return file.with_name(f".{file.name}.sum")


@lru_cache(maxsize=100_000)
def _known_sum(name: str, _size: int, _changed: int) -> str:
    return _sum(Path(name))


def _sum(file: Path) -> str:
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "blake2b").hexdigest()
    return f"{file.stat().st_size} {digest}"
