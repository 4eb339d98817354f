"""Churn risk: P(no purchase within the horizon), LightGBM and logistic regression in logits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd

from features.arrays import Array
from models.fitting.binary_ensemble import (
    TwoClassRecipe,
    fit_logistic,
    has_one_class,
    predict_out_of_fold,
    refit_trees,
    sample_customers,
    select_binary_columns,
    varying_columns,
)
from models.fitting.btyd_blend import blend_with_btyd
from models.fitting.calibration import fit_calibration
from models.fitting.cold_start import fit_back_off
from models.fitting.multiclass_trees import steady_columns
from models.fitting.rfm import CHURN_LABEL, RFM_COLUMNS, RFM_STRENGTH
from models.metrics import metrics
from models.scorer.churn import calibrated, churn_btyd_logit, churn_group, churn_lift
from models.scorer.derived_features import derive_each
from models.scorer.linear_model import linear, matrix, sigmoid
from models.scorer.part import Part

_MIN_CLASS_FOR_TREES = 60  # customers of the rarer class below which only the linear half is fitted
# Share of a plain RFM regression where the training snapshots span less than so many horizons:
# their labels are nearly the same then, and windows that outgrow the history tell the calendar.
_SHORT_SPANS = ((1.0, 2 / 3), (2.0, 1 / 4))
_FEW_SHARE = 0.8  # its share where there are too few customers for trees
_BASE_WEIGHT = 50.0  # rows of the overall rate that a peer group's base rate is smoothed with
_BAND_QUANTILES = (
    0.5,
    0.85,
)  # of the lift at validation: low up to the first, high from the second


def simple_share(frame: pd.DataFrame, horizon_days: int) -> float:
    """Share of the RFM regression beside the recipe: 0 where the snapshots span two horizons."""
    span = (frame["snapshot_at"].max() - frame["snapshot_at"].min()).days
    return next((share for most, share in _SHORT_SPANS if span < most * horizon_days), 0.0)


def _varying(columns: list[str], frame: pd.DataFrame) -> list[str]:
    return [name for name in columns if name in frame.columns and frame[name].nunique() > 1]


def _checked(frame: pd.DataFrame) -> pd.DataFrame:
    """Labelled rows only; refuses what nothing can be learned from."""
    if CHURN_LABEL not in frame.columns:
        raise ValueError(f"churn: the training frame has no label column {CHURN_LABEL!r}")
    frame = frame[frame[CHURN_LABEL].notna()]
    if frame.empty:
        raise ValueError(
            "churn: no labelled customer: no snapshot whose horizon has ended has eligible "
            "customers (a longer history, a shorter horizon or more activity days are needed)"
        )
    y = frame[CHURN_LABEL].to_numpy()
    if has_one_class(y):
        said = "nobody purchased" if y[0] == 1 else "everybody purchased"
        raise ValueError(
            f"churn: one class only: in all {len(frame)} training rows {said} within the horizon; "
            "another horizon or other activity days are needed"
        )
    return frame


def _fit_bands(frame: pd.DataFrame, y: Array, p: Array) -> dict[str, Any]:
    """Base rates of the peer groups and the cut-offs of the lift over them.

    Parameters
    ----------
    frame
        Rows of the validation snapshot (`stage__code`, `btyd__x`).
    y, p
        Outcome and calibrated probability of the same rows, the latter not fitted on them.

    Returns
    -------
    ``base`` (rate by group, smoothed to ``base_of_all``), ``low`` and ``high`` (odds ratios).
    """
    group, overall = churn_group(frame), float(np.mean(y))
    table = pd.DataFrame({"group": group, "y": y}).groupby("group")["y"].agg(["sum", "count"])
    base = (table["sum"] + _BASE_WEIGHT * overall) / (table["count"] + _BASE_WEIGHT)
    bands = {"base": base.to_dict(), "base_of_all": overall}
    low, high = np.quantile(churn_lift(bands, group, p), _BAND_QUANTILES)
    return {**bands, "low": float(low), "high": float(high)}


def _validation_figures(y: Array, p: Array, *, seed: int) -> dict[str, Any]:
    return {
        "rows": len(y),
        "rate": float(y.mean()),
        "auc": None if has_one_class(y) else metrics.auc(y, p),
        "log_loss": metrics.log_loss(y, p),
        "brier": metrics.brier(y, p),
        "ece": metrics.ece(y, p),
        "ece_noise_floor": metrics.ece_noise_floor(p, seed=seed).high,
    }


def fit_churn(
    frame: pd.DataFrame,
    contexts: Mapping[pd.Timestamp, Mapping[str, Any]],
    *,
    validation_at: pd.Timestamp,
    horizon_days: int,
    seed: int,
    threads: int = 2,
    activity_days: int | None = None,
    at_validation: pd.DataFrame | None = None,
    at_origin: pd.DataFrame | None = None,
    recipe: TwoClassRecipe | None = None,
    by: str = "purchase",
) -> Part:
    """Fit the churn model on all matured snapshots.

    LightGBM (rounds by early stopping on held-out customers, then refitted on all with 1.1 times
    as many, three seeds) averaged in logits with a logistic regression, and with BG/NBD where that
    clearly helps (`models.fitting.btyd_blend`).

    Parameters
    ----------
    frame
        Feature frame of the eligible customers, one row a customer and snapshot, with the label
        ``no_purchase`` (0/1; null rows are left out), the validation snapshot included.
    contexts
        Scoring context of every snapshot in `frame`.
    validation_at
        Latest matured snapshot: its rows, predicted by models that saw none of their customers'
        rows, give the figures, the bands and (if the recipe wants one) the calibration.
    horizon_days, activity_days
        Horizon of the label, and the largest recency of the eligible (None: ever bought).
    at_validation, at_origin
        Feature frames of everyone then; without them BG/NBD has no share.
    seed, threads
        Seed of folds and trees, and number of threads.
    recipe
        Settings; None for the default ones.
    by
        What churn is: no ``purchase``, or for contracts a ``cancel`` event.

    Returns
    -------
    `Part` named ``churn`` for `predict_churn`; ``parameters["validation"]`` holds
    the figures at the validation snapshot.

    Raises
    ------
    ValueError
        Without labelled rows, or with one class only.
    """
    recipe = recipe or TwoClassRecipe()
    frame = sample_customers(_checked(frame), recipe, seed=seed)
    frame = derive_each(frame, contexts).reset_index(drop=True)
    y = _checked(frame)[CHURN_LABEL].to_numpy()
    columns = varying_columns(frame)
    share = simple_share(frame, horizon_days)
    if share:
        columns = steady_columns(frame, columns)
    columns = select_binary_columns(frame, columns, y, seed=seed, threads=threads)
    rarer = min(frame.loc[y == side, "customer_id"].nunique() for side in (0, 1))
    with_trees = bool(columns) and rarer >= _MIN_CLASS_FOR_TREES
    if not with_trees:
        share = max(share, _FEW_SHARE)
    straight = fit_logistic(frame, columns, y, strength=recipe.strength)
    boosters: dict[str, lgb.Booster] = {}
    rounds: list[int] = []
    if with_trees:
        held = predict_out_of_fold(frame, columns, y, recipe, seed=seed, threads=threads)
        logit, rounds = held.logit, held.rounds
        again = max(1, round(recipe.refit_factor * float(np.mean(rounds))))
        boosters = refit_trees(frame, columns, y, recipe, rounds=again, seed=seed, threads=threads)
    else:
        logit = linear(straight, matrix(frame, columns))
    simple = fit_logistic(frame, _varying(RFM_COLUMNS, frame), y, strength=RFM_STRENGTH)
    logit = (1 - share) * logit + share * linear(simple, matrix(frame, simple["columns"]))
    parameters: dict[str, Any] = {
        "columns": columns,
        "linear": straight,
        "simple": simple,
        "simple_weight": share,
        "linear_weight": recipe.linear_weight,
        "horizon_days": horizon_days,
        "activity_days": activity_days,
        "by": by,
        "rounds": rounds,
        "rows": len(frame),
        "snapshots": int(frame["snapshot_at"].nunique()),
    }
    at = np.flatnonzero(frame["snapshot_at"] == pd.Timestamp(validation_at))
    at = at if len(at) else np.arange(len(frame))
    everyone, held_out = frame, logit
    rows, logit = frame.iloc[at], logit[at]
    if at_validation is not None and at_origin is not None:
        half, logit = blend_with_btyd(
            rows,
            rows[CHURN_LABEL].to_numpy(),
            logit,
            horizon_days=horizon_days,
            at_validation=at_validation,
            at_origin=at_origin,
        )
        parameters |= half
    parameters |= _served(rows, logit, recipe, seed=seed)
    if share := parameters.get("btyd_weight", 0.0):
        other = churn_btyd_logit(parameters["btyd"], everyone, horizon_days)
        held_out = (1 - share) * held_out + share * other
    risk = calibrated(parameters["calibration"], sigmoid(held_out))
    parameters["back_off"] = fit_back_off(everyone, y, risk) if with_trees else None
    return Part("churn", parameters, boosters)


def _served(
    rows: pd.DataFrame, logit: Array, recipe: TwoClassRecipe, *, seed: int
) -> dict[str, Any]:
    """What is fitted on the predictions at the validation snapshot: calibration, bands, figures."""
    y, raw = rows[CHURN_LABEL].to_numpy(), sigmoid(logit)
    calibration = fit_calibration(recipe.calibration, y, raw)
    p = calibrated(calibration, raw)
    return {
        "calibration": calibration,
        "bands": _fit_bands(rows, y, p),
        "validation": _validation_figures(y, p, seed=seed),
    }
