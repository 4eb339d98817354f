"""Two-class models: LightGBM and logistic regression, averaged in logits, with held-out customers.

Many rolling snapshots are pooled, so a customer appears in many rows whose labels overlap. Early
stopping therefore holds out *customers*: with a held-out snapshot only, the same customers' nearly
equal labels of a week before let LightGBM run ten times too long (completejourney, churn in 60
days: AUC of the trees .843 instead of .885 at 2017-08-03).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from features.arrays import Array
from models.fitting.feature_selection import SAMPLE_ROWS, row_limit, strongest
from models.scorer.derived_features import model_columns
from models.scorer.linear_model import linear, matrix, signed_log1p

# Above it the linear half is fitted on a share of the customers; less where columns are many.
LINEAR_ROWS, LINEAR_CELLS = 80_000, 8_800_000


@dataclass(frozen=True)
class TwoClassRecipe:
    """Settings; the defaults won for churn on earlier origins of the example data."""

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
    calibration: str = "raw"  # raw, platt, beta or isotonic: see models.fitting.calibration
    max_rows: int = 200_000  # above it customers are sampled
    max_cells: int = 22_000_000  # rows times columns, likewise

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
            "force_col_wise": True,  # half the time of row-wise, and the same trees
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
    """Logistic regression on standardised signed-log1p columns, as `linear` reads it.

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
    most = row_limit(len(columns), most=LINEAR_ROWS, cells=LINEAR_CELLS)
    if len(frame) > most:  # so few coefficients need no more, and it is the slow half
        some = customer_folds(frame["customer_id"], -(-len(frame) // most), seed=0) == 0
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


def sampled(frame: pd.DataFrame, recipe: TwoClassRecipe, *, seed: int) -> pd.DataFrame:
    """At most about `row_limit` rows, whole customers kept."""
    columns = len(model_columns(frame))
    most = row_limit(columns, most=recipe.max_rows, cells=recipe.max_cells)
    if len(frame) <= most:
        return frame
    parts = int(np.ceil(len(frame) / most * 100))
    return frame[customer_folds(frame["customer_id"], parts, seed=seed) < 100]


def strong_columns(
    frame: pd.DataFrame, columns: list[str], y: Array, *, seed: int, threads: int
) -> list[str]:
    """Columns worth learning from, where there are very many (see
    `models.fitting.feature_selection`).
    """
    step = -(-len(frame) // SAMPLE_ROWS)
    x = matrix(frame.iloc[::step], columns)
    kept = strongest(x, y[::step], seed=seed, threads=threads, objective="binary")
    return [columns[at] for at in kept]


@dataclass(frozen=True)
class OutOfFold:
    """Predictions by models that saw none of the customer's rows, and the rounds they took."""

    logit: Array
    rounds: list[int]


def out_of_fold(
    frame: pd.DataFrame,
    columns: list[str],
    y: Array,
    recipe: TwoClassRecipe,
    *,
    seed: int,
    threads: int,
) -> OutOfFold:
    """Log-odds of 0/1 outcomes by models that held the customer out, and their rounds."""
    logit, rounds = np.zeros(len(y)), []
    for outside, found, best in fold_by_fold(frame, columns, y, recipe, seed=seed, threads=threads):
        logit[outside] = found
        rounds.append(best)
    return OutOfFold(logit=logit, rounds=rounds)


def fold_by_fold(
    frame: pd.DataFrame,
    columns: list[str],
    y: Array,
    recipe: TwoClassRecipe,
    *,
    seed: int,
    threads: int,
) -> Iterator[tuple[Array, Array, int]]:
    """Of each customer fold the positions of its rows, their log-odds, and the rounds it took."""
    x = matrix(frame, columns)
    fold = customer_folds(frame["customer_id"], recipe.folds, seed=seed)
    settings = recipe.lightgbm(rows=len(y), seed=seed, threads=threads)
    data = lgb.Dataset(x, y, params=settings, free_raw_data=False).construct()
    for held in range(recipe.folds):
        inside, outside = (np.flatnonzero(side) for side in (fold != held, fold == held))
        booster = lgb.train(
            {**settings, "seed": seed + held},
            data.subset(inside.tolist()),
            recipe.max_rounds,
            valid_sets=[data.subset(outside.tolist())],
            callbacks=[lgb.early_stopping(recipe.patience, verbose=False)],
        )
        best = max(1, booster.best_iteration)
        straight = fit_logistic(frame.iloc[inside], columns, y[inside], strength=recipe.strength)
        trees = np.asarray(booster.predict(x[outside], raw_score=True, num_iteration=best))
        weight = recipe.linear_weight
        yield outside, weight * linear(straight, x[outside]) + (1 - weight) * trees, best


def refit(
    frame: pd.DataFrame,
    columns: list[str],
    y: Array,
    recipe: TwoClassRecipe,
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
