"""Customer bootstrap: the interval of any statistic when customers are drawn again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.arrays import Array


@dataclass(frozen=True)
class Interval:
    """A figure with its customer-bootstrap interval."""

    value: float
    low: float
    high: float


def _customer_rows(customers: Any) -> list[Array]:
    """Row numbers of each customer, customers in order of their id."""
    _, code = np.unique(np.asarray(customers), return_inverse=True)
    order = np.argsort(code, kind="stable")
    return np.split(order, np.cumsum(np.bincount(code))[:-1])


def bootstrap(
    statistic: Callable[..., float],
    customers: Any,
    *arrays: Any,
    seed: int,
    repeats: int = 200,
    level: float = 0.95,
) -> Interval:
    """Interval of a statistic when customers (not rows) are drawn again with replacement.

    Parameters
    ----------
    statistic
        Function of the arrays, for example `auc`; for a paired difference see
        `paired_difference`.
    customers
        Customer of every row: all rows of a customer are drawn together.
    arrays
        Arguments of `statistic`, aligned with `customers`.
    seed, repeats, level
        Seed of the draws, their number, and the share of them within the interval.
    """
    data = [np.asarray(array) for array in arrays]
    rows = _customer_rows(customers)
    single = np.concatenate(rows) if all(len(each) == 1 for each in rows) else None
    generator = np.random.default_rng(seed)
    values = []
    for _ in range(repeats):
        draw = generator.integers(0, len(rows), len(rows))
        chosen = np.concatenate([rows[i] for i in draw]) if single is None else single[draw]
        values.append(statistic(*(array[chosen] for array in data)))
    tail = (1 - level) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return Interval(value=statistic(*data), low=float(low), high=float(high))


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
    """Interval of metric(y, first) - metric(y, second) on the same drawn customers."""
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
