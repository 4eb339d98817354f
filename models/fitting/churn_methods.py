"""The methods of the churn stack: each fitted as of today, and as of earlier origins.

Every earlier origin has models of its own, fitted only on snapshots with labels that had matured by
then: they meet later months and a later mood of the trade, as in serving.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd

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
from models.fitting.contracts import fit_contracts, with_level
from models.fitting.multiclass_trees import steady_columns
from models.fitting.rfm import CHURN_LABEL, RFM_COLUMNS, RFM_STRENGTH
from models.scorer.churn import METHODS, method_logits
from models.scorer.part import Part

_ORIGINS = 3  # earlier origins that weigh the methods
_BETWEEN = 1 / 3  # horizons between two of them: closer ones share nearly all outcomes
_MIN_ROWS = 50  # rows that the models of an earlier origin are fitted on
_MAX_ROWS = 60_000  # of an earlier origin's models; weights need no more
_MIN_CLASS_FOR_TREES = 60  # customers of the rarer outcome below which no trees are served
_MIN_CLASS_TESTED = 20  # and none are tested at an earlier origin
# (horizons, share): share of RFM and BTYD if the training snapshots span fewer horizons and no
# earlier origin can weigh the methods. The labels are then nearly equal, and windows longer than
# the history reveal the calendar.
_SHORT_SPANS = ((1.0, 2 / 3), (2.0, 1 / 4))


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
    learned_from
        Customers of the latest snapshot that these models were fitted on.
    """

    __test__ = False  # not a test case, whatever pytest thinks of the name

    at: pd.Timestamp
    customers: Array
    target: Array
    logits: Mapping[str, Array]
    learned_from: int


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
    frame: pd.DataFrame,
    population: pd.DataFrame | None,
    columns: list[str],
    *,
    strength: float,
    horizon_days: int,
) -> dict[str, Any]:
    """Fit all methods but the trees.

    Parameters
    ----------
    frame
        Labelled rows with derived features.
    population
        Purchase counts and contracts of everyone at the date of fitting (``btyd__*``,
        ``contract__*``); None: no BTYD.
    columns
        Inputs of the wide regression.
    strength
        C of the wide regression.
    horizon_days
        Days of the label.

    Returns
    -------
    ``linear``, ``simple`` (RFM regression), ``btyd`` and ``contract`` (null where they cannot be
    fitted) and ``base_logit``, for `models.scorer.churn.method_logits`.
    """
    target = frame[CHURN_LABEL].to_numpy()
    contract = fit_contracts(population)
    varying = [name for name in RFM_COLUMNS if name in frame and frame[name].nunique() > 1]
    return {
        "columns": columns,
        "linear": fit_logistic(frame, columns, target, strength=strength),
        "simple": fit_logistic(frame, varying, target, strength=RFM_STRENGTH),
        "btyd": None if population is None else fit_btyd(population),
        "contract": contract and with_level(contract, frame, horizon_days),
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
                int((matured["snapshot_at"] == matured["snapshot_at"].max()).sum()),
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
    methods = fit_simple_methods(
        matured, population, columns, strength=recipe.strength, horizon_days=horizon_days
    )
    return Part("churn", {**methods, "horizon_days": horizon_days}, boosters)
