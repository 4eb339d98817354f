"""Feature selection: keep the strongest columns, judged on the fit rows alone.

A shop that records a dozen roles has about 600 feature columns, most of them windows of the same
measure. Training time grows with the number of columns; the weakest 400 add no accuracy.
"""

from __future__ import annotations

from typing import Any

import lightgbm as lgb
import numpy as np

from features.arrays import Array

MAX_COLUMNS = 180  # up to here all columns are kept: the data sets with purchases alone stay so
SELECTION_ROWS = 20_000
_ROUNDS = 40
_SCREEN: dict[str, Any] = {
    "learning_rate": 0.1,
    "num_leaves": 15,
    "min_data_in_leaf": 40,
    "feature_fraction": 0.3,  # so that copies of one another all get a chance
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "max_bin": 31,
    "bin_construct_sample_cnt": SELECTION_ROWS,
    "deterministic": True,
    "force_col_wise": True,
    "verbose": -1,
}


def row_limit(columns: int, *, max_rows: int, max_cells: int) -> int:
    """Largest number of training rows: time grows with rows x columns, so wide data get fewer.

    Parameters
    ----------
    columns
        Candidate columns; at most `MAX_COLUMNS` of them are used.
    max_rows
        Limit on rows for narrow data.
    max_cells
        Limit on rows x columns for wide data.
    """
    return min(max_rows, max_cells // max(1, min(columns, MAX_COLUMNS)))


def _gains(inputs: Array, target: Array, *, seed: int, threads: int, objective: str) -> Array:
    """Gain of every column in a small forest on at most `SELECTION_ROWS` evenly spaced rows.

    Parameters
    ----------
    inputs
        Fit rows x columns; NaN where missing.
    target
        Outcome of each row: a number, 0/1, or class codes 0, 1, 2 and so on.
    objective
        Objective of LightGBM: ``binary``, ``multiclass`` or ``tweedie``.
    """
    row_step = -(-len(inputs) // SELECTION_ROWS)
    inputs, target = inputs[::row_step], target[::row_step]
    settings = _SCREEN | {"objective": objective, "seed": seed, "num_threads": threads}
    if objective == "multiclass":
        classes, target = np.unique(target, return_inverse=True)
        settings["num_class"] = len(classes)
    booster = lgb.train(
        settings, lgb.Dataset(inputs, target, params={"verbose": -1, "max_bin": 31}), _ROUNDS
    )
    return np.asarray(booster.feature_importance("gain"), dtype=np.float64)


def strongest_columns(
    inputs: Array,
    target: Array,
    *,
    seed: int,
    threads: int,
    objective: str,
    max_columns: int | None = None,
) -> Array:
    """Rising positions of the columns with the largest gain, at most `max_columns` of them.

    All columns if there are no more than that (`MAX_COLUMNS` by default), or if the outcome is
    constant.
    """
    max_columns = MAX_COLUMNS if max_columns is None else max_columns
    all_positions = np.arange(inputs.shape[1])
    if inputs.shape[1] <= max_columns or len(inputs) < 2 or target.min() == target.max():
        return all_positions
    column_gains = _gains(inputs, target, seed=seed, threads=threads, objective=objective)
    positions = np.argsort(-column_gains, kind="stable")[:max_columns]
    return np.asarray(np.sort(positions[column_gains[positions] > 0]))
