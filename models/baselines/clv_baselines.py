"""Baselines of CLV, trained on the same snapshots as the served recipe.

Every function returns ``{"clv": money within the horizon}``, one value per row, never null.
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
from models.scorer.contracts import contract_spend
from models.scorer.derived_features import model_columns
from models.scorer.linear_model import matrix
from models.scorer.part import Part

_PLAIN_ROUNDS = 200


def btyd_spend(part: Part, rows: pd.DataFrame) -> dict[str, Array]:
    """BTYD's expectation with the artifact's parameters; 0 for customers who never bought.

    Parameters
    ----------
    part
        Fitted by `models.tasks.clv.fit_clv`; its BTYD and its horizon are used.
    rows
        Feature frame.
    """
    horizon = float(part.parameters["horizon_days"])
    expected_spend = btyd_columns(part.parameters["btyd"], rows, horizon=horizon)["btyd__clv"]
    return {"clv": expected_spend.fillna(0.0).to_numpy(dtype=np.float64)}


def contract_payments(part: Part, rows: pd.DataFrame) -> dict[str, Array] | None:
    """Expected payments of contracts with the artifact's parameters; None without contracts.

    Parameters as in `btyd_spend`; 0 for customers who never had a contract.
    """
    contract = part.parameters.get("contract")
    if contract is None:
        return None
    return {"clv": contract_spend(contract, rows, float(part.parameters["horizon_days"]))}


def repeat_spend(rows: pd.DataFrame, horizon_days: int) -> dict[str, Array]:
    """Spend of the last horizon, or of the window nearest in length, scaled per day.

    Raises
    ------
    ValueError
        If the frame has no windowed spend.
    """
    matches = (re.fullmatch(r"purchase__sum_(\d+)d", name) for name in rows.columns)
    windows = [int(match.group(1)) for match in matches if match]
    if not windows:
        raise ValueError("no column purchase__sum_<days>d in the feature frame")
    nearest = min(windows, key=lambda days: (abs(np.log(days / horizon_days)), days))
    spent = rows[f"purchase__sum_{nearest}d"].fillna(0.0).to_numpy(dtype=np.float64)
    return {"clv": np.maximum(spent, 0.0) * (horizon_days / nearest)}


def mean_spend(frame: pd.DataFrame, rows: pd.DataFrame) -> dict[str, Array]:
    """Mean spend of all customers on the latest matured snapshot of the training frame."""
    latest = frame[frame["snapshot_at"] == frame["snapshot_at"].max()]
    return {"clv": np.full(len(rows), float(latest["spend"].mean()))}


def plain_gbm(
    frame: pd.DataFrame, rows: pd.DataFrame, *, seed: int, threads: int = 2
) -> dict[str, Array] | None:
    """LightGBM Tweedie on the features of all matured snapshots, without normalisation.

    Uses as many rows, evenly spaced, and as many columns as the recipe. None if all spend is 0.
    """
    columns = model_columns(frame)
    frame = frame.iloc[
        :: -(
            -len(frame)
            // row_limit(len(columns), max_rows=MAX_SPEND_ROWS, max_cells=MAX_SPEND_CELLS)
        )
    ]
    target = frame["spend"].to_numpy(dtype=np.float64)
    if target.sum() == 0:
        return None
    features = matrix(frame, columns)
    positions = strongest_columns(features, target, seed=seed, threads=threads, objective="tweedie")
    columns = [columns[position] for position in positions]
    settings = {**TWEEDIE_SETTINGS, "seed": seed, "num_threads": threads}
    booster = lgb.train(
        settings, lgb.Dataset(features[:, positions], target, params=settings), _PLAIN_ROUNDS
    )
    return {"clv": np.asarray(booster.predict(matrix(rows, columns)))}
