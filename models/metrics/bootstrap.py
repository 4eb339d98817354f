"""Customer bootstrap: interval of any statistic, with customers resampled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.arrays import Array


@dataclass(frozen=True)
class Interval:
    """A statistic with its customer-bootstrap interval."""

    value: float
    low: float
    high: float


def _customer_rows(customers: Any) -> list[Array]:
    """Row numbers of each customer, customers in order of their id."""
    _, customer_codes = np.unique(np.asarray(customers), return_inverse=True)
    order = np.argsort(customer_codes, kind="stable")
    return np.split(order, np.cumsum(np.bincount(customer_codes))[:-1])


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
    customer_rows = _customer_rows(customers)
    single_rows = (
        np.concatenate(customer_rows)
        if all(len(row_numbers) == 1 for row_numbers in customer_rows)
        else None
    )
    generator = np.random.default_rng(seed)
    values = []
    for _ in range(repeats):
        drawn = generator.integers(0, len(customer_rows), len(customer_rows))
        drawn_rows = (
            np.concatenate([customer_rows[customer] for customer in drawn])
            if single_rows is None
            else single_rows[drawn]
        )
        values.append(statistic(*(array[drawn_rows] for array in inputs)))
    tail_share = (1 - level) / 2
    lower, upper = np.nanquantile(values, [tail_share, 1 - tail_share])
    return Interval(value=statistic(*inputs), low=float(lower), high=float(upper))


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
