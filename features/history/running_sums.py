"""Running sums over bins of days: what every window, of one snapshot or of many, is made from."""

from __future__ import annotations

import numpy as np

from features.arrays import Array


def bins_by_day(edges: Array, first: int, last: int) -> Array:
    """Number of edges at or before each day from `first` to `last`: to look bins up by day."""
    return np.searchsorted(edges, np.arange(first, last + 1), side="right").astype(np.int32)


def running(cells: Array, bins: int) -> Array:
    """Running sums over bins, in place, of cells laid out bin by bin (length bins x places)."""
    sums_by_bin = cells.reshape(bins, -1)
    for number in range(1, bins):
        np.add(sums_by_bin[number], sums_by_bin[number - 1], out=sums_by_bin[number])
    return sums_by_bin


def cell_counts(cells: Array, size: int) -> Array:
    """Number of rows in each of `size` cells (int64)."""
    return np.bincount(cells, minlength=size)
