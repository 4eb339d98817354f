"""Interval of a total over many customers: chance of each customer, and errors of the level.

The sum of the ends of customers' intervals is no interval of their sum. Chance averages out over
customers; a wrong level (season, trade, price) does not, and past levels tell how wrong it gets.
A group of customers can be off by more than the whole: past groups tell by how much.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t as student

from features.arrays import Array
from models.metrics.metrics import TWEEDIE_POWER

PROBABILITY = 0.80  # that the interval holds the total
FEWEST_CUSTOMERS = 30  # of a total with an interval; fewer say little
# A few past origins may all have been right by luck: one more is assumed to have been off by 5 %.
_PRIOR_ERROR, _PRIOR_ORIGINS = 0.05, 1.0
_PRIOR_GROUP_ERROR, _PRIOR_GROUPS = 0.10, 2.0  # in the same way for groups
_HALF_LIFE_DAYS = 180.0  # of the weight of a past origin
_LARGEST_SHARE = 0.9  # of the total; a larger group is nearly the whole and tells nothing of groups


@dataclass(frozen=True)
class PastTotal:
    """Expected and actual total spend (money) of a past origin, by what was known at it."""

    at: pd.Timestamp
    expected: float
    actual: float


@dataclass(frozen=True)
class PastSpend:
    """Expected and actual spend of the customers of a past origin, by a model fitted before it.

    Attributes
    ----------
    expected, actual
        Money, one a customer.
    groupings
        Name of each customer's group, one array a grouping (such as stage or value tier).
    """

    expected: Array
    actual: Array
    groupings: tuple[Array, ...] = ()


def level_error(actual: Array, expected: Array, weights: Array | None = None) -> float:
    """Root mean square of log(actual / expected) over past totals; pairs without both are left out.

    Zero without such a pair.
    """
    actual, expected = np.asarray(actual, float), np.asarray(expected, float)
    both = (actual > 0) & (expected > 0)
    if not both.any():
        return 0.0
    squares = np.log(actual[both] / expected[both]) ** 2
    return float(np.sqrt(np.average(squares, weights=None if weights is None else weights[both])))


def total_interval(
    expected: float, *, variance: float, level_error: float, origins: float = np.inf
) -> tuple[float, float]:
    """Ends of the 80 % interval of a total with equal tails, at least 0.

    Parameters
    ----------
    expected
        The expected total.
    variance
        Of the total given its level: sum of the variances of customers, and that of the parameters.
    level_error
        Standard deviation of the log of the level, from `level_error`. It is taken to last for the
        whole horizon, so it is not divided by the number of periods.
    origins
        Independent past totals that the level error comes from; with few of them the quantiles are
        those of Student's t.
    """
    spread = float(np.sqrt(variance + (level_error * expected) ** 2))
    reach = float(student.ppf(0.5 + PROBABILITY / 2.0, origins)) * spread
    return max(expected - reach, 0.0), expected + reach


def spend_errors(
    totals: Sequence[PastTotal], predictions: Sequence[PastSpend], horizon_days: int
) -> dict[str, float] | None:
    """What `spend_interval` needs, from past origins; None without one that had actual spend.

    Parameters
    ----------
    totals
        Of matured origins. Recent ones weigh more, by a half-life of 180 days.
    predictions
        Of earlier origins, by models that had not seen the actual spend.
    horizon_days
        Days ahead: origins that are closer share outcomes and count as a part of one.

    Returns
    -------
    ``level`` (root mean square of the log errors of totals, with that of the prior), ``origins``
    (independent ones with the prior), ``dispersion`` (variance of the spend of a customer over its
    mean to the power 1.5, at the actual level), and ``group`` (standard deviation of the relative
    error of a small group beside that of the whole and beyond chance).
    """
    known = sorted(
        (past for past in totals if past.actual > 0 and past.expected > 0), key=lambda past: past.at
    )
    at_level = [
        PastSpend(one.expected * (one.actual.sum() / one.expected.sum()), one.actual, one.groupings)
        for one in predictions
        if one.expected.sum() > 0 and one.actual.sum() > 0
    ]
    if not known or not at_level:
        return None
    ages_days = np.array([(known[-1].at - past.at).days for past in known], dtype=np.float64)
    weights = 0.5 ** (ages_days / _HALF_LIFE_DAYS)
    error = level_error(
        np.array([past.actual for past in known]),
        np.array([past.expected for past in known]),
        weights,
    )
    # Kish's share of the origins that count, of those that do not share outcomes.
    effective_share = float(weights.sum() ** 2 / (weights**2).sum()) / len(weights)
    origins = effective_share * (1.0 + float(ages_days[0]) / horizon_days)
    pooled = origins * error**2 + _PRIOR_ORIGINS * _PRIOR_ERROR**2
    squares = sum(float(((one.actual - one.expected) ** 2).sum()) for one in at_level)
    dispersion = squares / sum(float((one.expected**TWEEDIE_POWER).sum()) for one in at_level)
    return {
        "level": float(np.sqrt(pooled / (origins + _PRIOR_ORIGINS))),
        "origins": origins + _PRIOR_ORIGINS,
        "dispersion": dispersion,
        "group": _group_error(at_level, dispersion),
    }


def _group_error(predictions: Sequence[PastSpend], dispersion: float) -> float:
    """Relative error of a small group beyond chance and the level, pooled over past groups.

    A group that is a share s of the total has (1 - s) times this error: the whole has none.
    """
    excess, weights = [], []
    for spend in predictions:
        total = float(spend.expected.sum())
        for members in _groups(spend.groupings):
            expected = float(spend.expected[members].sum())
            share = expected / total
            if not 0 < share <= _LARGEST_SHARE or len(members) < FEWEST_CUSTOMERS:
                continue
            error = float(spend.actual[members].sum()) / expected - 1.0
            chance = dispersion * float((spend.expected[members] ** TWEEDIE_POWER).sum())
            chance *= (1.0 - share) / expected**2
            excess.append((error**2 - chance) / (1.0 - share) ** 2)
            # Groups that are mostly chance tell less of the error beyond it.
            weights.append(1.0 / (chance / (1.0 - share) ** 2 + _PRIOR_GROUP_ERROR**2))
    mean_square = max(float(np.average(excess, weights=weights)), 0.0) if excess else 0.0
    pooled = len(excess) * mean_square + _PRIOR_GROUPS * _PRIOR_GROUP_ERROR**2
    return float(np.sqrt(pooled / (len(excess) + _PRIOR_GROUPS)))


def _groups(groupings: Sequence[Array]) -> Iterator[Array]:
    """Positions of the customers of every group of every grouping."""
    for names in groupings:
        yield from pd.Series(names).groupby(names).indices.values()


def spend_interval(
    errors: Mapping[str, float], clv: Array, whole: float
) -> tuple[float, float] | None:
    """Interval of the total spend of customers with these expectations (money).

    Parameters
    ----------
    errors
        From `spend_errors`.
    clv
        Expected spend, one a customer; NaN counts as 0.
    whole
        Expected total of all customers of the run, these among them.

    Returns
    -------
    Both ends; None where the total is too uncertain to say more than its size: fewer than 30
    customers, or an interval that would begin at 0.
    """
    known = np.nan_to_num(np.asarray(clv, float))
    expected = float(known.sum())
    if len(known) < FEWEST_CUSTOMERS or expected <= 0:
        return None
    group_error = errors["group"] * (1.0 - min(expected / whole, 1.0))
    low, high = total_interval(
        expected,
        variance=errors["dispersion"] * float((known**TWEEDIE_POWER).sum()),
        level_error=float(np.hypot(errors["level"], group_error)),
        origins=errors["origins"],
    )
    return (low, high) if low > 0 else None
