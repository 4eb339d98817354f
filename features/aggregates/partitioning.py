"""Events dealt out to files of a shard of customers each, where not all can be tallied at once.

The events of a shard are then read once; a filter would go through all of them for every shard.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
from ibis.expr.types import Table

SHARD = "shard"


@dataclass(frozen=True)
class Shard:
    """Customers whose numbers lie in a range.

    Attributes
    ----------
    first, end
        Their numbers, from `first` to before `end`.
    events
        Their events, one table a source.
    """

    first: int
    end: int
    events: tuple[Table, ...]

    def customers(self, rows: Table) -> Table:
        """Rows of these customers only."""
        return rows.filter((rows.customer >= self.first) & (rows.customer < self.end))


def dealt(
    connection: Any,
    sources: Mapping[str, Table],
    customers: int,
    shards: int,
    temporary: Path,
) -> Iterator[Shard]:
    """The events of every source, by shards of customers.

    Parameters
    ----------
    connection
        The engine.
    sources
        Events by name: ``customer`` is a number from 0 to before `customers`.
    customers, shards
        How many there are.
    temporary
        Folder for the files, which must stay as long as a shard is used.
    """
    width = max(math.ceil(customers / shards), 1)
    if width >= customers:
        yield Shard(0, customers, tuple(sources.values()))
        return
    files = [_written(connection, name, rows, width, temporary) for name, rows in sources.items()]
    for number in range(math.ceil(customers / width)):
        first, end = number * width, min((number + 1) * width, customers)
        yield Shard(first, end, tuple(each.of(number) for each in files))


@dataclass(frozen=True)
class _Files:
    """Files of a source by shard; `nobody` is the table of a shard without events."""

    connection: Any
    folder: Path
    nobody: Table

    def of(self, number: int) -> Table:
        files = sorted((self.folder / f"{SHARD}={number}").glob("*.parquet"))
        return self.connection.read_parquet(files).drop(SHARD) if files else self.nobody


def _written(connection: Any, name: str, rows: Table, width: int, folder: Path) -> _Files:
    """Write the rows of a source by shard."""
    nobody = ibis.memtable(rows.limit(0).to_pyarrow())
    place = folder / name
    by_shard = rows.mutate(**{SHARD: (rows.customer // width).cast("int32")})
    by_shard.to_parquet(place, partition_by=SHARD, compression="lz4_raw")
    return _Files(connection, place, nobody)
