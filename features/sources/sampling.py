"""Reading large tables only in part, so that a check of a configuration takes seconds.

Within `only_samples` every reader opens tables as it always does, but gets the first rows of those
that are large. What a reader accepts or refuses there is therefore decided by its own code.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

# Files up to this size are read whole; a compressed one holds several times its own size.
WHOLE_BYTES = 24_000_000
SAMPLE_ROWS = 20_000
_EXPANSION = {".gz": 8, ".parquet": 4}
# Of a sample, so many rows must be bad before the configuration, and not the rows, is at fault.
MOSTLY = 0.5


@dataclass
class Sampling:
    """How much is read, and which tables were cut.

    Attributes
    ----------
    rows
        Rows of a large table that are read.
    whole_bytes
        Tables up to this size are read whole.
    cut
        Names of the tables that were read in part.
    """

    rows: int = SAMPLE_ROWS
    whole_bytes: int = WHOLE_BYTES
    cut: set[str] = field(default_factory=set)

    def fits(self, files: Sequence[str]) -> bool:
        """Whether files are small enough to be read whole."""
        return sum(_size(file) for file in files) <= self.whole_bytes

    def head(self, connection: Any, table: Any, name: str) -> Any:
        """The first rows of a table, read once; the table counts as cut if it has more."""
        copy_name = f"sample_{uuid.uuid4().hex}"
        first_rows = connection.create_table(copy_name, table.limit(self.rows), temp=True)
        if first_rows.count().execute() >= self.rows:
            self.cut.add(name)
        return first_rows


_current: ContextVar[Sampling | None] = ContextVar("sampling", default=None)


@contextmanager
def only_samples(rows: int = SAMPLE_ROWS, whole_bytes: int = WHOLE_BYTES) -> Iterator[Sampling]:
    """Within the block, readers get at most the first rows of large tables."""
    sampling = Sampling(rows, whole_bytes)
    token = _current.set(sampling)
    try:
        yield sampling
    finally:
        _current.reset(token)


@contextmanager
def whole_tables() -> Iterator[None]:
    """Within the block, tables are read whole again."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> Sampling | None:
    """The sampling in force; None where tables are read whole."""
    return _current.get()


def most_bad(name: str, max_share: float) -> float:
    """The share of bad rows that is tolerated; the first rows of a cut table may be odd ones."""
    sampling = current()
    was_cut = sampling is not None and name in sampling.cut
    return max(max_share, MOSTLY) if was_cut else max_share


def _size(file_name: str) -> int:
    suffix = os.path.splitext(file_name)[1].lower()
    return os.path.getsize(file_name) * _EXPANSION.get(suffix, 1)
