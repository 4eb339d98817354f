"""Check that a compressed file is complete before the engine reads it.

The engine silently reads fewer rows of a truncated file and wrong values of a damaged one. The
check sums of gzip detect both.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from features.errors import UserError

_CHUNK_BYTES = 1 << 20  # bytes
# Tables compress to a fifth or a thirtieth; beyond this expansion a file is an attack.
MAX_EXPANSION = 300
SAFE_BYTES = 200_000_000  # bytes; any file may expand to this size


def require_whole(paths: Iterable[str]) -> None:
    """Read every gzip file among the paths to its end; unchanged files only once.

    Raises
    ------
    UserError
        For a truncated or damaged file, and for one that expands implausibly.
    """
    for path in paths:
        if path.lower().endswith(".gz"):
            file_status = Path(path).stat()
            problem = _problem(path, file_status.st_size, file_status.st_mtime_ns)
            if problem is not None:
                found, expected, hint = problem
                raise UserError(
                    f"file {Path(path).name}", found=found, expected=expected, hint=hint
                )


@lru_cache(maxsize=10_000)
def _problem(path: str, size: int, _changed: int) -> tuple[str, str, str] | None:
    """Return problem, expectation and hint for a damaged gzip file; None if it is complete."""
    max_unpacked, unpacked = max(SAFE_BYTES, MAX_EXPANSION * size), 0
    try:
        with gzip.open(path, "rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                unpacked += len(chunk)
                if unpacked > max_unpacked:
                    return (
                        f"a gzip file that grows more than {MAX_EXPANSION}-fold",
                        "a compressed table",
                        "check who wrote the file; a table of that kind can be delivered "
                        "uncompressed",
                    )
    except (OSError, EOFError, zlib.error) as error:
        return (
            f"a gzip file that is cut off or damaged ({type(error).__name__})",
            "a whole gzip file, with the check sum that stands at its end",
            "deliver the file again; `gzip -t FILE` says whether it is whole",
        )
    return None
