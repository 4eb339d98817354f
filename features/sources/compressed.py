"""Check that a compressed file is whole before the engine reads it.

The engine takes what it can unpack: of a file that was cut between two rows it reads fewer rows,
of one with changed bytes other values, and says nothing. The check sums of gzip tell.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from features.errors import UserError

CHUNK = 1 << 20  # bytes
# Tables shrink to a fifth or a thirtieth; what grows a hundredfold beyond that was made to do harm.
MOST_GROWTH = 300
HARMLESS = 200_000_000  # bytes that any file may unpack to


def require_whole(paths: Iterable[str]) -> None:
    """Read every gzip file among some paths to its end; once as long as it stays as it is.

    Raises
    ------
    UserError
        For a file that is cut off or damaged, and for one that unpacks to more than it can hold of
        any table.
    """
    for path in paths:
        if path.lower().endswith(".gz"):
            file_status = Path(path).stat()
            problem = _problem(path, file_status.st_size, file_status.st_mtime_ns)
            if problem is not None:
                found, expected, mend = problem
                raise UserError(
                    f"sources: {Path(path).name}", found=found, expected=expected, mend=mend
                )


@lru_cache(maxsize=10_000)
def _problem(path: str, size: int, _changed: int) -> tuple[str, str, str] | None:
    """What is wrong with a gzip file, what is expected, and the way out; None if it is whole."""
    max_unpacked, unpacked = max(HARMLESS, MOST_GROWTH * size), 0
    try:
        with gzip.open(path, "rb") as stream:
            while chunk := stream.read(CHUNK):
                unpacked += len(chunk)
                if unpacked > max_unpacked:
                    return (
                        f"a gzip file that grows more than {MOST_GROWTH}-fold",
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
