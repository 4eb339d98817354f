"""Churn risk: P(no purchase within the horizon), LightGBM and logistic regression in logits.

Many rolling snapshots are pooled, so a customer appears in many rows whose labels overlap. Early
stopping therefore holds out *customers*: with a held-out snapshot only, the same customers' nearly
equal labels of a week before let LightGBM run ten times too long (completejourney, 60 days: AUC of
the trees .843 instead of .885 at 2017-08-03).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from models import metrics
from models.calibration import fit_calibration
from models.churn_btyd import mixed_with_btyd
from models.inference import (
    Array,
    Part,
    calibrated,
    churn_group,
    churn_lift,
    derive_each,
    linear,
    matrix,
    model_columns,
    sigmoid,
    signed_log1p,
)
from models.multiclass import steady_columns

TARGET = "no_purchase"
MIN_CLASS_FOR_TREES = 60  # customers of the rarer class below which only the linear half is fitted
LINEAR_ROWS = 80_000  # above it the linear half is fitted on a share of the customers
RFM = ["purchase__recency_days", "purchase__count_all", "purchase__sum_all"]
RFM_STRENGTH = 1.0  # C: three columns need no shrinking
# Share of a plain RFM regression where the training snapshots span less than so many horizons:
# their labels are nearly the same then, and windows that outgrow the history tell the calendar.
SHORT_SPANS = ((1.0, 2 / 3), (2.0, 1 / 4))
FEW_SHARE = 0.8  # its share where there are too few customers for trees
BASE_WEIGHT = 50.0  # rows of the overall rate that a peer group's base rate is smoothed with
BAND_QUANTILES = (0.5, 0.85)  # of the lift at validation: low up to the first, high from the second


@dataclass(frozen=True)
class ChurnRecipe:
    """Settings of the churn model; the defaults won on earlier origins of the example data."""

    learning_rate: float = 0.03
    leaves: int = 15
    min_data: int = 60
    feature_fraction: float = 0.5
    bagging_fraction: float = 0.8
    l2: float = 5.0
    max_bin: int = 127
    max_rounds: int = 1500
    patience: int = 40
    refit_factor: float = 1.1
    folds: int = 3  # customer folds, and as many seeds in the refit
    strength: float = 0.03  # C of the logistic regression
    linear_weight: float = 0.5
    calibration: str = "raw"  # raw, platt, beta or isotonic: see models.calibration
    max_rows: int = 200_000  # above it customers are sampled

    def lightgbm(self, *, rows: int, seed: int, threads: int) -> dict[str, Any]:
        """LightGBM parameters for this many training rows, deterministic for a seed."""
        return {
            "objective": "binary",
            "learning_rate": self.learning_rate,
            "num_leaves": self.leaves,
            "min_data_in_leaf": int(np.clip(rows // 50, 5, self.min_data)),
            "feature_fraction": self.feature_fraction,
            "bagging_fraction": self.bagging_fraction,
            "bagging_freq": 1,
            "lambda_l2": self.l2,
            "max_bin": self.max_bin,
            "seed": seed,
            "num_threads": threads,
            "deterministic": True,
            "force_row_wise": True,
            "verbose": -1,
        }


def varying_columns(frame: pd.DataFrame) -> list[str]:
    """Model inputs that take at least two values and repeat no earlier one.

    A constant cannot help and may drift later; a copy only costs time.
    """
    seen: set[bytes] = set()
    columns = []
    for name in model_columns(frame):
        values = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
        known = values[~np.isnan(values)]
        mark = blake2b(values.tobytes()).digest()
        if len(known) and known.min() < known.max() and mark not in seen:
            columns.append(name)
        seen.add(mark)
    return columns


def fit_logistic(
    frame: pd.DataFrame, columns: list[str], y: Array, *, strength: float
) -> dict[str, Any]:
    """Logistic regression on standardised signed-log1p columns, as `inference.linear` reads it.

    Parameters
    ----------
    frame
        Rows to fit on; missing values are set to the mean.
    columns
        Inputs; without any the intercept is the base rate.
    y
        0/1 outcomes with both classes.
    strength
        Inverse of the L2 penalty (C of scikit-learn).

    Returns
    -------
    ``columns``, ``means``, ``scales``, ``coefficients`` and ``intercept``, JSON-able.
    """
    if len(frame) > LINEAR_ROWS:  # a hundred coefficients need no more, and it is the slow half
        some = customer_folds(frame["customer_id"], -(-len(frame) // LINEAR_ROWS), seed=0) == 0
        if not one_class(y[some]):
            frame, y = frame[some], y[some]
    x = signed_log1p(matrix(frame, columns))
    known = ~np.isnan(x)
    means = np.nansum(x, axis=0) / np.maximum(known.sum(axis=0), 1)
    scales = np.sqrt(np.nansum((x - means) ** 2, axis=0) / np.maximum(known.sum(axis=0), 1))
    scales = np.where(scales > 1e-9, scales, 1.0)
    rate = float(np.mean(y))
    coefficients, intercept = np.zeros(len(columns)), float(np.log(rate / (1.0 - rate)))
    if columns:
        z = np.clip(np.nan_to_num((x - means) / scales), -10.0, 10.0)
        fitted = LogisticRegression(C=strength, max_iter=300).fit(z, y)
        coefficients, intercept = fitted.coef_[0], float(fitted.intercept_[0])
    return {
        "columns": list(columns),
        "means": means.tolist(),
        "scales": scales.tolist(),
        "coefficients": coefficients.tolist(),
        "intercept": intercept,
    }


def customer_folds(customers: Any, folds: int, *, seed: int) -> Array:
    """Fold number (0..folds-1) of every row, all rows of a customer in the same fold."""
    distinct, code = np.unique(np.asarray(customers, dtype=str), return_inverse=True)
    return np.asarray((np.random.default_rng(seed).permutation(len(distinct)) % folds)[code])


def one_class(y: Array) -> bool:
    """Whether 0/1 outcomes are all the same."""
    return bool(y.min() == y.max())


def simple_share(frame: pd.DataFrame, horizon_days: int) -> float:
    """Share of the RFM regression beside the recipe: 0 where the snapshots span two horizons."""
    span = (frame["snapshot_at"].max() - frame["snapshot_at"].min()).days
    return next((share for most, share in SHORT_SPANS if span < most * horizon_days), 0.0)


def _varying(columns: list[str], frame: pd.DataFrame) -> list[str]:
    return [name for name in columns if name in frame.columns and frame[name].nunique() > 1]


def _checked(frame: pd.DataFrame) -> pd.DataFrame:
    """Labelled rows only; refuses what nothing can be learned from."""
    if TARGET not in frame.columns:
        raise ValueError(f"churn: the training frame has no label column {TARGET!r}")
    frame = frame[frame[TARGET].notna()]
    if frame.empty:
        raise ValueError(
            "churn: no labelled customer: no snapshot whose horizon has ended has eligible "
            "customers (a longer history, a shorter horizon or more activity days are needed)"
        )
    y = frame[TARGET].to_numpy()
    if one_class(y):
        said = "nobody purchased" if y[0] == 1 else "everybody purchased"
        raise ValueError(
            f"churn: one class only: in all {len(frame)} training rows {said} within the horizon; "
            "another horizon or other activity days are needed"
        )
    return frame


def sampled(frame: pd.DataFrame, recipe: ChurnRecipe, *, seed: int) -> pd.DataFrame:
    """At most about `max_rows` rows, whole customers kept."""
    if len(frame) <= recipe.max_rows:
        return frame
    parts = int(np.ceil(len(frame) / recipe.max_rows * 100))
    return frame[customer_folds(frame["customer_id"], parts, seed=seed) < 100]


@dataclass(frozen=True)
class OutOfFold:
    """Predictions by models that saw none of the customer's rows, and the rounds they took."""

    logit: Array
    rounds: list[int]


def out_of_fold(
    frame: pd.DataFrame,
    columns: list[str],
    y: Array,
    recipe: ChurnRecipe,
    *,
    seed: int,
    threads: int,
) -> OutOfFold:
    """Log-odds of 0/1 outcomes by models that held the customer out, and their rounds."""
    x = matrix(frame, columns)
    fold = customer_folds(frame["customer_id"], recipe.folds, seed=seed)
    settings = recipe.lightgbm(rows=len(y), seed=seed, threads=threads)
    data = lgb.Dataset(x, y, params=settings, free_raw_data=False).construct()
    logit, rounds = np.zeros(len(y)), []
    for held in range(recipe.folds):
        inside, outside = (np.flatnonzero(side) for side in (fold != held, fold == held))
        booster = lgb.train(
            {**settings, "seed": seed + held},
            data.subset(inside.tolist()),
            recipe.max_rounds,
            valid_sets=[data.subset(outside.tolist())],
            callbacks=[lgb.early_stopping(recipe.patience, verbose=False)],
        )
        rounds.append(max(1, booster.best_iteration))
        straight = fit_logistic(frame.iloc[inside], columns, y[inside], strength=recipe.strength)
        trees = np.asarray(booster.predict(x[outside], raw_score=True, num_iteration=rounds[-1]))
        weight = recipe.linear_weight
        logit[outside] = weight * linear(straight, x[outside]) + (1 - weight) * trees
    return OutOfFold(logit=logit, rounds=rounds)


def refit(
    frame: pd.DataFrame,
    columns: list[str],
    y: Array,
    recipe: ChurnRecipe,
    *,
    rounds: int,
    seed: int,
    threads: int,
) -> dict[str, lgb.Booster]:
    """One booster a seed on all rows."""
    settings = recipe.lightgbm(rows=len(frame), seed=seed, threads=threads)
    data = lgb.Dataset(matrix(frame, columns), y, params=settings, free_raw_data=False)
    return {
        f"trees_{at}": lgb.train({**settings, "seed": seed + at}, data, rounds)
        for at in range(recipe.folds)
    }


def fit_bands(frame: pd.DataFrame, y: Array, p: Array) -> dict[str, Any]:
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
    base = (table["sum"] + BASE_WEIGHT * overall) / (table["count"] + BASE_WEIGHT)
    bands = {"base": base.to_dict(), "base_of_all": overall}
    low, high = np.quantile(churn_lift(bands, group, p), BAND_QUANTILES)
    return {**bands, "low": float(low), "high": float(high)}


def _validation_figures(y: Array, p: Array, *, seed: int) -> dict[str, Any]:
    return {
        "rows": len(y),
        "rate": float(y.mean()),
        "auc": None if one_class(y) else metrics.auc(y, p),
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
    recipe: ChurnRecipe | None = None,
) -> Part:
    """Fit the churn model on all matured snapshots.

    LightGBM (rounds by early stopping on held-out customers, then refitted on all with 1.1 times
    as many, three seeds) averaged in logits with a logistic regression, and with BG/NBD where that
    clearly helps (`models.churn_btyd`).

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

    Returns
    -------
    `Part` named ``churn`` for `inference.predict_churn`; ``parameters["validation"]`` holds
    the figures at the validation snapshot.

    Raises
    ------
    ValueError
        Without labelled rows, or with one class only.
    """
    recipe = recipe or ChurnRecipe()
    frame = sampled(_checked(frame), recipe, seed=seed)
    frame = derive_each(frame, contexts).reset_index(drop=True)
    y = _checked(frame)[TARGET].to_numpy()
    columns = varying_columns(frame)
    share = simple_share(frame, horizon_days)
    if share:
        columns = steady_columns(frame, columns)
    rarer = min(frame.loc[y == side, "customer_id"].nunique() for side in (0, 1))
    with_trees = bool(columns) and rarer >= MIN_CLASS_FOR_TREES
    if not with_trees:
        share = max(share, FEW_SHARE)
    straight = fit_logistic(frame, columns, y, strength=recipe.strength)
    boosters: dict[str, lgb.Booster] = {}
    rounds: list[int] = []
    if with_trees:
        held = out_of_fold(frame, columns, y, recipe, seed=seed, threads=threads)
        logit, rounds = held.logit, held.rounds
        again = max(1, round(recipe.refit_factor * float(np.mean(rounds))))
        boosters = refit(frame, columns, y, recipe, rounds=again, seed=seed, threads=threads)
    else:
        logit = linear(straight, matrix(frame, columns))
    simple = fit_logistic(frame, _varying(RFM, frame), y, strength=RFM_STRENGTH)
    logit = (1 - share) * logit + share * linear(simple, matrix(frame, simple["columns"]))
    parameters = {
        "columns": columns,
        "linear": straight,
        "simple": simple,
        "simple_weight": share,
        "linear_weight": recipe.linear_weight,
        "horizon_days": horizon_days,
        "activity_days": activity_days,
        "rounds": rounds,
        "rows": len(frame),
        "snapshots": int(frame["snapshot_at"].nunique()),
    }
    at = np.flatnonzero(frame["snapshot_at"] == pd.Timestamp(validation_at))
    at = at if len(at) else np.arange(len(frame))
    rows, logit = frame.iloc[at], logit[at]
    if at_validation is not None and at_origin is not None:
        half, logit = mixed_with_btyd(
            rows,
            rows[TARGET].to_numpy(),
            logit,
            horizon_days=horizon_days,
            at_validation=at_validation,
            at_origin=at_origin,
        )
        parameters |= half
    return Part("churn", {**parameters, **_served(rows, logit, recipe, seed=seed)}, boosters)


def _served(rows: pd.DataFrame, logit: Array, recipe: ChurnRecipe, *, seed: int) -> dict[str, Any]:
    """What is fitted on the predictions at the validation snapshot: calibration, bands, figures."""
    y, raw = rows[TARGET].to_numpy(), sigmoid(logit)
    calibration = fit_calibration(recipe.calibration, y, raw)
    p = calibrated(calibration, raw)
    return {
        "calibration": calibration,
        "bands": fit_bands(rows, y, p),
        "validation": _validation_figures(y, p, seed=seed),
    }
