"""Which of very many columns are worth learning from, told from the fit rows alone.

A shop that records a dozen roles has some six hundred feature columns, most of them windows of one
another. Trees take as long as they have columns, and gain nothing from the weakest four hundred.
"""

from __future__ import annotations

from typing import Any

import lightgbm as lgb
import numpy as np

from features.arrays import Array

MOST_COLUMNS = 180  # up to here all columns are kept: the data sets with purchases alone stay so
SAMPLE_ROWS = 20_000
ROUNDS = 40
SCREEN: dict[str, Any] = {
    "learning_rate": 0.1,
    "num_leaves": 15,
    "min_data_in_leaf": 40,
    "feature_fraction": 0.3,  # so that copies of one another all get a chance
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "max_bin": 31,
    "bin_construct_sample_cnt": SAMPLE_ROWS,
    "deterministic": True,
    "force_col_wise": True,
    "verbose": -1,
}


def row_limit(columns: int, *, most: int, cells: int) -> int:
    """Rows worth learning from: time goes with rows times columns, so wide data get fewer.

    Parameters
    ----------
    columns
        Candidate columns; no more than `MOST_COLUMNS` of them will be learned from.
    most
        Rows of narrow data.
    cells
        Rows times columns of wide ones.
    """
    return min(most, cells // max(1, min(columns, MOST_COLUMNS)))


def gains(x: Array, y: Array, *, seed: int, threads: int, objective: str) -> Array:
    """Gain of every column in a small forest on at most `SAMPLE_ROWS` evenly drawn rows.

    Parameters
    ----------
    x
        Fit rows x columns.
    y
        Outcome: a number, 0/1, or class codes from 0 without a gap.
    objective
        LightGBM's: ``binary``, ``multiclass`` or ``tweedie``.
    """
    step = -(-len(x) // SAMPLE_ROWS)
    x, y = x[::step], y[::step]
    settings = SCREEN | {"objective": objective, "seed": seed, "num_threads": threads}
    if objective == "multiclass":
        codes, y = np.unique(y, return_inverse=True)
        settings["num_class"] = len(codes)
    booster = lgb.train(settings, lgb.Dataset(x, y, params={"verbose": -1, "max_bin": 31}), ROUNDS)
    return np.asarray(booster.feature_importance("gain"), dtype=np.float64)


def strongest(
    x: Array, y: Array, *, seed: int, threads: int, objective: str, most: int | None = None
) -> Array:
    """Positions of the at most `most` (`MOST_COLUMNS`) columns of the largest `gains`, in order.

    All columns where there are no more than that, or where the outcome is always the same.
    """
    most = MOST_COLUMNS if most is None else most
    everything = np.arange(x.shape[1])
    if x.shape[1] <= most or len(x) < 2 or y.min() == y.max():
        return everything
    found = gains(x, y, seed=seed, threads=threads, objective=objective)
    kept = np.argsort(-found, kind="stable")[:most]
    return np.asarray(np.sort(kept[found[kept] > 0]))
