"""Samples of large tables, so that checking a configuration takes seconds.

Within `only_samples` every reader runs its usual code but gets only the first rows of large
tables, so a check accepts and refuses exactly what a run would.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

# Files up to this size (bytes) are read whole; compressed files expand by `_EXPANSION`.
_WHOLE_BYTES = 24_000_000
_SAMPLE_ROWS = 20_000
_EXPANSION = {".gz": 8, ".parquet": 4}
# Share of bad rows in a sample from which the configuration is wrong rather than the rows.
_MIN_BAD_SHARE = 0.5


@dataclass
class Sampling:
    """Size limits of sampling, and the tables read in part.

    Attributes
    ----------
    rows
        Rows of a large table that are read.
    whole_bytes
        Tables up to this size are read whole.
    cut
        Names of the tables that were read in part.
    """

    rows: int = _SAMPLE_ROWS
    whole_bytes: int = _WHOLE_BYTES
    cut: set[str] = field(default_factory=set)

    def fits(self, files: Sequence[str]) -> bool:
        """Return True if the files are small enough to be read whole."""
        return sum(_size(file) for file in files) <= self.whole_bytes

    def head(self, connection: Any, table: Any, name: str) -> Any:
        """Copy the first rows of a table; the table counts as cut if it has more."""
        copy_name = f"sample_{uuid.uuid4().hex}"
        first_rows = connection.create_table(copy_name, table.limit(self.rows), temp=True)
        self.note_cut(int(first_rows.count().execute()), name)
        return first_rows

    def note_cut(self, rows: int, name: str) -> None:
        """Count a table as cut if as many rows as a sample has were read of it."""
        if rows >= self.rows:
            self.cut.add(name)


_current: ContextVar[Sampling | None] = ContextVar("sampling", default=None)


@contextmanager
def only_samples(rows: int = _SAMPLE_ROWS, whole_bytes: int = _WHOLE_BYTES) -> Iterator[Sampling]:
    """Limit readers to the first rows of large tables within the block."""
    sampling = Sampling(rows, whole_bytes)
    token = _current.set(sampling)
    try:
        yield sampling
    finally:
        _current.reset(token)


@contextmanager
def whole_tables() -> Iterator[None]:
    """Read tables whole again within the block."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)


def current_sampling() -> Sampling | None:
    """Return the active sampling; None if tables are read whole."""
    return _current.get()


def tolerated_bad_share(name: str, max_share: float) -> float:
    """Return the tolerated share of bad rows; higher for samples, whose first rows may be odd."""
    sampling = current_sampling()
    was_cut = sampling is not None and name in sampling.cut
    return max(max_share, _MIN_BAD_SHARE) if was_cut else max_share


def _size(file_name: str) -> int:
    suffix = os.path.splitext(file_name)[1].lower()
    return os.path.getsize(file_name) * _EXPANSION.get(suffix, 1)
