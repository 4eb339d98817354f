"""One comparison of two arms in full: for one look, and for any number of looks."""

from __future__ import annotations

import pandas as pd

from campaigns.effects.any_time import AnyTime
from campaigns.effects.mean_effect import mean_effect
from campaigns.effects.share_effect import share_effect
from campaigns.effects.two_arms import Effect, Floats, TwoArms

_CAPPED_AT = 0.99  # quantile at which covariates are cut: one large customer must not bend a slope


def compared(arms: TwoArms, *, is_share: bool, seed: int) -> dict[str, float]:
    """Cells of a comparison.

    Parameters
    ----------
    arms
        The people; covariates count for means only.
    is_share
        True: the outcome is 0 or 1 (Newcombe). False: a mean or ratio of money (permutation test).
    seed
        Of the permutations.

    Returns
    -------
    dict
        treatment, control (means), difference, low, high, p_value (for one look), low_any_time,
        high_any_time, p_any_time (for any number), variance_left. All are NaN if an arm's
        denominators sum to zero.
    """
    any_time = AnyTime.of(arms)
    if is_share:
        effect, wide = share_effect(arms), share_effect(arms, alpha=any_time.level)
        return _cells(effect, any_time, wide.low, wide.high)
    effect = mean_effect(arms, seed=seed)
    return _cells(effect, any_time, *any_time.widened(effect))


def _cells(effect: Effect, any_time: AnyTime, low: float, high: float) -> dict[str, float]:
    return {
        "treatment": effect.treated,
        "control": effect.control,
        "difference": effect.difference,
        "low": effect.low,
        "high": effect.high,
        "p_value": effect.p_value,
        "low_any_time": low,
        "high_any_time": high,
        "p_any_time": any_time.p_value(low, high, effect.difference),
        "variance_left": effect.variance_left,
    }


def capped_covariates(covariates: pd.DataFrame) -> Floats | None:
    """Covariates cut at their 99 % quantile; None if none are known."""
    known = covariates.loc[:, covariates.notna().any()].astype(float)
    if not known.shape[1]:
        return None
    values: Floats = known.clip(upper=known.quantile(_CAPPED_AT), axis=1).to_numpy(dtype=float)
    return values
