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
from models.scorer.churn import apply_calibration, churn_btyd_logit, churn_group, churn_lift
from models.scorer.derived_features import derive_each
from models.scorer.linear_model import linear, matrix, sigmoid
from models.scorer.part import Part

_MIN_CLASS_FOR_TREES = 60  # customers of the rarer class below which only the linear half is fitted
# (horizons, share): share of a plain RFM regression if the training snapshots span fewer horizons.
# Their labels are then nearly equal, and windows longer than the history reveal the calendar.
_SHORT_SPANS = ((1.0, 2 / 3), (2.0, 1 / 4))
_FEW_SHARE = 0.8  # its share with too few customers for trees
_BASE_WEIGHT = 50.0  # rows of the overall rate that a peer group's base rate is smoothed with
_BAND_QUANTILES = (
    0.5,
    0.85,
)  # of the lift at validation: low up to the first, high from the second


def rfm_share(frame: pd.DataFrame, horizon_days: int) -> float:
    """Share of the RFM regression in the logits: 0 if the snapshots span two horizons or more."""
    span_days = (frame["snapshot_at"].max() - frame["snapshot_at"].min()).days
    return next(
        (share for horizons, share in _SHORT_SPANS if span_days < horizons * horizon_days), 0.0
    )


def _varying_among(columns: list[str], frame: pd.DataFrame) -> list[str]:
    return [name for name in columns if name in frame.columns and frame[name].nunique() > 1]


def _require_learnable(frame: pd.DataFrame) -> pd.DataFrame:
    """Labelled rows; refuse a frame without a label, or with a single class."""
    if CHURN_LABEL not in frame.columns:
        raise ValueError(f"churn: the training frame has no label column {CHURN_LABEL!r}")
    frame = frame[frame[CHURN_LABEL].notna()]
    if frame.empty:
        raise ValueError(
            "churn: no labelled customer: no snapshot whose horizon has ended has eligible "
            "customers (a longer history, a shorter horizon or more activity days are needed)"
        )
    target = frame[CHURN_LABEL].to_numpy()
    if has_one_class(target):
        outcome = "no customer purchased" if target[0] == 1 else "every customer purchased"
        raise ValueError(
            f"churn: one class only: in all {len(frame)} training rows {outcome} within the "
            "horizon; another horizon or other activity days are needed"
        )
    return frame


def _fit_bands(frame: pd.DataFrame, target: Array, probability: Array) -> dict[str, Any]:
    """Base rates of the peer groups, and the cut-offs of the lift over them.

    Parameters
    ----------
    frame
        Rows of the validation snapshot (`stage__code`, `btyd__x`).
    target, probability
        0/1 outcome and calibrated probability of the same rows, by a model not fitted on them.

    Returns
    -------
    ``base`` (rate by group, smoothed to ``base_of_all``), ``low`` and ``high`` (odds ratios).
    """
    groups, overall_rate = churn_group(frame), float(np.mean(target))
    counts = (
        pd.DataFrame({"group": groups, "y": target}).groupby("group")["y"].agg(["sum", "count"])
    )
    base_rates = (counts["sum"] + _BASE_WEIGHT * overall_rate) / (counts["count"] + _BASE_WEIGHT)
    bands = {"base": base_rates.to_dict(), "base_of_all": overall_rate}
    low_cut, high_cut = np.quantile(churn_lift(bands, groups, probability), _BAND_QUANTILES)
    return {**bands, "low": float(low_cut), "high": float(high_cut)}


def _validation_figures(target: Array, probability: Array, *, seed: int) -> dict[str, Any]:
    return {
        "rows": len(target),
        "rate": float(target.mean()),
        "auc": None if has_one_class(target) else metrics.auc(target, probability),
        "log_loss": metrics.log_loss(target, probability),
        "brier": metrics.brier(target, probability),
        "ece": metrics.ece(target, probability),
        "ece_noise_floor": metrics.ece_noise_floor(probability, seed=seed).high,
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

    Mean of the logits of LightGBM (three seeds; rounds by early stopping on held-out customers,
    then a refit on all with 1.1 times as many) and of a logistic regression; BG/NBD is added if it
    clearly helps (`models.fitting.btyd_blend`).

    Parameters
    ----------
    frame
        Feature frame of the eligible customers, one row a customer and snapshot, with the label
        ``no_purchase`` (0/1; null rows are left out), the validation snapshot included.
    contexts
        Scoring context of every snapshot in `frame`.
    validation_at
        Latest matured snapshot. Its rows, predicted by models that saw none of their customers'
        rows, give the metrics, the bands and (if the recipe has one) the calibration.
    horizon_days, activity_days
        Days of the label's horizon, and the largest recency of eligible customers in days (None:
        no limit).
    at_validation, at_origin
        Feature frames of all customers then; without them BG/NBD has no share.
    seed, threads
        Seed of folds and trees, and number of threads.
    recipe
        Settings; None for the defaults.
    by
        Event that defines churn: no ``purchase``, or for contracts a ``cancel``.

    Returns
    -------
    `Part` named ``churn`` for `predict_churn`; ``parameters["validation"]`` holds the metrics at
    the validation snapshot.

    Raises
    ------
    ValueError
        Without labelled rows, or with a single class.
    """
    recipe = recipe or TwoClassRecipe()
    frame = sample_customers(_require_learnable(frame), recipe, seed=seed)
    frame = derive_each(frame, contexts).reset_index(drop=True)
    target = _require_learnable(frame)[CHURN_LABEL].to_numpy()
    columns = varying_columns(frame)
    rfm_weight = rfm_share(frame, horizon_days)
    if rfm_weight:
        columns = steady_columns(frame, columns)
    columns = select_binary_columns(frame, columns, target, seed=seed, threads=threads)
    rarer_customers = min(
        frame.loc[target == outcome, "customer_id"].nunique() for outcome in (0, 1)
    )
    with_trees = bool(columns) and rarer_customers >= _MIN_CLASS_FOR_TREES
    if not with_trees:
        rfm_weight = max(rfm_weight, _FEW_SHARE)
    regression = fit_logistic(frame, columns, target, strength=recipe.strength)
    boosters: dict[str, lgb.Booster] = {}
    rounds: list[int] = []
    if with_trees:
        out_of_fold = predict_out_of_fold(
            frame, columns, target, recipe, seed=seed, threads=threads
        )
        logits, rounds = out_of_fold.logit, out_of_fold.rounds
        final_rounds = max(1, round(recipe.refit_factor * float(np.mean(rounds))))
        boosters = refit_trees(
            frame, columns, target, recipe, rounds=final_rounds, seed=seed, threads=threads
        )
    else:
        logits = linear(regression, matrix(frame, columns))
    rfm_regression = fit_logistic(
        frame, _varying_among(RFM_COLUMNS, frame), target, strength=RFM_STRENGTH
    )
    logits = (1 - rfm_weight) * logits + rfm_weight * linear(
        rfm_regression, matrix(frame, rfm_regression["columns"])
    )
    parameters: dict[str, Any] = {
        "columns": columns,
        "linear": regression,
        "simple": rfm_regression,
        "simple_weight": rfm_weight,
        "linear_weight": recipe.linear_weight,
        "horizon_days": horizon_days,
        "activity_days": activity_days,
        "by": by,
        "rounds": rounds,
        "rows": len(frame),
        "snapshots": int(frame["snapshot_at"].nunique()),
    }
    validation_rows = np.flatnonzero(frame["snapshot_at"] == pd.Timestamp(validation_at))
    validation_rows = validation_rows if len(validation_rows) else np.arange(len(frame))
    all_rows, all_logits = frame, logits
    checked, logits = frame.iloc[validation_rows], logits[validation_rows]
    if at_validation is not None and at_origin is not None:
        btyd_blend, logits = blend_with_btyd(
            checked,
            checked[CHURN_LABEL].to_numpy(),
            logits,
            horizon_days=horizon_days,
            at_validation=at_validation,
            at_origin=at_origin,
        )
        parameters |= btyd_blend
    parameters |= _fit_output_maps(checked, logits, recipe, seed=seed)
    if btyd_weight := parameters.get("btyd_weight", 0.0):
        btyd_logits = churn_btyd_logit(parameters["btyd"], all_rows, horizon_days)
        all_logits = (1 - btyd_weight) * all_logits + btyd_weight * btyd_logits
    held_out_risk = apply_calibration(parameters["calibration"], sigmoid(all_logits))
    parameters["back_off"] = fit_back_off(all_rows, target, held_out_risk) if with_trees else None
    return Part("churn", parameters, boosters)


def _fit_output_maps(
    rows: pd.DataFrame, logits: Array, recipe: TwoClassRecipe, *, seed: int
) -> dict[str, Any]:
    """Fit calibration and bands on the predictions at the validation snapshot, and measure them."""
    target, raw_probability = rows[CHURN_LABEL].to_numpy(), sigmoid(logits)
    calibration = fit_calibration(recipe.calibration, target, raw_probability)
    probability = apply_calibration(calibration, raw_probability)
    return {
        "calibration": calibration,
        "bands": _fit_bands(rows, target, probability),
        "validation": _validation_figures(target, probability, seed=seed),
    }
