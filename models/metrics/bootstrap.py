"""Customer bootstrap: interval of any statistic, with customers resampled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.arrays import Array


@dataclass(frozen=True)
class Interval:
    """A statistic with its customer-bootstrap interval and standard error."""

    value: float
    low: float
    high: float
    standard_error: float


@dataclass(frozen=True)
class _CustomerRows:
    """Row numbers sorted by customer, where each begins, and how many each has."""

    order: Array
    starts: Array
    counts: Array

    @classmethod
    def of(cls, customers: Any) -> _CustomerRows:
        _, codes = np.unique(np.asarray(customers), return_inverse=True)
        counts = np.bincount(codes)
        return cls(np.argsort(codes, kind="stable"), np.cumsum(counts) - counts, counts)

    def of_drawn(self, drawn: Array) -> Array:
        """Row numbers of drawn customers, one after the other."""
        counts = self.counts[drawn]
        shifts = self.starts[drawn] - (np.cumsum(counts) - counts)
        return np.asarray(self.order[np.arange(counts.sum()) + np.repeat(shifts, counts)])


def bootstrap(
    statistic: Callable[..., float],
    customers: Any,
    *arrays: Any,
    seed: int,
    repeats: int = 200,
    level: float = 0.95,
) -> Interval:
    """Interval of a statistic, with customers (not rows) resampled with replacement.

    Parameters
    ----------
    statistic
        Function of the arrays, for example `auc`; for a paired difference see
        `paired_difference`.
    customers
        Customer id of every row: all rows of a customer are drawn together.
    arrays
        Arguments of `statistic`, aligned with `customers`.
    seed, repeats, level
        Seed and number of the draws, and the share of draws inside the interval.
    """
    inputs = [np.asarray(array) for array in arrays]
    customer_rows = _CustomerRows.of(customers)
    count = len(customer_rows.counts)
    generator = np.random.default_rng(seed)
    values = []
    for _ in range(repeats):
        drawn_rows = customer_rows.of_drawn(generator.integers(0, count, count))
        values.append(statistic(*(array[drawn_rows] for array in inputs)))
    tail_share = (1 - level) / 2
    lower, upper = np.nanquantile(values, [tail_share, 1 - tail_share])
    error = float(np.nanstd(values, ddof=1))
    return Interval(statistic(*inputs), float(lower), float(upper), error)


def paired_difference(
    metric: Callable[[Any, Any], float],
    customers: Any,
    y: Any,
    first: Any,
    second: Any,
    *,
    seed: int,
    repeats: int = 200,
    level: float = 0.95,
) -> Interval:
    """Interval of metric(y, first) - metric(y, second) on the same resampled customers."""
    return bootstrap(
        lambda truth, one, two: metric(truth, one) - metric(truth, two),
        customers,
        y,
        first,
        second,
        seed=seed,
        repeats=repeats,
        level=level,
    )
