"""Baselines of CLV: what the served recipe has to beat, on the same training snapshots.

Every function returns ``{"clv": money within the horizon}``, one value a row, never missing.
"""

from __future__ import annotations

import re

import lightgbm as lgb
import numpy as np
import pandas as pd

from features.arrays import Array
from models.fitting.clv_distribution import MAX_SPEND_CELLS, MAX_SPEND_ROWS, TWEEDIE_SETTINGS
from models.fitting.feature_selection import row_limit, strongest_columns
from models.scorer.btyd import btyd_columns
from models.scorer.derived_features import model_columns
from models.scorer.linear_model import matrix
from models.scorer.part import Part

_PLAIN_ROUNDS = 200


def btyd_alone(part: Part, rows: pd.DataFrame) -> dict[str, Array]:
    """BTYD's expectation with the artifact's parameters; 0 for those who never bought.

    Parameters
    ----------
    part
        Fitted by `models.tasks.clv.fit_clv`, for its frozen BTYD and its horizon.
    rows
        Feature frame.
    """
    horizon = float(part.parameters["horizon_days"])
    clv = btyd_columns(part.parameters["btyd"], rows, horizon=horizon)["btyd__clv"]
    return {"clv": clv.fillna(0.0).to_numpy(dtype=np.float64)}


def same_again(rows: pd.DataFrame, horizon_days: int) -> dict[str, Array]:
    """Spend of the last horizon; where no window is as long, the nearest one, per day.

    Raises
    ------
    ValueError
        When the frame holds no windowed spend.
    """
    found = (re.fullmatch(r"purchase__sum_(\d+)d", name) for name in rows.columns)
    windows = [int(match.group(1)) for match in found if match]
    if not windows:
        raise ValueError("no column purchase__sum_<days>d in the feature frame")
    nearest = min(windows, key=lambda days: (abs(np.log(days / horizon_days)), days))
    spent = rows[f"purchase__sum_{nearest}d"].fillna(0.0).to_numpy(dtype=np.float64)
    return {"clv": np.maximum(spent, 0.0) * (horizon_days / nearest)}


def mean_spend(frame: pd.DataFrame, rows: pd.DataFrame) -> dict[str, Array]:
    """Mean spend of everyone on the latest matured snapshot of the training frame."""
    latest = frame[frame["snapshot_at"] == frame["snapshot_at"].max()]
    return {"clv": np.full(len(rows), float(latest["spend"].mean()))}


def plain_gbm(
    frame: pd.DataFrame, rows: pd.DataFrame, *, seed: int, threads: int = 2
) -> dict[str, Array] | None:
    """LightGBM Tweedie on the raw features of all matured snapshots, level and all.

    As many rows, evenly drawn, and as many columns as the recipe learns from. None where nobody
    spent anything.
    """
    columns = model_columns(frame)
    frame = frame.iloc[
        :: -(
            -len(frame)
            // row_limit(len(columns), max_rows=MAX_SPEND_ROWS, max_cells=MAX_SPEND_CELLS)
        )
    ]
    y = frame["spend"].to_numpy(dtype=np.float64)
    if y.sum() == 0:
        return None
    x = matrix(frame, columns)
    kept = strongest_columns(x, y, seed=seed, threads=threads, objective="tweedie")
    columns = [columns[at] for at in kept]
    settings = {**TWEEDIE_SETTINGS, "seed": seed, "num_threads": threads}
    booster = lgb.train(settings, lgb.Dataset(x[:, kept], y, params=settings), _PLAIN_ROUNDS)
    return {"clv": np.asarray(booster.predict(matrix(rows, columns)))}
