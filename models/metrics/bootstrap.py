"""Customer bootstrap: interval of any statistic, customers resampled with replacement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.arrays import Array


@dataclass(frozen=True)
class Interval:
    """A value with its customer-bootstrap interval."""

    value: float
    low: float
    high: float


def _customer_rows(customers: Any) -> list[Array]:
    """Row numbers of each customer, customers sorted by id."""
    _, customer_code = np.unique(np.asarray(customers), return_inverse=True)
    order = np.argsort(customer_code, kind="stable")
    return np.split(order, np.cumsum(np.bincount(customer_code))[:-1])


def bootstrap(
    statistic: Callable[..., float],
    customers: Any,
    *arrays: Any,
    seed: int,
    repeats: int = 200,
    level: float = 0.95,
) -> Interval:
    """Interval of a statistic, customers (not rows) resampled with replacement.

    Parameters
    ----------
    statistic
        Function of the arrays, for example `auc`; for a paired difference see
        `paired_difference`.
    customers
        Customer of each row; all rows of a customer are drawn together.
    arrays
        Arguments of `statistic`, aligned with `customers`.
    seed, repeats, level
        Random seed, number of draws, and coverage of the interval.
    """
    data = [np.asarray(array) for array in arrays]
    rows_of_customer = _customer_rows(customers)
    single_rows = (
        np.concatenate(rows_of_customer)
        if all(len(rows) == 1 for rows in rows_of_customer)
        else None
    )
    generator = np.random.default_rng(seed)
    values = []
    for _ in range(repeats):
        drawn_customers = generator.integers(0, len(rows_of_customer), len(rows_of_customer))
        drawn_rows = (
            np.concatenate([rows_of_customer[i] for i in drawn_customers])
            if single_rows is None
            else single_rows[drawn_customers]
        )
        values.append(statistic(*(array[drawn_rows] for array in data)))
    tail_share = (1 - level) / 2
    low, high = np.nanquantile(values, [tail_share, 1 - tail_share])
    return Interval(value=statistic(*data), low=float(low), high=float(high))


def paired_difference(
    metric: Callable[[Any, Any], float],
    customers: Any,
    target: Any,
    first: Any,
    second: Any,
    *,
    seed: int,
    repeats: int = 200,
    level: float = 0.95,
) -> Interval:
    """Interval of metric(target, first) - metric(target, second) on the same drawn customers."""
    return bootstrap(
        lambda truth, one, two: metric(truth, one) - metric(truth, two),
        customers,
        target,
        first,
        second,
        seed=seed,
        repeats=repeats,
        level=level,
    )
