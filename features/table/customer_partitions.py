"""Stored tallies that do not fit in memory: opened by blocks of customers, one after another.

A block comes out as it would among everybody: what its customers take from all the others (which
features there are, how far the data go, what everybody likes) is known from a look at all of them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features import processes
from features.aggregates import segments
from features.aggregates.tallies import Tallies
from features.arrays import Array
from features.config.config import Config
from features.sources.duckdb_connection import connect
from features.storage.atomic_write import remove_path
from features.storage.check_sums import write_sums
from features.storage.fault_injection import boundary
from features.table.feature_store import (
    FOLDER,
    TALLIES,
    feature_file,
    outlined,
    read_tallies,
    required_manifest,
)
from features.table.population_statistics import Everybody
from features.table.snapshot_builder import Builder

Answer = TypeVar("Answer")
# Bytes that a row of each table needs while features are built from it, as measured.
ROW_BYTES = {"daily": 250, "attributes": 120}
LEAST_CUSTOMERS = 1_000


@dataclass(frozen=True)
class Blocks:
    """Stored tallies by blocks of customers.

    Attributes
    ----------
    folder
        ``OUTPUT/features``.
    builder
        Without customers: it knows the columns, the days covered and the grid of snapshots.
    segments
        Names of the stored segments.
    bounds
        Customer ids: block n holds those from bound n to before bound n + 1. The last block has
        no end.
    """

    folder: Path
    builder: Builder
    segments: tuple[str, ...]
    bounds: tuple[str, ...]

    def __len__(self) -> int:
        """How many blocks there are."""
        return len(self.bounds)

    def tallies(self, number: int) -> Tallies:
        """Tallies of the customers of a block."""
        return segments.read_customers(self.folder / TALLIES, self.segments, *self.ends(number))

    def ends(self, number: int) -> tuple[str, str | None]:
        """First id of a block, and the first id after it (None: it is the last)."""
        next_bound = self.bounds[number + 1] if number + 1 < len(self) else None
        return self.bounds[number], next_bound

    def opened(self, number: int, everybody: Everybody | None = None) -> Builder:
        """Builder for the customers of a block, with the same results as for all customers."""
        builder = self.builder if everybody is None else self.builder.among(everybody)
        return builder.with_customers(self.tallies(number))

    def part(self, number: int, at: int, delay: int = 0, *, aside: bool = False) -> Path:
        """File of a block's features at a snapshot, before or after the snapshot is whole."""
        folder = feature_file(self.folder, at, delay)
        name = f"part-{number:05d}.parquet"
        return (folder.with_suffix(".partial") if aside else folder) / name

    def begin(self, at: int, delay: int = 0) -> None:
        """Make room for the parts of a snapshot; what a killed run left there goes."""
        unfinished = self.part(0, at, delay, aside=True).parent
        remove_path(unfinished)
        unfinished.mkdir(parents=True)

    def put_in_place(self, at: int, delay: int = 0) -> None:
        """Make a snapshot count of which all parts are written aside."""
        snapshot = feature_file(self.folder, at, delay)
        write_sums(snapshot.with_suffix(".partial"))
        boundary("snapshot written")
        remove_path(snapshot)
        os.replace(snapshot.with_suffix(".partial"), snapshot)


def too_large(output: Path, config: Config) -> bool:
    """Whether the stored tallies of an output folder need more memory than the config allows."""
    return _bytes(output / FOLDER / TALLIES) > config.memory_bytes


def open_blocks(output: Path, config: Config) -> Blocks:
    """The stored tallies of an output folder, counted and not read.

    Raises
    ------
    UserError
        As `features.table.feature_store.open_archive`.
    """
    manifest, folder = required_manifest(output), output / FOLDER
    engine = connect(memory=config.memory_bytes // 2, threads=config.threads)
    paths = segments.table_files(folder / TALLIES, "daily")
    daily = engine.read_parquet([str(file) for path in paths for file in segments.part_files(path)])
    builder = outlined(config, manifest, daily, lambda row: row.to_pyarrow().to_pylist()[0])
    customers = daily.select("customer_id").distinct().to_pyarrow()["customer_id"]
    ids = np.sort(pc.cast(customers, "string").to_numpy(zero_copy_only=False).astype(str))
    bytes_per_customer = _bytes(folder / TALLIES) / max(len(ids), 1)
    block_size = max(
        math.floor(config.memory_bytes / config.threads / bytes_per_customer), LEAST_CUSTOMERS
    )
    return Blocks(folder, builder, manifest.segments, tuple(_even(ids, block_size)))


def of_each(output: Path, config: Config, ask: Callable[[Tallies], Answer]) -> list[Answer]:
    """What is found in the stored tallies: of all at once where they fit, else block by block.

    Parameters
    ----------
    output, config
        Where the tallies are, and the memory allowed.
    ask
        Looks at the tallies of some customers; must be known to other processes.
    """
    if not too_large(output, config):
        return [ask(read_tallies(output))]
    blocks = open_blocks(output, config)
    with processes.pool(config.threads) as pool:
        return list(pool.map(partial(_asked, blocks, ask), range(len(blocks))))


def _asked(blocks: Blocks, ask: Callable[[Tallies], Answer], number: int) -> Answer:
    return ask(blocks.tallies(number))


def _even(ids: Array, size: int) -> Iterable[str]:
    """First ids of blocks of equal size, none larger than asked."""
    blocks = max(math.ceil(len(ids) / size), 1)
    return (str(ids[round(number * len(ids) / blocks)]) for number in range(blocks))


def _bytes(folder: Path) -> float:
    """Bytes of memory that building the features of all customers at once would take."""
    return float(
        sum(
            pq.ParquetFile(file).metadata.num_rows * each
            for table, each in ROW_BYTES.items()
            for path in segments.table_files(folder, table)
            for file in segments.part_files(path)
        )
    )
