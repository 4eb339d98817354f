"""Ratios of two means, such as revenue per order: the delta method, made into a mean.

The ratio of an arm is the sum of its numerators over the sum of its denominators; people are drawn,
orders are not, so a mean over orders would count people with many orders as if drawn many times.
The first-order expansion of the ratio around the arm's means gives every person a value with the
arm's ratio as mean and the variance of the delta method (Deng, Knoblich and Lu 2018, Applying the
delta method in metric analytics, KDD). Those values are then compared as amounts of money are.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from campaigns.effects.two_arms import Floats, TwoArms


def as_mean(arms: TwoArms, denominator: Floats) -> TwoArms | None:
    """Arms with another outcome: its mean is the ratio of their outcome to a denominator.

    Parameters
    ----------
    arms
        The outcome is the numerator; every stratum has people in both arms.
    denominator
        Shape (people,), not negative: orders, for example.

    Returns
    -------
    TwoArms or None
        None if an arm's denominators sum to zero: it has no ratio.
    """
    linear = np.empty_like(arms.outcome)
    for in_arm in (arms.treated, ~arms.treated):
        sizes = np.bincount(arms.stratum[in_arm], minlength=len(arms.weights))
        # One person's share of the arm's weighted mean.
        share = (arms.weights / sizes)[arms.stratum[in_arm]]
        mean = float(share @ denominator[in_arm])
        if not mean > 0:
            return None
        ratio = float(share @ arms.outcome[in_arm]) / mean
        error = arms.outcome[in_arm] - ratio * denominator[in_arm]
        linear[in_arm] = ratio + error / mean
    return replace(arms, outcome=linear)
