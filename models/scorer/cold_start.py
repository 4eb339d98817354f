"""Rates of a customer's cohort, mixed into predictions where the history is short."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from .linear_model import sigmoid
from .part import Array


def cold_rows(frame: pd.DataFrame, days: float) -> Array:
    """Whether the first sign of life lies under `days` back; not where there was none yet."""
    if "tenure__days" not in frame:
        return np.full(len(frame), False)
    tenure = frame["tenure__days"].to_numpy(dtype=np.float64, na_value=np.nan)
    return np.asarray(tenure < days)


def cold_rates(back_off: Mapping[str, Any], frame: pd.DataFrame) -> Array:
    """Rate of every row's cohort by tenure, within its channel where that is known."""
    tenure = frame["tenure__days"].to_numpy(dtype=np.float64, na_value=np.nan)
    cohort = np.searchsorted(back_off["ages"], np.nan_to_num(tenure), side="right")
    rate = np.asarray(back_off["cohorts"], dtype=np.float64)[cohort]
    if "preferred_channel" in frame and back_off["channels"]:
        channel = frame["preferred_channel"].to_numpy(dtype=object)
        for name, rates in back_off["channels"].items():
            mine = channel == name
            rate[mine] = np.asarray(rates, dtype=np.float64)[cohort[mine]]
    return rate


def backed_off(back_off: Mapping[str, Any] | None, frame: pd.DataFrame, p: Array) -> Array:
    """Chances, those of cold customers mixed in logits with the rate of their like."""
    if not back_off or not back_off["weight"]:
        return p
    rows = np.flatnonzero(cold_rows(frame, back_off["days"]) & ~np.isnan(p))
    rate, own = cold_rates(back_off, frame.iloc[rows]), np.clip(p[rows], 1e-6, 1.0 - 1e-6)
    weight, out = back_off["weight"], p.copy()
    z = (1.0 - weight) * (np.log(own) - np.log1p(-own))
    out[rows] = sigmoid(z + weight * (np.log(rate) - np.log1p(-rate)))
    return out
