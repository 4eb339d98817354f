"""Stack of the churn methods: their log-odds weighted by what they were worth at earlier origins.

Stacking after Wolpert (1992), with non-negative weights shrunk towards usual ones.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import LinearConstraint, brentq, minimize

from features.arrays import Array
from models.fitting.churn_methods import TestedOrigin, rfm_share
from models.metrics import metrics
from models.scorer.linear_model import sigmoid

BLEND = "blend"
_PULL = 100.0  # customers' worth of evidence for the usual weights
_USUAL_SUM = 0.8  # of the usual weights; the mean of all has the rest
_LEAST_WEIGHT = 0.01
_MOST_SHIFT = 0.5  # in log-odds
# Methods that may be served alone, and the standard errors by which each must beat the blend: a
# contract model is what contracts suggest, so that the blend must beat it.
_SINGLE_BARS = {"mean": 0.0, "rfm": 0.5, "btyd": 0.5, "contract": -0.5}
_FEW_SHARE = 0.8  # of RFM and BTYD with too few customers for trees; the mean of all has the rest
# Labelled customers of the latest snapshot with whom the mean of all has half of the weight
# (docs/models.md has the draws of small shops that it was chosen on).
_HALF_TRUST = 100.0
_BROKEN_LEVEL = 0.5  # in log-odds: an untested blend that is further off at the latest snapshot


@dataclass(frozen=True)
class LatestSnapshot:
    """Labelled customers of the latest snapshot.

    Attributes
    ----------
    target
        0/1 outcome of each.
    logits
        By method, of those that can be fitted as of today; without trees.
    """

    target: Array
    logits: Mapping[str, Array]


@dataclass(frozen=True)
class Stack:
    """Weights of the methods, what they were chosen by, and the reason.

    Attributes
    ----------
    served
        ``blend`` or the name of a single method.
    weights
        Weight of the log-odds of every method served; they sum to 1.
    shift
        Added to the log-odds: by how much more or fewer left at each of the earlier origins than
        the methods had learned before it (the least of all, and only where all agree).
    losses
        Mean log loss over the earlier origins by candidate; empty without such origins. The
        blend's are by weights that were learned on the other origins.
    tested
        Dates of these origins.
    reason
        A sentence.
    """

    served: str
    weights: dict[str, float]
    shift: float
    losses: dict[str, float]
    tested: list[str]
    reason: str

    def report(self) -> dict[str, Any]:
        """The decision for the model card, JSON-able."""
        return {
            "served": self.served,
            "why": self.reason,
            "weights": self.weights,
            "shift": self.shift,
            "log_losses": self.losses,
            "tested_origins": self.tested,
        }


def choose_stack(
    tested: Sequence[TestedOrigin],
    available: Sequence[str],
    *,
    prior: Mapping[str, float],
    latest: LatestSnapshot,
) -> Stack:
    """Weigh the methods, or choose a single one where the blend is not better.

    The mean of all is served unless the blend beats it over the earlier origins; recency, frequency
    and value, or BTYD, only if they beat the blend by half a standard error; for contracts their
    model, unless the blend beats it by as much. With few customers all are drawn towards the mean
    of all; without an earlier origin the mean is served where the level has just changed.

    Parameters
    ----------
    tested
        From `test_origins`.
    available
        Methods that can be fitted as of today.
    prior
        Weights without earlier origins.
    latest
        The latest snapshot.
    """
    share = trusted_share(len(latest.target))
    if not tested:
        if abs(_prior_level_error(prior, latest)) > _BROKEN_LEVEL:
            return Stack("mean", {"mean": 1.0}, 0.0, {}, [], _BROKEN_LEVEL_REASON)
        reason = "no earlier origin can weigh the methods: the history is too short"
        return Stack(BLEND, _towards_mean(prior, share), 0.0, {}, [], reason)
    tested = [origin for origin in tested if set(origin.logits) >= set(tested[0].logits)]
    names = [name for name in available if name in tested[0].logits]
    blended = [name for name in names if name != "mean"]
    blend_losses = []
    for origin in tested:
        others = [other for other in tested if other is not origin] or list(tested)
        weights, shift = _weights_and_shift(others, blended)
        blend = mixed_logits(origin.logits, weights) + shift
        blend_losses.append(_losses(origin.target, _cautious(blend, origin)))
    blend_loss = np.concatenate(blend_losses)
    losses = {BLEND: float(blend_loss.mean())}
    rivals = {}
    for name in names:
        single = np.concatenate(
            [_losses(origin.target, _cautious(origin.logits[name], origin)) for origin in tested]
        )
        losses[name] = float(single.mean())
        gains = blend_loss - single
        bar = _SINGLE_BARS.get(name, 0.0) * _standard_error(gains, tested)
        if name in _SINGLE_BARS and gains.mean() >= bar:
            rivals[name] = losses[name]
    served = min(rivals, key=lambda name: rivals[name]) if rivals else BLEND
    weights, shift = {served: 1.0}, 0.0
    if served == BLEND:
        weights, shift = _weights_and_shift(tested, blended)
    dates = [str(origin.at.date()) for origin in tested]
    return Stack(
        served, _towards_mean(weights, share), share * shift, losses, dates, _reason(served)
    )


_BROKEN_LEVEL_REASON = (
    "the share that stays away has just changed, and no earlier origin can tell what still holds"
)


def trusted_share(customers: int) -> float:
    """Share of the methods beside the mean of all, by labelled customers of the latest snapshot.

    A half with 100, .96 with 500, and 1 from 1,000 on.
    """
    share = customers**2 / (customers**2 + _HALF_TRUST**2)
    return 1.0 if 1.0 - share < _LEAST_WEIGHT else float(share)


def _towards_mean(weights: Mapping[str, float], share: float) -> dict[str, float]:
    """Weights of which the mean of all takes what is not trusted."""
    if share == 1.0:
        return dict(weights)
    trusted = {name: share * weight for name, weight in weights.items() if name != "mean"}
    return {**trusted, "mean": 1.0 - sum(trusted.values())}


def _cautious(logits: Array, origin: TestedOrigin) -> Array:
    """Log-odds drawn towards the mean of all by as much as they would have been at the origin."""
    share = trusted_share(origin.learned_from)
    return np.asarray(share * logits + (1.0 - share) * origin.logits["mean"])


def _prior_level_error(prior: Mapping[str, float], latest: LatestSnapshot) -> float:
    """What must be added to the usual blend for its level to be that of the latest snapshot."""
    weights = {name: weight for name, weight in prior.items() if name in latest.logits}
    total = sum(weights.values())
    if not total:
        return 0.0
    weights = {name: weight / total for name, weight in weights.items()}
    return _level_error(latest.target, mixed_logits(latest.logits, weights))


def _reason(served: str) -> str:
    if served == BLEND:
        return "the blend of the methods beats each simple one at earlier origins"
    return f"the blend does not beat {served} at earlier origins"


def mixed_logits(logits: Mapping[str, Array], weights: Mapping[str, float]) -> Array:
    """Weighted sum of log-odds."""
    return np.asarray(sum(weight * logits[name] for name, weight in weights.items()))


def _losses(target: Array, logits: Array) -> Array:
    return metrics.log_losses(target, sigmoid(logits))


def _standard_error(gains: Array, tested: Sequence[TestedOrigin]) -> float:
    """Standard error of a mean over rows in which a customer's rows count as one observation."""
    customers = np.unique(np.concatenate([origin.customers for origin in tested])).size
    return float(gains.std() / np.sqrt(customers))


def _weights_and_shift(
    tested: Sequence[TestedOrigin], names: list[str]
) -> tuple[dict[str, float], float]:
    """Weights of the methods, and the shift of the level that all origins agree on."""
    weights = _shrunk_weights(tested, names)
    errors = [
        _level_error(origin.target, mixed_logits(origin.logits, weights)) for origin in tested
    ]
    agree = len(errors) > 1 and (min(errors) > 0 or max(errors) < 0)
    least = min(errors, key=abs)
    return weights, float(np.clip(least, -_MOST_SHIFT, _MOST_SHIFT)) if agree else 0.0


def _level_error(target: Array, logits: Array) -> float:
    """What must be added to the log-odds for the expected number of leavers to be the actual one.

    Half a customer of either outcome is added, so that it is finite.
    """
    share = (float(target.sum()) + 0.5) / (len(target) + 1.0)

    def excess(shift: float) -> float:
        return float(sigmoid(logits + shift).mean()) - share

    return float(brentq(excess, -40.0, 40.0, xtol=1e-6))


def _shrunk_weights(tested: Sequence[TestedOrigin], names: list[str]) -> dict[str, float]:
    """Weights by log loss with a ridge towards the usual ones.

    They are not negative and sum to 1 at most; the mean of all has the rest.
    """
    base = np.concatenate([origin.logits["mean"] for origin in tested])
    logits = np.concatenate(
        [np.stack([origin.logits[name] for name in names], axis=1) for origin in tested]
    )
    apart = logits - base[:, None]
    target = np.concatenate([origin.target for origin in tested])
    customers = np.unique(np.concatenate([origin.customers for origin in tested])).size
    usual, pull = np.full(len(names), _USUAL_SUM / len(names)), _PULL / customers

    def objective(weights: Array) -> tuple[float, Array]:
        mixture = base + apart @ weights
        loss = float(_losses(target, mixture).mean() + pull * ((weights - usual) ** 2).sum())
        slope = apart.T @ (sigmoid(mixture) - target) / len(target)
        return loss, slope + 2.0 * pull * (weights - usual)

    minimum = minimize(
        objective,
        usual,
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * len(names),
        constraints=LinearConstraint(np.ones(len(names)), ub=1.0),
    )
    weights = {
        name: float(weight)
        for name, weight in zip(names, minimum.x, strict=True)
        if weight >= _LEAST_WEIGHT
    }
    return {**weights, "mean": max(0.0, 1.0 - sum(weights.values()))}


def prior_weights(
    frame: pd.DataFrame, horizon_days: int, available: Collection[str]
) -> dict[str, float]:
    """Weights where no earlier origin can tell: the shorter the history, the more RFM and BTYD.

    For contracts their model has the place of BTYD, which knows of no cancellation. A long history
    without an origin that tells is one in which everyone did the same: what was learned of the rest
    will not last, and the mean is served.
    """
    with_trees = "trees" in available
    share = rfm_share(frame, horizon_days) if with_trees else _FEW_SHARE
    if not share:
        return {"mean": 1.0}
    second = next((name for name in ("contract", "btyd") if name in available), None)
    simple = {"rfm": share / 2.0, second: share / 2.0} if second else {"rfm": share}
    rest = (1.0 - share) / 2.0
    others = {"trees": rest, "logistic": rest} if with_trees else {"mean": 1.0 - share}
    return {name: weight for name, weight in {**others, **simple}.items() if weight}
