"""Stack of the churn methods: their log-odds weighted by what they were worth at earlier origins.

Every earlier origin has models of its own, fitted only on snapshots whose labels had matured by
then, so that the weights see what serving sees: later months, and a later mood of the trade.
Stacking after Wolpert (1992); non-negative weights shrunk towards equal ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
from scipy.optimize import LinearConstraint, brentq, minimize

from features.arrays import Array
from models.fitting.binary_ensemble import (
    TwoClassRecipe,
    fit_logistic,
    has_one_class,
    predict_fold_by_fold,
    refit_trees,
    sample_customers,
    select_binary_columns,
)
from models.fitting.btyd import fit_btyd
from models.fitting.multiclass_trees import steady_columns
from models.fitting.rfm import CHURN_LABEL, RFM_COLUMNS, RFM_STRENGTH
from models.scorer.churn import METHODS, method_logits
from models.scorer.linear_model import sigmoid
from models.scorer.part import Part

BLEND = "blend"
_ORIGINS = 3  # earlier origins that weigh the methods
_BETWEEN = 1 / 3  # horizons between two of them: closer ones share nearly all outcomes
_MIN_ROWS = 50  # rows that the models of an earlier origin are fitted on
_MAX_ROWS = 60_000  # of an earlier origin's models; weights need no more
_PULL = 100.0  # customers' worth of evidence for the usual weights
_USUAL_SUM = 0.8  # of the usual weights; the mean of all has the rest
_LEAST_WEIGHT = 0.01
_MOST_SHIFT = 0.5  # in log-odds
_SINGLE = ("mean", "rfm", "btyd")  # may be served alone
_CLEAR = 0.5  # standard errors by which a single method other than the mean must beat the blend
_MIN_CLASS_FOR_TREES = 60  # customers of the rarer outcome below which no trees are served
_MIN_CLASS_TESTED = 20  # and none are tested at an earlier origin
# (horizons, share): share of RFM and BTYD if the training snapshots span fewer horizons and no
# earlier origin can weigh the methods. The labels are then nearly equal, and windows longer than
# the history reveal the calendar.
_SHORT_SPANS = ((1.0, 2 / 3), (2.0, 1 / 4))
_FEW_SHARE = 0.8  # their share with too few customers for trees; the mean of all has the rest


@dataclass(frozen=True)
class TestedOrigin:
    """Log-odds of every method at an earlier origin, and what came.

    Attributes
    ----------
    at
        The origin, a snapshot whose labels have matured.
    customers, target
        Eligible customers and their 0/1 outcome.
    logits
        By method; by models that saw no label that was open at the origin.
    """

    __test__ = False  # not a test case, whatever pytest thinks of the name

    at: pd.Timestamp
    customers: Array
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


def rfm_share(frame: pd.DataFrame, horizon_days: int) -> float:
    """Share of RFM and BTYD without earlier origins: 0 if the snapshots span two horizons."""
    span_days = (frame["snapshot_at"].max() - frame["snapshot_at"].min()).days
    return next(
        (share for horizons, share in _SHORT_SPANS if span_days < horizons * horizon_days), 0.0
    )


def allows_trees(frame: pd.DataFrame, least: int = _MIN_CLASS_FOR_TREES) -> bool:
    """True if there are enough customers of either outcome."""
    target = frame[CHURN_LABEL]
    customers = [frame.loc[target == outcome, "customer_id"].nunique() for outcome in (0, 1)]
    return min(customers) >= least


def base_logit(frame: pd.DataFrame) -> float:
    """Log-odds of the share that stayed away of the latest snapshot, smoothed by a customer."""
    latest = frame.loc[frame["snapshot_at"] == frame["snapshot_at"].max(), CHURN_LABEL]
    share = (float(latest.sum()) + 0.5) / (len(latest) + 1.0)
    return float(np.log(share) - np.log1p(-share))


def fit_simple_methods(
    frame: pd.DataFrame, population: pd.DataFrame | None, columns: list[str], *, strength: float
) -> dict[str, Any]:
    """Fit all methods but the trees.

    Parameters
    ----------
    frame
        Labelled rows with derived features.
    population
        Purchase counts of everyone at the date of fitting (``btyd__*``); None: no BTYD.
    columns
        Inputs of the wide regression.
    strength
        C of the wide regression.

    Returns
    -------
    ``linear``, ``simple`` (RFM regression), ``btyd`` (null where it cannot be fitted) and
    ``base_logit``, for `models.scorer.churn.method_logits`.
    """
    target = frame[CHURN_LABEL].to_numpy()
    varying = [name for name in RFM_COLUMNS if name in frame and frame[name].nunique() > 1]
    return {
        "columns": columns,
        "linear": fit_logistic(frame, columns, target, strength=strength),
        "simple": fit_logistic(frame, varying, target, strength=RFM_STRENGTH),
        "btyd": None if population is None else fit_btyd(population),
        "base_logit": base_logit(frame),
    }


def test_origins(
    frame: pd.DataFrame,
    populations: Mapping[pd.Timestamp, pd.DataFrame],
    columns: list[str],
    recipe: TwoClassRecipe,
    *,
    horizon_days: int,
    seed: int,
    threads: int,
) -> list[TestedOrigin]:
    """Predict up to three earlier origins by models fitted before them, the latest first.

    Parameters
    ----------
    frame
        Labelled rows of all matured snapshots with derived features.
    populations
        Purchase counts of everyone at each snapshot.
    columns
        Inputs that vary; the strongest are chosen anew at every origin.
    recipe
        Settings of trees and regression.
    horizon_days, seed, threads
        As in `models.tasks.churn.fit_churn`.
    """
    tested: list[TestedOrigin] = []
    recipe = replace(recipe, max_rows=min(recipe.max_rows, _MAX_ROWS))
    closest = pd.Timedelta(days=_BETWEEN * horizon_days)
    matures = frame["label_end_at"]
    for at in sorted(frame["snapshot_at"].unique(), reverse=True):
        if len(tested) == _ORIGINS:
            break
        if tested and tested[-1].at - at < closest:
            continue
        matured = sample_customers(frame[matures <= at], recipe, seed=seed)
        if len(matured) < _MIN_ROWS or has_one_class(matured[CHURN_LABEL].to_numpy()):
            break
        rows = frame[frame["snapshot_at"] == at]
        if has_one_class(rows[CHURN_LABEL].to_numpy()):
            continue  # it would praise the mean alone
        part = _fit_at(
            matured.reset_index(drop=True),
            populations.get(at),
            columns,
            recipe,
            horizon_days=horizon_days,
            seed=seed,
            threads=threads,
        )
        tested.append(
            TestedOrigin(
                pd.Timestamp(at),
                rows["customer_id"].to_numpy(),
                rows[CHURN_LABEL].to_numpy(),
                method_logits(part, rows, METHODS),
            )
        )
    return tested


test_origins.__test__ = False  # type: ignore[attr-defined]


def _fit_at(
    matured: pd.DataFrame,
    population: pd.DataFrame | None,
    columns: list[str],
    recipe: TwoClassRecipe,
    *,
    horizon_days: int,
    seed: int,
    threads: int,
) -> Part:
    """All methods as of an earlier origin; trees by a single seed."""
    target = matured[CHURN_LABEL].to_numpy()
    columns = [name for name in columns if matured[name].nunique() > 1]
    if rfm_share(matured, horizon_days):
        columns = steady_columns(matured, columns)
    columns = select_binary_columns(matured, columns, target, seed=seed, threads=threads)
    boosters: dict[str, lgb.Booster] = {}
    if columns and allows_trees(matured, _MIN_CLASS_TESTED):
        folds = predict_fold_by_fold(
            matured, columns, target, recipe, seed=seed, threads=threads, with_regression=False
        )
        stopped_at = next(folds).rounds[0]
        boosters = refit_trees(
            matured,
            columns,
            target,
            replace(recipe, folds=1),
            rounds=max(1, round(recipe.refit_factor * stopped_at)),
            seed=seed,
            threads=threads,
        )
    methods = fit_simple_methods(matured, population, columns, strength=recipe.strength)
    return Part("churn", {**methods, "horizon_days": horizon_days}, boosters)


def choose_stack(
    tested: Sequence[TestedOrigin], available: Sequence[str], *, prior: Mapping[str, float]
) -> Stack:
    """Weigh the methods, or choose a single one where the blend is not better.

    The mean of all is served unless the blend beats it over the earlier origins; recency, frequency
    and value, or BTYD, only if they beat the blend by half a standard error.

    Parameters
    ----------
    tested
        From `test_origins`.
    available
        Methods that can be fitted as of today.
    prior
        Weights without earlier origins.
    """
    if not tested:
        reason = "no earlier origin can weigh the methods: the history is too short"
        return Stack(BLEND, dict(prior), 0.0, {}, [], reason)
    tested = [origin for origin in tested if set(origin.logits) >= set(tested[0].logits)]
    names = [name for name in available if name in tested[0].logits]
    blended = [name for name in names if name != "mean"]
    blend_losses = []
    for origin in tested:
        others = [other for other in tested if other is not origin] or list(tested)
        weights, shift = _weights_and_shift(others, blended)
        blend_losses.append(_losses(origin.target, mixed_logits(origin.logits, weights) + shift))
    blend_loss = np.concatenate(blend_losses)
    losses = {BLEND: float(blend_loss.mean())}
    rivals = {}
    for name in names:
        single = np.concatenate([_losses(origin.target, origin.logits[name]) for origin in tested])
        losses[name] = float(single.mean())
        gains = blend_loss - single
        bar = 0.0 if name == "mean" else _CLEAR * _standard_error(gains, tested)
        if name in _SINGLE and gains.mean() >= bar:
            rivals[name] = losses[name]
    served = min(rivals, key=lambda name: rivals[name]) if rivals else BLEND
    weights, shift = {served: 1.0}, 0.0
    if served == BLEND:
        weights, shift = _weights_and_shift(tested, blended)
    dates = [str(origin.at.date()) for origin in tested]
    return Stack(served, weights, shift, losses, dates, _reason(served))


def _reason(served: str) -> str:
    if served == BLEND:
        return "the blend of the methods beats each simple one at earlier origins"
    return f"the blend does not beat {served} at earlier origins"


def mixed_logits(logits: Mapping[str, Array], weights: Mapping[str, float]) -> Array:
    """Weighted sum of log-odds."""
    return np.asarray(sum(weight * logits[name] for name, weight in weights.items()))


def _losses(target: Array, logits: Array) -> Array:
    probability = np.clip(sigmoid(logits), 1e-6, 1 - 1e-6)
    return np.asarray(-np.where(target == 1, np.log(probability), np.log1p(-probability)))


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
    frame: pd.DataFrame, horizon_days: int, *, with_trees: bool, with_btyd: bool
) -> dict[str, float]:
    """Weights where no earlier origin can tell: the shorter the history, the more RFM and BTYD."""
    share = rfm_share(frame, horizon_days) if with_trees else _FEW_SHARE
    simple = {"rfm": share / 2.0, "btyd": share / 2.0} if with_btyd else {"rfm": share}
    rest = (1.0 - share) / 2.0
    others = {"trees": rest, "logistic": rest} if with_trees else {"mean": 1.0 - share}
    return {name: weight for name, weight in {**others, **simple}.items() if weight}
