"""Running sums over bins of days: what every window, of one snapshot or of many, is made from."""

from __future__ import annotations

import numpy as np

from features.arrays import Array


def running(cells: Array, bins: int) -> Array:
    """Running sums over bins, in place, of cells laid out bin by bin (length bins x places)."""
    sums_by_bin = cells.reshape(bins, -1)
    for number in range(1, bins):
        np.add(sums_by_bin[number], sums_by_bin[number - 1], out=sums_by_bin[number])
    return sums_by_bin
