"""Cold start: shrink probabilities of new customers to the rate of similar new customers.

A customer known for a week has almost no features, and trees separate such customers by noise.
Their probability is mixed with the rate of their cohort (days since the first event) and channel.
Rates of small cells are smoothed towards the cohort, and those of cohorts towards all new
customers. The weight is chosen on predictions that held the customer out; it is 0 unless the gain
is clear.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from features.arrays import Array
from models.scorer.cold_start import cold_rates, cold_rows
from models.scorer.linear_model import sigmoid

_AGES = (7.0, 14.0)  # days of tenure at which the first two cohorts end; the third ends at 30
_COLD_DAYS = 30.0  # days of tenure below which a customer is new
_PRIOR = 50.0  # rows of the wider group that a rate is smoothed with
_WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
_MIN_ROWS = 100  # fewer rows of new customers are not used
_CLEAR = 1.0  # standard errors that the gain in log loss must exceed
_HALVES = 2


def fit_back_off(frame: pd.DataFrame, target: Array, probability: Array) -> dict[str, Any] | None:
    """Rates of new customers by cohort and channel, and their weight beside the model.

    Parameters
    ----------
    frame
        Training rows of all snapshots, with ``tenure__days`` and (if known)
        ``preferred_channel``.
    target
        0/1 outcome of every row.
    probability
        Its probability by a model that has not seen the customer.

    Returns
    -------
    JSON-able parameters for `models.scorer.cold_start`, with a ``report``; None with too few rows
    of new customers, or if all of them had the same outcome.
    """
    if "tenure__days" not in frame:
        return None
    cold_positions = np.flatnonzero(cold_rows(frame, _COLD_DAYS))
    cold_frame, target, probability = (
        frame.iloc[cold_positions].reset_index(drop=True),
        target[cold_positions],
        np.clip(probability[cold_positions], 1e-6, 1 - 1e-6),
    )
    if len(cold_frame) < _MIN_ROWS or target.min() == target.max():
        return None
    customer, fold_numbers = _halves(cold_frame)
    held_out_rates = np.empty(len(cold_frame))
    for number in range(_HALVES):
        inside, outside = (
            np.flatnonzero(fold_numbers != number),
            np.flatnonzero(fold_numbers == number),
        )
        if not len(inside) or not len(outside):
            return None
        held_out_rates[outside] = cold_rates(
            _rates(cold_frame.iloc[inside], target[inside]), cold_frame.iloc[outside]
        )
    losses = {
        weight: _losses(target, _mixed(probability, held_out_rates, weight)) for weight in _WEIGHTS
    }
    best_weight = min(losses, key=lambda weight: float(losses[weight].mean()))
    gains = losses[0.0] - losses[best_weight]
    customer_gains = np.bincount(customer, gains)
    standard_error = float(np.sqrt((customer_gains**2).sum())) / len(gains)
    is_clear = float(gains.mean()) > _CLEAR * standard_error
    return {
        **_rates(cold_frame, target),
        "weight": best_weight if is_clear else 0.0,
        "report": {
            "rows": len(cold_frame),
            "log_loss": {str(weight): float(loss.mean()) for weight, loss in losses.items()},
        },
    }


def _halves(rows: pd.DataFrame) -> tuple[Array, Array]:
    """Code of every row's customer, and its half: 0 or 1 for every other customer by id."""
    customer = np.unique(rows["customer_id"].to_numpy(dtype=str), return_inverse=True)[1]
    return customer, customer % _HALVES


def _mixed(probability: Array, rate: Array, weight: float) -> Array:
    log_odds = (1.0 - weight) * (np.log(probability) - np.log1p(-probability)) + weight * (
        np.log(rate) - np.log1p(-rate)
    )
    return sigmoid(log_odds)


def _losses(target: Array, probability: Array) -> Array:
    probability = np.clip(probability, 1e-6, 1 - 1e-6)
    return np.asarray(-np.where(target > 0, np.log(probability), np.log1p(-probability)))


def _rates(rows: pd.DataFrame, target: Array) -> dict[str, Any]:
    """Smoothed rates of cohorts, and of channels within them."""
    overall_rate = (float(target.sum()) + 0.5) / (len(target) + 1.0)
    cohort_codes = np.searchsorted(
        _AGES, rows["tenure__days"].to_numpy(dtype=np.float64), side="right"
    )
    cohort_rates = [
        _smoothed(target[cohort_codes == number], overall_rate) for number in range(len(_AGES) + 1)
    ]
    channel_rates: dict[str, list[float]] = {}
    if "preferred_channel" in rows:
        row_channels = rows["preferred_channel"].to_numpy(dtype=object)
        for name in sorted({value for value in row_channels if isinstance(value, str)}):
            in_channel = row_channels == name
            channel_rates[name] = [
                _smoothed(target[in_channel & (cohort_codes == number)], rate)
                for number, rate in enumerate(cohort_rates)
            ]
    return {
        "days": _COLD_DAYS,
        "ages": list(_AGES),
        "cohorts": cohort_rates,
        "channels": channel_rates,
    }


def _smoothed(target: Array, rate: float) -> float:
    return (float(target.sum()) + _PRIOR * rate) / (len(target) + _PRIOR)
