"""Effect on a share of customers (response): Newcombe's interval, over strata."""

from __future__ import annotations

import numpy as np
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep

from campaigns.effects.two_arms import Effect, TwoArms

LEVEL = 0.05  # of every interval: 95 %


def share_effect(arms: TwoArms, *, alpha: float = LEVEL) -> Effect:
    """Difference of two shares with Newcombe's hybrid score interval (1998).

    Over strata it is the interval of Yan and Su (2010): the shares are weighted means, and each
    arm counts as many people as give the weighted mean its variance. NaN without people in both
    arms of a stratum.

    Parameters
    ----------
    arms
        Outcome 0 or 1.
    alpha
        Chance of missing the true difference, both sides together.
    """
    if not len(arms.outcome):
        return Effect(*[float("nan")] * 6)
    weights, (treated_means, control_means) = arms.weights, arms.arm_means()
    treated, control = float(weights @ treated_means), float(weights @ control_means)
    people = [float(1 / np.sum(weights**2 / size)) for size in arms.sizes]

    low, high = confint_proportions_2indep(
        treated * people[0],
        people[0],
        control * people[1],
        people[1],
        method="newcomb",
        compare="diff",
        alpha=alpha,
    )
    difference = treated - control
    # The end towards zero gives the standard error that matters (Altman and Bland 2011).
    distance = difference - low if difference > 0 else high - difference
    errors = abs(difference) / distance * stats.norm.isf(alpha / 2) if distance > 0 else 0.0
    p_value = 2 * float(stats.norm.sf(errors))
    return Effect(treated, control, difference, float(low), float(high), p_value)
