"""Interval of a total over many customers: chance of each customer, and errors of the level.

The sum of the ends of customers' intervals is no interval of their sum. Chance averages out over
customers; a wrong level (season, trade, price) does not, and past levels tell how wrong it gets.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from features.arrays import Array

LEVEL = 0.80  # probability that the interval holds the total


def level_error(actual: Array, expected: Array) -> float:
    """Root mean square of log(actual / expected) over past totals; pairs without both are left out.

    Zero without such a pair.
    """
    actual, expected = np.asarray(actual, float), np.asarray(expected, float)
    both = (actual > 0) & (expected > 0)
    if not both.any():
        return 0.0
    return float(np.sqrt(np.mean(np.log(actual[both] / expected[both]) ** 2)))


def total_interval(
    expected: float, *, variance: float, level_error: float, probability: float = LEVEL
) -> tuple[float, float]:
    """Ends of an interval of a total with equal tails, at least 0.

    Parameters
    ----------
    expected
        The expected total.
    variance
        Of the total given its level: sum of the variances of customers, and that of the parameters.
    level_error
        Standard deviation of the log of the level, from `level_error`. It is taken to last for the
        whole horizon, so it is not divided by the number of periods.
    probability
        That the interval holds the total.
    """
    spread = float(np.sqrt(variance + (level_error * expected) ** 2))
    reach = float(norm.ppf(0.5 + probability / 2.0)) * spread
    return max(expected - reach, 0.0), expected + reach
