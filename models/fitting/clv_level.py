"""Level of CLV: how far the BTYD total is corrected by what earlier snapshots turned out to be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from models.fitting.clv_distribution import BuyerSnapshot
from models.fitting.clv_shapes import past_spend_column

_YEAR_DAYS, _SEASON_DAYS = 364, 16
_SEASON_SHARE = 0.75  # part of last year's error of a season that repeats
_LEVEL_HALF_LIFE_DAYS = 180.0
_MAX_CORRECTION = np.log(1.5)
_LARGEST_RISE = 3.0  # of the largest total of any past horizon: a larger forecast is refused


def level_correction(
    snapshots: list[BuyerSnapshot], date: pd.Timestamp, horizon_days: int
) -> dict[str, Any]:
    """Log correction of BTYD's total at `date`, from labels that had matured by then.

    Three quarters of the log error of the same season a year ago, if there is one; else half the
    recency-weighted mean log error and a quarter of the last one; 0 without three matured snapshots
    that span a horizon. Snapshots with less than one horizon of history before them do not count.

    Returns
    -------
    ``correction`` (log, at most log 1.5 in size) and ``from``, a sentence.
    """
    matured = [s for s in snapshots if s.rows["label_end_at"].max() <= date]
    history = [s for s in matured if float(s.rows["btyd__T"].max()) >= horizon_days]
    for snapshot in reversed(history):
        if abs((date - snapshot.at).days - _YEAR_DAYS) <= _SEASON_DAYS:
            season_error = _SEASON_SHARE * snapshot.log_error
            return _level(season_error, f"the season a year ago ({snapshot.at.date()})")
    if len(history) < 3 or (history[-1].at - history[0].at).days < horizon_days:
        return _level(0.0, "none: too little matured history")
    ages_days = np.array([(date - s.at).days for s in history], dtype=np.float64)
    log_errors = np.array([s.log_error for s in history])
    mean_error = float(np.average(log_errors, weights=0.5 ** (ages_days / _LEVEL_HALF_LIFE_DAYS)))
    return _level(0.5 * mean_error + 0.25 * log_errors[-1], f"{len(history)} matured snapshots")


def _level(correction: float, reason: str) -> dict[str, Any]:
    clipped = float(np.clip(correction, -_MAX_CORRECTION, _MAX_CORRECTION))
    return {"correction": clipped, "from": reason}


def spend_limit(
    snapshots: list[BuyerSnapshot], at_origin: pd.DataFrame, horizon_days: int
) -> float | None:
    """Largest credible spend a buyer (money): three times that of the best past horizon.

    Past horizons are the labels of the snapshots and the window nearest in length to the horizon
    before the training date. None without any spend.
    """
    means = [float(snapshot.spend.mean()) for snapshot in snapshots if len(snapshot.rows)]
    column = past_spend_column(list(at_origin.columns), horizon_days)
    buyers = int(at_origin["btyd__x"].notna().sum())
    if column is not None and buyers:
        window_days = int(column.removeprefix("purchase__sum_").removesuffix("d"))
        spent = float(at_origin[column].fillna(0.0).clip(lower=0.0).sum())
        means.append(spent / buyers * horizon_days / window_days)
    largest = max(means, default=0.0)
    return _LARGEST_RISE * largest if largest > 0 else None


def guard_level(
    level: dict[str, Any],
    weights: Mapping[str, float],
    origin: BuyerSnapshot,
    snapshots: list[BuyerSnapshot],
    limit: float | None,
) -> tuple[dict[str, Any], dict[str, float]]:
    """Refuse a total beyond the limit: everyone then gets the mean of past horizons.

    Returns
    -------
    The level, with an ``alarm`` (a sentence) where the total was refused, and the weights.
    """
    expected = float(origin.expected.mean()) if len(origin.rows) else 0.0
    past = [float(snapshot.spend.mean()) for snapshot in snapshots if snapshot.spend.sum() > 0]
    forecast = expected * float(np.exp(level["correction"]))
    if limit is None or not past or forecast <= limit:
        return level, dict(weights)
    usual = float(np.mean(past))
    alarm = (
        f"the expected spend of {forecast:,.0f} a buyer is more than {_LARGEST_RISE:g} times "
        f"that of any past horizon and was refused; the mean of past horizons ({usual:,.0f}) is "
        "served for every buyer"
    )
    return {"correction": float(np.log(usual / expected)), "from": alarm, "alarm": alarm}, {
        "mean": 1.0
    }
