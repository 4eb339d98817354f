"""Churn risk: P(no purchase within the horizon), by a stack of methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from features.arrays import Array
from models.fitting.binary_ensemble import (
    TwoClassRecipe,
    has_one_class,
    predict_out_of_fold,
    refit_trees,
    sample_customers,
    select_binary_columns,
    varying_columns,
)
from models.fitting.calibration import fit_calibration
from models.fitting.churn_methods import (
    allows_trees,
    fit_simple_methods,
    rfm_share,
    test_origins,
)
from models.fitting.churn_stack import (
    LatestSnapshot,
    choose_stack,
    mixed_logits,
    prior_weights,
)
from models.fitting.cold_start import fit_back_off
from models.fitting.multiclass_trees import steady_columns
from models.fitting.rfm import CHURN_LABEL
from models.metrics import metrics
from models.scorer.churn import METHODS, apply_calibration, churn_group, churn_lift, method_logits
from models.scorer.derived_features import derive_each
from models.scorer.linear_model import sigmoid
from models.scorer.part import Part

_BASE_WEIGHT = 50.0  # rows of the overall rate that a peer group's base rate is smoothed with
_BAND_QUANTILES = (
    0.5,
    0.85,
)  # of the lift at validation: low up to the first, high from the second


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
    purchase_counts: Mapping[pd.Timestamp, pd.DataFrame] | None = None,
    at_origin: pd.DataFrame | None = None,
    recipe: TwoClassRecipe | None = None,
    by: str = "purchase",
) -> Part:
    """Fit the churn model on all matured snapshots.

    A weighted sum of log-odds by LightGBM (three seeds; rounds by early stopping on held-out
    customers, then a refit on all with 1.1 times as many), a logistic regression on the same
    columns, one on recency, frequency and value, BG/NBD, and for contracts sBG or BdW; or one of
    these, or the mean, where the sum is not better at earlier origins
    (`models.fitting.churn_stack`).

    Parameters
    ----------
    frame
        Feature frame of the eligible customers, one row a customer and snapshot, with the label
        ``no_purchase`` (0/1; null rows are left out) and ``label_end_at``, the validation snapshot
        included.
    contexts
        Scoring context of every snapshot in `frame`.
    validation_at
        Latest matured snapshot. Its rows, predicted by models that saw none of their customers'
        rows, give the metrics, the bands and (if the recipe has one) the calibration.
    horizon_days, activity_days
        Days of the label's horizon, and the largest recency of eligible customers in days (None:
        no limit).
    purchase_counts, at_origin
        Columns ``btyd__*`` and ``contract__*`` of all customers at each snapshot and at the origin;
        without them BG/NBD and the contract model are no candidates.
    seed, threads
        Seed of folds and trees, and number of threads.
    recipe
        Settings; None for the defaults.
    by
        Event that defines churn: no ``purchase``, or for contracts a ``cancel``.

    Returns
    -------
    `Part` named ``churn`` for `predict_churn`; ``parameters["validation"]`` holds the metrics at
    the validation snapshot, ``parameters["report"]`` the choice of methods.

    Raises
    ------
    ValueError
        Without labelled rows, or with a single class.
    """
    recipe = recipe or TwoClassRecipe()
    frame = sample_customers(_require_learnable(frame), recipe, seed=seed)
    frame = derive_each(frame, contexts).reset_index(drop=True)
    target, columns = _require_learnable(frame)[CHURN_LABEL].to_numpy(), varying_columns(frame)
    tested = test_origins(
        frame,
        purchase_counts or {},
        columns,
        recipe,
        horizon_days=horizon_days,
        seed=seed,
        threads=threads,
    )
    if rfm_share(frame, horizon_days):
        columns = steady_columns(frame, columns)
    columns = select_binary_columns(frame, columns, target, seed=seed, threads=threads)
    methods = fit_simple_methods(
        frame, at_origin, columns, strength=recipe.strength, horizon_days=horizon_days
    )
    with_trees = bool(columns) and allows_trees(frame)
    available = [name for name in METHODS if name != "trees" or with_trees]
    available = [name for name in available if methods.get(name, name) is not None]
    latest_rows = frame[frame["snapshot_at"] == frame["snapshot_at"].max()]
    known_methods = Part("churn", {**methods, "horizon_days": horizon_days})
    stack = choose_stack(
        tested,
        available,
        prior=prior_weights(frame, horizon_days, available),
        latest=LatestSnapshot(
            latest_rows[CHURN_LABEL].to_numpy(), method_logits(known_methods, latest_rows, METHODS)
        ),
    )
    parameters: dict[str, Any] = {
        **methods,
        "weights": stack.weights,
        "shift": stack.shift,
        "horizon_days": horizon_days,
        "activity_days": activity_days,
        "by": by,
        "rounds": [],
        "rows": len(frame),
        "snapshots": int(frame["snapshot_at"].nunique()),
        "report": stack.report(),
    }
    part = Part("churn", parameters)
    logits = method_logits(part, frame, METHODS)
    if tree_weight := stack.weights.get("trees", 0.0):
        part, logits = _with_trees(part, frame, target, logits, recipe, seed=seed, threads=threads)
    all_logits = mixed_logits(logits, stack.weights) + stack.shift
    validation_rows = np.flatnonzero(frame["snapshot_at"] == pd.Timestamp(validation_at))
    validation_rows = validation_rows if len(validation_rows) else np.arange(len(frame))
    parameters |= _fit_output_maps(
        frame.iloc[validation_rows], all_logits[validation_rows], recipe, seed=seed
    )
    held_out_risk = apply_calibration(parameters["calibration"], sigmoid(all_logits))
    parameters["back_off"] = fit_back_off(frame, target, held_out_risk) if tree_weight else None
    return part


def _with_trees(
    part: Part,
    frame: pd.DataFrame,
    target: Array,
    logits: Mapping[str, Array],
    recipe: TwoClassRecipe,
    *,
    seed: int,
    threads: int,
) -> tuple[Part, dict[str, Array]]:
    """The part with its trees, and log-odds by trees and regression that saw no such customer."""
    parameters = part.parameters
    columns, weights = parameters["columns"], parameters["weights"]
    held_out = predict_out_of_fold(
        frame,
        columns,
        target,
        recipe,
        seed=seed,
        threads=threads,
        with_regression="logistic" in weights,
    )
    parameters["rounds"] = held_out.rounds
    final_rounds = max(1, round(recipe.refit_factor * float(np.mean(held_out.rounds))))
    boosters = refit_trees(
        frame, columns, target, recipe, rounds=final_rounds, seed=seed, threads=threads
    )
    own = {"trees": held_out.trees}
    if held_out.regression is not None:
        own["logistic"] = held_out.regression
    return Part("churn", parameters, boosters), {**logits, **own}


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
