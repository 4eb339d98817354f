"""The kernel of windows on a grid of snapshots: cells, running sums, and their differences.

All edges of all windows at all snapshots cut time into *bins*. Whatever falls between two edges
falls into one bin, so a count or sum of a window is the difference of two running sums over bins,
and the number of snapshots and windows costs no further look at the rows. Amounts are integers, so
sums are exact in any order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from features.arrays import Array
from features.errors import UserError
from features.history.day_rows import FAR_PAST
from features.history.running_sums import bins_by_day, cell_counts, running

EXACT_FLOAT = 2.0**53  # whole numbers below this are exact as float64
EXACT_WHOLE = 2.0**62


@dataclass(frozen=True)
class Grid:
    """Windows of several lengths that end at several snapshots.

    Attributes
    ----------
    snapshots
        Day numbers, rising; a window looks at the days before them.
    windows
        Lengths in days; None for the whole past.
    """

    snapshots: tuple[int, ...]
    windows: tuple[int | None, ...]

    @cached_property
    def edges(self) -> Array:
        """Day numbers at which a window begins or ends, rising."""
        starts = {t - w for t in self.snapshots for w in self.windows if w is not None}
        return np.array(sorted(starts | set(self.snapshots)), dtype=np.int64)

    @property
    def bins(self) -> int:
        """Runs of days between two edges, the past before the first edge included."""
        return len(self.edges)

    def table(self, first: int, last: int) -> Array:
        """Bin of every day from `first` to `last`; days at or after the last snapshot have none."""
        return bins_by_day(self.edges, first, last)

    def ends(self) -> list[tuple[int, tuple[int | None, ...]]]:
        """Of every snapshot: the last bin before it, and those before its windows begin."""
        at = {int(day): number for number, day in enumerate(self.edges)}
        return [
            (at[t], tuple(None if w is None else at[t - w] for w in self.windows))
            for t in self.snapshots
        ]


@dataclass(frozen=True)
class Rows:
    """Events of a shard of customers as plain columns of one length.

    Attributes
    ----------
    customer, kind
        Numbers from 0: the customer within the shard, and the event type.
    day, known_day
        Local day numbers of the event and of when it became known; None where every event was
        known on its day.
    amount
        Integer minor units.
    """

    customer: Array
    kind: Array
    day: Array
    amount: Array
    known_day: Array | None = None

    def where(self, kept: Array) -> Rows:
        """Some of the rows."""
        known = None if self.known_day is None else self.known_day[kept]
        return Rows(self.customer[kept], self.kind[kept], self.day[kept], self.amount[kept], known)


@dataclass(frozen=True)
class Windowed:
    """Counts and sums of a shard of customers.

    Attributes
    ----------
    counts, sums
        int64, axes (snapshot, window, kind, customer); sums in integer minor units.
    exists
        Whether anything of the customer had happened and was known, axes (snapshot, customer).
    """

    counts: Array
    sums: Array
    exists: Array


def cell_sums(cells: Array, amounts: Array, size: int) -> Array:
    """Sum of integer amounts in each of `size` cells (int64), exact.

    Raises
    ------
    UserError
        Where the amounts are too large for any integer to hold their sum.
    """
    total = _most(amounts)
    if total >= EXACT_FLOAT:  # seldom, and then to be known better
        total = float(np.abs(amounts.astype(np.float64)).sum())
    if total < EXACT_FLOAT:
        return np.bincount(cells, weights=amounts, minlength=size).astype(np.int64)
    if total >= EXACT_WHOLE:
        raise UserError(
            "amounts",
            found=f"amounts that add up to {total:.3g} minor units",
            expected=f"less than {EXACT_WHOLE:.3g} in a shard of customers",
            hint="set a smaller `minor_units`, or check the amounts",
        )
    sums = np.zeros(size, dtype=np.int64)
    np.add.at(sums, cells, amounts)
    return sums


def _most(amounts: Array) -> float:
    """No less than the sum of all absolute amounts, and quick."""
    if not len(amounts):
        return 0.0
    return float(max(int(amounts.max()), -int(amounts.min()))) * len(amounts)


def differences(table: Array, grid: Grid, kinds: int) -> Array:
    """Windowed values from running sums, a row a bin: axes (snapshot, window, kind, customer)."""
    places = table.shape[1]
    found = np.empty((len(grid.snapshots), len(grid.windows), places), dtype=np.int64)
    for number, (end, starts) in enumerate(grid.ends()):
        for window, start in enumerate(starts):
            if start is None:
                found[number, window] = table[end]
            else:
                np.subtract(table[end], table[start], out=found[number, window])
    return found.reshape(*found.shape[:2], kinds, -1)


def windowed_cells(
    cells: Array, amounts: Array, grid: Grid, *, customers: int, kinds: int
) -> Windowed:
    """Counts and sums of every window at every snapshot, of one shard of customers.

    Parameters
    ----------
    cells
        Of every event ``(bin x kinds + kind) x customers + customer``; its bin by `Grid.table`.
    amounts
        Of every event, integer minor units.
    grid
        Snapshots and windows.
    customers, kinds
        Numbers of customers and of event types.
    """
    size = grid.bins * kinds * customers
    counts = running(cell_counts(cells, size), grid.bins)
    sums = running(cell_sums(cells, amounts, size), grid.bins)
    before = counts[[end for end, _ in grid.ends()]].reshape(-1, kinds, customers) > 0
    return Windowed(
        differences(counts, grid, kinds),
        differences(sums, grid, kinds),
        np.asarray((before > 0).any(axis=1)),
    )


def add_late(found: Windowed, rows: Rows, grid: Grid) -> None:
    """Add what was learned late to the snapshots that know it (``known_day`` before them)."""
    kinds, customers = found.counts.shape[2:]
    known = rows.day if rows.known_day is None else np.maximum(rows.known_day, rows.day)
    places = rows.kind.astype(np.int64) * customers + rows.customer
    shape = (len(grid.snapshots), len(grid.windows), kinds * customers)
    counts, sums = found.counts.reshape(shape), found.sums.reshape(shape)
    for number, at in enumerate(grid.snapshots):
        seen = known < at
        found.exists[number, rows.customer[seen]] = True
        for window, days in enumerate(grid.windows):
            inside = seen & (rows.day >= (FAR_PAST if days is None else at - days))
            np.add.at(counts[number, window], places[inside], 1)
            np.add.at(sums[number, window], places[inside], rows.amount[inside])
