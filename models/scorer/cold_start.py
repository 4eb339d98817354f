"""Mix the rate of a new customer's cohort into the prediction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .feature_rows import Rows, number_column, take_rows, text_column
from .linear_model import sigmoid
from .part import Array


def cold_rows(frame: Rows, days: float) -> Array:
    """True if the first event is less than `days` ago; false without an event."""
    if "tenure__days" not in frame:
        return np.full(len(frame), False)
    tenure = number_column(frame, "tenure__days")
    return np.asarray(tenure < days)


def cold_rates(back_off: Mapping[str, Any], frame: Rows) -> Array:
    """Rate of every row's cohort by tenure, and by channel if that is known."""
    tenure = number_column(frame, "tenure__days")
    cohort_codes = np.searchsorted(back_off["ages"], np.nan_to_num(tenure), side="right")
    row_rates = np.asarray(back_off["cohorts"], dtype=np.float64)[cohort_codes]
    if "preferred_channel" in frame and back_off["channels"]:
        row_channels = text_column(frame, "preferred_channel")
        for name, rates in back_off["channels"].items():
            in_channel = row_channels == name
            row_rates[in_channel] = np.asarray(rates, dtype=np.float64)[cohort_codes[in_channel]]
    return row_rates


def mix_cohort_rates(back_off: Mapping[str, Any] | None, frame: Rows, probability: Array) -> Array:
    """Probabilities, for new customers mixed in logits with the rate of their cohort."""
    if not back_off or not back_off["weight"]:
        return probability
    cold_positions = np.flatnonzero(cold_rows(frame, back_off["days"]) & ~np.isnan(probability))
    if not len(cold_positions):
        return probability
    cohort_rates, own_chances = (
        cold_rates(back_off, take_rows(frame, cold_positions)),
        np.clip(probability[cold_positions], 1e-6, 1.0 - 1e-6),
    )
    cohort_weight, mixed = back_off["weight"], probability.copy()
    logits = (1.0 - cohort_weight) * (np.log(own_chances) - np.log1p(-own_chances))
    mixed[cold_positions] = sigmoid(
        logits + cohort_weight * (np.log(cohort_rates) - np.log1p(-cohort_rates))
    )
    return mixed
