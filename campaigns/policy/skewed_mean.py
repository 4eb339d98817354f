"""Confidence intervals of means of skewed numbers."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from features.arrays import Array

_SMALLEST_SKEW = 1e-6  # below it the transformation is the identity, up to rounding


def mean_interval(values: Array, level: float = 0.95) -> tuple[float, float]:
    """Interval of the mean of independent numbers, wider on the side of their long tail.

    Weighted rewards are mostly 0 and sometimes large: a symmetric interval ends too low. Method:
    the inverse of the cubic transformation of Hall (1992), On the removal of skewness by
    transformation, Journal of the Royal Statistical Society B 54, equation 2.5.

    Returns
    -------
    tuple of float
        Low and high end; both NaN for fewer than two numbers.
    """
    count = len(values)
    if count < 2:
        return math.nan, math.nan
    mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(count)
    if error == 0:
        return mean, mean
    quantile = float(stats.t.ppf((1 + level) / 2, count - 1))
    skew = float(np.mean(((values - mean) / np.std(values)) ** 3)) / math.sqrt(count)
    return mean - error * _inverse(quantile, skew), mean - error * _inverse(-quantile, skew)


def _inverse(quantile: float, skew: float) -> float:
    """Studentised mean at which the transformed one has a quantile."""
    if abs(skew) < _SMALLEST_SKEW:
        return quantile
    return 3 / skew * (float(np.cbrt(1 + skew * (quantile - skew / 6))) - 1)
