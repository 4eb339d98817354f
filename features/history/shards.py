"""Events dealt out to shards of customers: how many fit in memory, and where the others wait."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from features.arrays import Array
from features.history.grid import Grid, Rows, Windowed, add_late, windowed_cells

HELD_BYTES = 12  # of an event that waits for its shard: its cell and its amount
CELL_BYTES = 16  # a running count and a running sum; likewise of a windowed value
MOST_CELLS = 1 << 31  # so that the number of a cell fits int32
MOST_SHARDS = 1 << 12
WELL_FILLED = 64 << 20  # bytes of a shard: fewer leave much to Python, more leave the cache


@dataclass(frozen=True)
class Plan:
    """How the work is cut so that it fits in memory.

    Attributes
    ----------
    block
        Customers in a shard.
    spilled
        Whether the events wait for their shard on disk.
    """

    block: int
    spilled: bool

    @classmethod
    def of(
        cls, grid: Grid, *, kinds: int, customers: int, rows: int, memory: int, threads: int
    ) -> Plan:
        """Shards of which each thread may work on one, within the memory allowed (bytes)."""
        places = grid.bins + len(grid.snapshots) * len(grid.windows)
        each = kinds * places * CELL_BYTES
        room = min(memory // (4 * threads), WELL_FILLED)
        most = MOST_CELLS // (kinds * grid.bins)
        least = -(-customers // MOST_SHARDS)
        block = max(min(room // each, most, customers), least, 1)
        return cls(block=int(block), spilled=rows * HELD_BYTES > memory // 3)


@dataclass
class Held:
    """The events of one shard, until it is its turn: in memory, or in two files.

    Attributes
    ----------
    file
        Beginning of the names of the files; None to hold them in memory.
    """

    file: Path | None
    cells: list[Array] = field(default_factory=list)
    amounts: list[Array] = field(default_factory=list)
    late: list[Rows] = field(default_factory=list)

    def add(self, cells: Array, amounts: Array) -> None:
        """Hold events that were known on their day."""
        if self.file is None:
            self.cells.append(cells)
            self.amounts.append(amounts)
            return
        for name, values in (("cells", cells), ("amounts", amounts)):
            with self.file.with_suffix(f".{name}").open("ab") as out:
                values.tofile(out)

    def facts(self, grid: Grid, *, customers: int, kinds: int) -> Windowed:
        """Windowed facts of the shard; what was held is let go."""
        cells, amounts = self._read("cells", np.int32), self._read("amounts", np.int64)
        found = windowed_cells(cells, amounts, grid, customers=customers, kinds=kinds)
        for rows in self.late:
            add_late(found, rows, grid)
        self.late.clear()
        return found

    def _read(self, name: str, kind: type) -> Array:
        parts: list[Array] = getattr(self, name)
        if self.file is not None:
            path = self.file.with_suffix(f".{name}")
            parts = [np.fromfile(path, dtype=kind)] if path.is_file() else []
            path.unlink(missing_ok=True)
        together = np.concatenate([np.zeros(0, dtype=kind), *parts])
        parts.clear()
        return together


@dataclass(frozen=True)
class Deal:
    """Deals events out to the shards of their customers.

    Attributes
    ----------
    grid
        Snapshots and windows.
    kinds, customers
        Numbers of event types and of customers.
    block
        Customers in a shard.
    held
        The shards.
    """

    grid: Grid
    kinds: int
    customers: int
    block: int
    held: list[Held]

    def size(self, shard: int) -> int:
        """Customers in a shard."""
        return min(self.block, self.customers - shard * self.block)

    def add(self, rows: Rows) -> None:
        """Deal some events, whose `customer` counts through all shards."""
        days = rows.day
        first, last = (int(days.min()), int(days.max())) if len(days) else (0, 0)
        bins = self.grid.table(first, last)[days - first]
        counted = bins < self.grid.bins
        if rows.known_day is not None:
            late = counted & (rows.known_day > days)
            counted &= ~late
            self._add_late(rows.where(np.flatnonzero(late)))
        if not counted.all():
            keep = np.flatnonzero(counted)
            rows, bins = rows.where(keep), bins[keep]
        shard = rows.customer // self.block
        if len(self.held) > 1:
            order = np.argsort(shard.astype(np.uint16), kind="stable")  # a radix sort
            rows, bins, shard = rows.where(order), bins[order], shard[order]
        cuts = np.searchsorted(shard, np.arange(len(self.held) + 1))
        for number in np.flatnonzero(np.diff(cuts)):
            part = slice(int(cuts[number]), int(cuts[number + 1]))
            size = np.int32(self.size(int(number)))
            cells = (bins[part] * np.int32(self.kinds) + rows.kind[part]) * size
            cells += (rows.customer[part] - number * self.block).astype(np.int32)
            self.held[number].add(cells, rows.amount[part])

    def _add_late(self, rows: Rows) -> None:
        shard = rows.customer // self.block
        for number in np.unique(shard):
            part = rows.where(np.flatnonzero(shard == number))
            part.customer[:] -= number * self.block
            self.held[number].late.append(part)
