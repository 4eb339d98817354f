"""Cold start: chances of customers with days of history, drawn toward those of their like.

A customer of a week has next to no features, and trees tell such customers apart by noise. Their
chance is mixed with the rate of their cohort (days since the first sign of life) and channel. Small
cells back off to the cohort, and cohorts to all cold customers. How much is decided on predictions
that held the customer out; where it is no clear gain, nothing is mixed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from features.arrays import Array
from models.scorer.cold_start import cold_rates, cold_rows
from models.scorer.linear_model import sigmoid

AGES = (7.0, 14.0)  # days of tenure at which a cohort ends; the last ends where cold does
COLD_DAYS = 30.0
PRIOR = 50.0  # rows of the wider group that a rate is smoothed with
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
MIN_ROWS = 100  # cold rows below which nothing is learned from them
CLEAR = 1.0  # standard errors of the gain in log loss from which the mixture is served
HALVES = 2


def fit_back_off(frame: pd.DataFrame, y: Array, p: Array) -> dict[str, Any] | None:
    """Rates of cold customers' cohorts and channels, and the weight they have beside the model.

    Parameters
    ----------
    frame
        Training rows of all snapshots, with ``tenure__days`` and (where known)
        ``preferred_channel``.
    y
        0/1 outcome of every row.
    p
        Its chance by a model that has not seen the customer.

    Returns
    -------
    JSON-able parameters of `backed_off`, with a ``report``; None where there are too few
    cold rows, or all of them had the same outcome.
    """
    if "tenure__days" not in frame:
        return None
    cold = np.flatnonzero(cold_rows(frame, COLD_DAYS))
    rows, y, p = frame.iloc[cold].reset_index(drop=True), y[cold], np.clip(p[cold], 1e-6, 1 - 1e-6)
    if len(rows) < MIN_ROWS or y.min() == y.max():
        return None
    customer, fold = _halves(rows)
    held = np.empty(len(rows))
    for number in range(HALVES):
        inside, outside = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        if not len(inside) or not len(outside):
            return None
        held[outside] = cold_rates(_rates(rows.iloc[inside], y[inside]), rows.iloc[outside])
    losses = {weight: _losses(y, _mixed(p, held, weight)) for weight in WEIGHTS}
    best = min(losses, key=lambda weight: float(losses[weight].mean()))
    gain = losses[0.0] - losses[best]
    by_customer = np.bincount(customer, gain)
    error = float(np.sqrt((by_customer**2).sum())) / len(gain)
    clear = float(gain.mean()) > CLEAR * error
    return {
        **_rates(rows, y),
        "weight": best if clear else 0.0,
        "report": {
            "rows": len(rows),
            "log_loss": {str(weight): float(loss.mean()) for weight, loss in losses.items()},
        },
    }


def _halves(rows: pd.DataFrame) -> tuple[Array, Array]:
    """Number of every row's customer, and the half it belongs to: every other customer by id."""
    customer = np.unique(rows["customer_id"].to_numpy(dtype=str), return_inverse=True)[1]
    return customer, customer % HALVES


def _mixed(p: Array, rate: Array, weight: float) -> Array:
    z = (1.0 - weight) * (np.log(p) - np.log1p(-p)) + weight * (np.log(rate) - np.log1p(-rate))
    return sigmoid(z)


def _losses(y: Array, p: Array) -> Array:
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.asarray(-np.where(y > 0, np.log(p), np.log1p(-p)))


def _rates(rows: pd.DataFrame, y: Array) -> dict[str, Any]:
    """Smoothed rates of cohorts, and of channels within them."""
    overall = (float(y.sum()) + 0.5) / (len(y) + 1.0)
    cohort = np.searchsorted(AGES, rows["tenure__days"].to_numpy(dtype=np.float64), side="right")
    cohorts = [_smoothed(y[cohort == number], overall) for number in range(len(AGES) + 1)]
    channels: dict[str, list[float]] = {}
    if "preferred_channel" in rows:
        channel = rows["preferred_channel"].to_numpy(dtype=object)
        for name in sorted({each for each in channel if isinstance(each, str)}):
            mine = channel == name
            channels[name] = [
                _smoothed(y[mine & (cohort == number)], rate) for number, rate in enumerate(cohorts)
            ]
    return {"days": COLD_DAYS, "ages": list(AGES), "cohorts": cohorts, "channels": channels}


def _smoothed(y: Array, rate: float) -> float:
    return (float(y.sum()) + PRIOR * rate) / (len(y) + PRIOR)
