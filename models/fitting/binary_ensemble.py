"""Two-class models: mean of the logits of LightGBM and logistic regression.

Many rolling snapshots are pooled, so a customer appears in many rows with overlapping labels. Early
stopping therefore holds out *customers*. With a held-out snapshot instead, the nearly equal labels
of the same customers a week before let LightGBM run ten times too long (completejourney, churn in
60 days: AUC of the trees .843 instead of .885 at 2017-08-03).
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
from models.fitting.feature_selection import SELECTION_ROWS, row_limit, strongest_columns
from models.scorer.derived_features import model_columns
from models.scorer.linear_model import linear, matrix, signed_log1p

# Rows, and rows x columns, above which the regression is fitted on a sample of the customers.
_LINEAR_ROWS, _LINEAR_CELLS = 80_000, 8_800_000


@dataclass(frozen=True)
class TwoClassRecipe:
    """Settings of a two-class model; the defaults were best for churn on earlier origins."""

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
    folds: int = 3  # customer folds, and number of seeds in the refit
    strength: float = 0.03  # C of the logistic regression
    linear_weight: float = 0.5
    calibration: str = "raw"  # raw, platt, beta or isotonic: see models.fitting.calibration
    max_rows: int = 200_000  # with more rows customers are sampled
    max_cells: int = 22_000_000  # likewise, rows x columns

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
    """Model inputs that take at least two values and do not copy an earlier column.

    A constant cannot help and may drift later; a copy only costs time.
    """
    digests: set[bytes] = set()
    columns = []
    for name in model_columns(frame):
        values = frame[name].to_numpy(dtype=np.float64, na_value=np.nan)
        observed = values[~np.isnan(values)]
        digest = blake2b(values.tobytes()).digest()
        if len(observed) and observed.min() < observed.max() and digest not in digests:
            columns.append(name)
        digests.add(digest)
    return columns


def fit_logistic(
    frame: pd.DataFrame, columns: list[str], target: Array, *, strength: float
) -> dict[str, Any]:
    """Logistic regression on standardised signed-log1p columns, as `linear` reads it.

    Parameters
    ----------
    frame
        Rows to fit on; missing values are set to the column mean.
    columns
        Inputs; with none the intercept alone gives the base rate.
    target
        0/1 outcomes with both classes.
    strength
        Inverse of the L2 penalty (C of scikit-learn).

    Returns
    -------
    ``columns``, ``means``, ``scales``, ``coefficients`` and ``intercept``, JSON-able.
    """
    max_rows = row_limit(len(columns), max_rows=_LINEAR_ROWS, max_cells=_LINEAR_CELLS)
    if len(frame) > max_rows:  # the few coefficients need no more rows, and this fit is slow
        subset = (
            random_customer_folds(frame["customer_id"], -(-len(frame) // max_rows), seed=0) == 0
        )
        if not has_one_class(target[subset]):
            frame, target = frame[subset], target[subset]
    inputs = signed_log1p(matrix(frame, columns))
    observed = ~np.isnan(inputs)
    column_means = np.nansum(inputs, axis=0) / np.maximum(observed.sum(axis=0), 1)
    column_scales = np.sqrt(
        np.nansum((inputs - column_means) ** 2, axis=0) / np.maximum(observed.sum(axis=0), 1)
    )
    column_scales = np.where(column_scales > 1e-9, column_scales, 1.0)
    base_rate = float(np.mean(target))
    coefficients, intercept = np.zeros(len(columns)), float(np.log(base_rate / (1.0 - base_rate)))
    if columns:
        standardised = np.clip(np.nan_to_num((inputs - column_means) / column_scales), -10.0, 10.0)
        regression = LogisticRegression(C=strength, max_iter=300).fit(standardised, target)
        coefficients, intercept = regression.coef_[0], float(regression.intercept_[0])
    return {
        "columns": list(columns),
        "means": column_means.tolist(),
        "scales": column_scales.tolist(),
        "coefficients": coefficients.tolist(),
        "intercept": intercept,
    }


def random_customer_folds(customers: Any, folds: int, *, seed: int) -> Array:
    """Random fold (0 to folds - 1) of every row; all rows of a customer share a fold."""
    distinct_customers, customer_codes = np.unique(
        np.asarray(customers, dtype=str), return_inverse=True
    )
    return np.asarray(
        (np.random.default_rng(seed).permutation(len(distinct_customers)) % folds)[customer_codes]
    )


def has_one_class(target: Array) -> bool:
    """True if 0/1 outcomes are all the same."""
    return bool(target.min() == target.max())


def sample_customers(frame: pd.DataFrame, recipe: TwoClassRecipe, *, seed: int) -> pd.DataFrame:
    """Sample whole customers, so that about `row_limit` rows remain."""
    columns = len(model_columns(frame))
    max_rows = row_limit(columns, max_rows=recipe.max_rows, max_cells=recipe.max_cells)
    if len(frame) <= max_rows:
        return frame
    hundredths = int(np.ceil(len(frame) / max_rows * 100))
    return frame[random_customer_folds(frame["customer_id"], hundredths, seed=seed) < 100]


def select_binary_columns(
    frame: pd.DataFrame, columns: list[str], target: Array, *, seed: int, threads: int
) -> list[str]:
    """Strongest columns for a 0/1 outcome (see `models.fitting.feature_selection`)."""
    row_step = -(-len(frame) // SELECTION_ROWS)
    inputs = matrix(frame.iloc[::row_step], columns)
    positions = strongest_columns(
        inputs, target[::row_step], seed=seed, threads=threads, objective="binary"
    )
    return [columns[position] for position in positions]


@dataclass(frozen=True)
class HeldOut:
    """Log-odds of customers by models that did not see their rows.

    Attributes
    ----------
    rows
        Positions of the rows.
    trees, regression
        Log-odds by either half; `regression` is None where it was not asked for.
    rounds
        Rounds of the trees of every fold.
    """

    rows: Array
    trees: Array
    regression: Array | None
    rounds: list[int]

    def mixed(self, linear_weight: float) -> Array:
        """Log-odds by both halves."""
        if self.regression is None:
            return self.trees
        return np.asarray(linear_weight * self.regression + (1 - linear_weight) * self.trees)


def predict_out_of_fold(
    frame: pd.DataFrame,
    columns: list[str],
    target: Array,
    recipe: TwoClassRecipe,
    *,
    seed: int,
    threads: int,
    with_regression: bool = True,
) -> HeldOut:
    """Predict each customer's log-odds with models that saw none of the customer's rows."""
    trees, rounds_by_fold = np.zeros(len(target)), list[int]()
    regression = np.zeros(len(target)) if with_regression else None
    for fold in predict_fold_by_fold(
        frame,
        columns,
        target,
        recipe,
        seed=seed,
        threads=threads,
        with_regression=with_regression,
    ):
        trees[fold.rows] = fold.trees
        if regression is not None:
            regression[fold.rows] = fold.regression
        rounds_by_fold += fold.rounds
    return HeldOut(np.arange(len(target)), trees, regression, rounds_by_fold)


def predict_fold_by_fold(
    frame: pd.DataFrame,
    columns: list[str],
    target: Array,
    recipe: TwoClassRecipe,
    *,
    seed: int,
    threads: int,
    with_regression: bool = True,
) -> Iterator[HeldOut]:
    """Yield the log-odds of one customer fold after the other."""
    inputs = matrix(frame, columns)
    fold_numbers = random_customer_folds(frame["customer_id"], recipe.folds, seed=seed)
    settings = recipe.lightgbm(rows=len(target), seed=seed, threads=threads)
    dataset = lgb.Dataset(inputs, target, params=settings, free_raw_data=False).construct()
    for held_out in range(recipe.folds):
        inside, outside = (
            np.flatnonzero(side) for side in (fold_numbers != held_out, fold_numbers == held_out)
        )
        booster = lgb.train(
            {**settings, "seed": seed + held_out},
            dataset.subset(inside.tolist()),
            recipe.max_rounds,
            valid_sets=[dataset.subset(outside.tolist())],
            callbacks=[lgb.early_stopping(recipe.patience, verbose=False)],
        )
        best_rounds = max(1, booster.best_iteration)
        tree_logits = np.asarray(
            booster.predict(inputs[outside], raw_score=True, num_iteration=best_rounds)
        )
        regression_logits = None
        if with_regression:
            regression = fit_logistic(
                frame.iloc[inside], columns, target[inside], strength=recipe.strength
            )
            regression_logits = linear(regression, inputs[outside])
        yield HeldOut(outside, tree_logits, regression_logits, [best_rounds])


def refit_trees(
    frame: pd.DataFrame,
    columns: list[str],
    target: Array,
    recipe: TwoClassRecipe,
    *,
    rounds: int,
    seed: int,
    threads: int,
) -> dict[str, lgb.Booster]:
    """Fit one booster per seed on all rows."""
    settings = recipe.lightgbm(rows=len(frame), seed=seed, threads=threads)
    dataset = lgb.Dataset(matrix(frame, columns), target, params=settings, free_raw_data=False)
    return {
        f"trees_{number}": lgb.train({**settings, "seed": seed + number}, dataset, rounds)
        for number in range(recipe.folds)
    }
