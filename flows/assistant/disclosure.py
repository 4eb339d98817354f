"""Which groups may be shown, so that no answer, and no difference of answers, describes few people.

Counts are rounded to multiples of the smallest group, so that the difference of two counts does not
reveal a smaller one (controlled rounding to a base, as statistical offices publish small tables).
A group that is too small is hidden, and with it the next larger one, as long as the hidden groups
together would follow from the total (complementary suppression). Groups of two divisions of the
same customers are compared as sets, in all their unions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from features.arrays import Array
from features.metrics.stage_metrics import FEWEST

_MOST_UNIONS = 2**20  # pairs of unions that are compared; beyond it two divisions count as too fine
_LARGEST_PART = 0.25  # of a sum; a group in which one person makes more is hidden


def rounded_count(count: float) -> int | None:
    """Return a count as a multiple of `FEWEST`; None for fewer than that."""
    return None if count < FEWEST else int((count + FEWEST / 2) // FEWEST * FEWEST)


def significant(value: float, digits: int = 2) -> float | None:
    """Return a number with so many significant digits; None if it is not finite."""
    if not math.isfinite(value):
        return None
    return float(f"{value:.{digits}g}")


def hidden_groups(sizes: Sequence[int], total: int) -> list[bool]:
    """Decide which groups of a division are hidden.

    Parameters
    ----------
    sizes
        Customers of each group.
    total
        Customers of all groups, whose number is shown; those in no group count as hidden. If it is
        smaller than the groups together, they overlap, and nothing follows from it.

    Returns
    -------
    list of bool
        True for a hidden group. Those hidden are together none, or at least `FEWEST`.
    """
    hidden = [size < FEWEST for size in sizes]
    by_size = sorted(range(len(sizes)), key=lambda number: sizes[number])
    for number in by_size:
        rest = total - sum(size for size, is_hidden in zip(sizes, hidden, strict=True)
                           if not is_hidden)  # fmt: skip
        if rest <= 0 or rest >= FEWEST:
            break
        hidden[number] = True
    return hidden


def tells_of_few(share: float, size: int) -> bool:
    """Return True if a share describes fewer than `FEWEST`: those who did it, or those who did not.

    Parameters
    ----------
    share
        0 to 1; NaN counts as 0.
    size
        Of how many customers.
    """
    did = _count(share, size)
    return min(did, size - did) < FEWEST


def hidden_shares(
    shares: Sequence[float], sizes: Sequence[int], total_share: float, total: int
) -> list[bool]:
    """Decide of which groups of a division a share is hidden.

    Parameters
    ----------
    shares, sizes
        Share (0 to 1; NaN: not known, hidden) and customers of each group.
    total_share, total
        The same of all groups, which are shown.

    Returns
    -------
    list of bool
        True for a hidden share. Those who did it in the hidden groups are together none, or at
        least `FEWEST`; those who did not, too.
    """
    did = [_count(share, size) for share, size in zip(shares, sizes, strict=True)]
    did_not = [size - count for size, count in zip(sizes, did, strict=True)]
    in_all = _count(total_share, total)
    pairs = zip(hidden_groups(did, in_all), hidden_groups(did_not, total - in_all), strict=True)
    return [any(pair) for pair in pairs]


def _count(share: float, size: int) -> int:
    return 0 if math.isnan(share) else round(share * size)


def isolates(first: Array, second: Array) -> bool:
    """Return True if two divisions of the same customers together describe fewer than `FEWEST`.

    Parameters
    ----------
    first, second
        Number of the group of each customer, from 0; hidden groups are one group.

    Returns
    -------
    bool
        True if a union of groups of one division and a union of the other differ by at least one
        and fewer than `FEWEST` customers: the difference of their sums would be these customers'.
    """
    rows, columns = int(first.max(initial=-1)) + 1, int(second.max(initial=-1)) + 1
    if rows > columns:
        return isolates(second, first)
    if rows + columns > math.log2(_MOST_UNIONS):
        return True
    table = np.bincount(first * columns + second, minlength=rows * columns).reshape(rows, columns)
    # Every union of the first division, against every union of the second.
    row_unions = _subsets(rows)
    inside = row_unions @ table
    outside = table.sum(axis=0) - inside
    column_unions = _subsets(columns)
    difference = inside @ (1 - column_unions).T + outside @ column_unions.T
    return bool(((difference > 0) & (difference < FEWEST)).any())


def _subsets(size: int) -> Array:
    """All subsets of some numbers, one a row: 1 for those within."""
    return (np.arange(2**size)[:, None] >> np.arange(size)) & 1


def dominated(values: Array) -> bool:
    """Return True if one value makes too large a part of the sum, which then says it."""
    sizes = np.abs(values)
    return bool(sizes.max(initial=0.0) > _LARGEST_PART * sizes.sum())
