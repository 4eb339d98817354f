"""Partition events into files by shards of customers, if memory cannot hold all at once.

Each shard's events are then read once; filtering would scan all events for every shard.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ibis
from ibis.expr.types import Table

_SHARD = "shard"


@dataclass(frozen=True)
class Shard:
    """Customers in a range of numbers, with their events.

    Attributes
    ----------
    first, end
        Their numbers, from `first` to before `end`.
    events
        Their events, one table per source.
    """

    first: int
    end: int
    events: tuple[Table, ...]

    def customers(self, rows: Table) -> Table:
        """Select the rows of these customers."""
        return rows.filter((rows.customer >= self.first) & (rows.customer < self.end))


def partition_events(
    connection: Any,
    sources: Mapping[str, Table],
    customers: int,
    shards: int,
    temporary: Path,
) -> Iterator[Shard]:
    """Yield the events of every source by shards of customers.

    Parameters
    ----------
    connection
        The engine.
    sources
        Events by name: ``customer`` is a number from 0 to before `customers`.
    customers, shards
        Number of customers and of shards.
    temporary
        Folder for the files; it must exist as long as a shard is used.
    """
    customers_per_shard = max(math.ceil(customers / shards), 1)
    if customers_per_shard >= customers:
        yield Shard(0, customers, tuple(sources.values()))
        return
    source_files = [
        _partition_source(connection, source_name, events, customers_per_shard, temporary)
        for source_name, events in sources.items()
    ]
    for number in range(math.ceil(customers / customers_per_shard)):
        first_number, end_number = (
            number * customers_per_shard,
            min((number + 1) * customers_per_shard, customers),
        )
        yield Shard(
            first_number, end_number, tuple(file_set.of(number) for file_set in source_files)
        )


@dataclass(frozen=True)
class _PartitionedFiles:
    """Files of a source by shard; `nobody` is the empty table of a shard without events."""

    connection: Any
    folder: Path
    nobody: Table

    def of(self, number: int) -> Table:
        files = sorted((self.folder / f"{_SHARD}={number}").glob("*.parquet"))
        return self.connection.read_parquet(files).drop(_SHARD) if files else self.nobody


def _partition_source(
    connection: Any, name: str, rows: Table, width: int, folder: Path
) -> _PartitionedFiles:
    """Write the rows of a source, partitioned by shard."""
    nobody = ibis.memtable(rows.limit(0).to_pyarrow())
    target = folder / name
    by_shard = rows.mutate(**{_SHARD: (rows.customer // width).cast("int32")})
    by_shard.to_parquet(target, partition_by=_SHARD, compression="lz4_raw")
    return _PartitionedFiles(connection, target, nobody)
