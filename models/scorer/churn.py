"""Predict churn.

Parameters: columns, linear {columns, means, scales, coefficients, intercept}, simple (likewise),
simple_weight, horizon_days, activity_days, calibration, bands, back_off (cold customers: days,
ages, cohorts, channels, weight; or null), boosters (order).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from .btyd import btyd_p_no_order
from .cold_start import backed_off
from .derived_features import derive
from .fast_trees import raw_scores
from .linear_model import linear, matrix, sigmoid
from .part import Array, Part


def calibrated(calibration: Mapping[str, Any], p: Array) -> Array:
    """Probabilities after a fitted calibration map (kinds: raw, platt, beta, isotonic).

    platt: sigmoid(slope logit p + intercept); beta: sigmoid(a log p - b log(1-p) + intercept)
    (Kull et al. 2017); isotonic: linear interpolation between knots.
    """
    kind = calibration["kind"]
    if kind == "raw":
        return p
    if kind == "isotonic":
        return np.interp(p, calibration["x"], calibration["y"])
    safe = np.clip(p, 1e-9, 1.0 - 1e-9)
    if kind == "platt":
        z = calibration["slope"] * (np.log(safe) - np.log1p(-safe))
    elif kind == "beta":
        z = calibration["a"] * np.log(safe) - calibration["b"] * np.log1p(-safe)
    else:
        raise ValueError(f"unknown calibration {kind!r}: expected raw, platt, beta or isotonic")
    return sigmoid(z + calibration["intercept"])


def churn_group(frame: pd.DataFrame) -> Array:
    """Peer group of every row: rule stage and number of purchase days (1, 2-3, 4-9, 10 or more)."""
    code = frame["stage__code"].to_numpy(dtype=np.float64, na_value=-1.0)
    stage = np.where(np.abs(code) < 1e9, code, -1.0).astype(int)
    repeats = frame["btyd__x"].to_numpy(dtype=np.float64, na_value=0.0)
    orders = np.searchsorted([1.0, 3.0, 9.0], repeats, side="right")
    return np.asarray([f"{s}/{o}" for s, o in zip(stage, orders, strict=True)], dtype=object)


def churn_lift(bands: Mapping[str, Any], group: Array, p: Array) -> Array:
    """Odds of churn over the odds of one's own group; odds, so that a high base leaves room."""
    base = pd.Series(group, dtype=object).map(bands["base"]).to_numpy(dtype=np.float64)
    base = np.where(np.isnan(base), bands["base_of_all"], base)
    base, p = (np.clip(chance, 1e-6, 1.0 - 1e-6) for chance in (base, p))
    return np.asarray(p / (1.0 - p) * (1.0 - base) / base)


def churn_eligible(
    frame: pd.DataFrame, activity_days: float | None, *, by: str = "purchase"
) -> Array:
    """Whether the last purchase lies at most `activity_days` back (None: ever bought).

    By ``cancel`` events, who cancelled on the day of the last purchase or since is not.
    """
    recency = frame["purchase__recency_days"].to_numpy(dtype=np.float64, na_value=np.nan)
    eligible = recency <= (np.inf if activity_days is None else activity_days)
    if by == "cancel" and "cancel__recency_days" in frame:
        cancelled = frame["cancel__recency_days"].to_numpy(dtype=np.float64, na_value=np.nan)
        eligible = eligible & ~(cancelled <= recency)
    return np.asarray(eligible)


def churn_raw(part: Part, derived_frame: pd.DataFrame) -> Array:
    """Uncalibrated probability: LightGBM seeds and logistic regression averaged in logits.

    Where the history was short, a logistic regression on recency, frequency and value has a share;
    where customers buy as BG/NBD assumes, it has one too.
    """
    parameters = part.parameters
    x = matrix(derived_frame, parameters["columns"])
    z = linear(parameters["linear"], matrix(derived_frame, parameters["linear"]["columns"]))
    weight = parameters["linear_weight"] if part.boosters else 1.0
    if part.boosters:
        trees = raw_scores([part.boosters[name] for name in sorted(part.boosters)], x)
        z = weight * z + (1.0 - weight) * np.mean(trees, axis=0)
    if share := parameters.get("simple_weight", 0.0):
        simple = parameters["simple"]
        z = (1.0 - share) * z + share * linear(simple, matrix(derived_frame, simple["columns"]))
    if share := parameters.get("btyd_weight", 0.0):
        other = churn_btyd_logit(parameters["btyd"], derived_frame, parameters["horizon_days"])
        z = (1.0 - share) * z + share * other
    return sigmoid(z)


def churn_btyd_logit(btyd: Mapping[str, Any], frame: pd.DataFrame, horizon_days: float) -> Array:
    """Logit of BTYD's P(no purchase within the horizon), kept within 1e-4 and 1 - 1e-4."""
    x, t_x, age = matrix(frame, ["btyd__x", "btyd__t_x", "btyd__T"]).T
    p = np.clip(btyd_p_no_order(btyd, x, t_x, age, horizon=float(horizon_days)), 1e-4, 1 - 1e-4)
    return np.asarray(np.log(p) - np.log1p(-p))


def predict_churn(part: Part, frame: pd.DataFrame, context: Mapping[str, Any]) -> dict[str, Array]:
    """Churn columns of the scored row, for one snapshot.

    Parameters
    ----------
    part
        Fitted by `models.tasks.churn.fit_churn`.
    frame
        Feature frame of one snapshot.
    context
        Scoring context of the snapshot.

    Returns
    -------
    ``churn_eligible`` (bool), ``p_churn`` (P(no purchase, or by contract: a cancellation, within
    the horizon), NaN when not
    eligible), ``churn_horizon_days`` (float) and ``churn_band`` (high, medium, low, None when not
    eligible): the band compares with customers of the same stage and order count.
    """
    parameters = part.parameters
    by = parameters.get("by", "purchase")
    eligible = churn_eligible(frame, parameters["activity_days"], by=by)
    p = np.full(len(frame), np.nan)
    band = np.full(len(frame), None, dtype=object)
    if eligible.any():
        rows = frame.iloc[np.flatnonzero(eligible)]
        risk = calibrated(parameters["calibration"], churn_raw(part, derive(rows, context)))
        p[eligible] = backed_off(parameters.get("back_off"), rows, risk)
        bands = parameters["bands"]
        lift = churn_lift(bands, churn_group(rows), p[eligible])
        names = np.asarray(["low", "medium", "high"], dtype=object)
        band[eligible] = names[(lift > bands["low"]).astype(int) + (lift >= bands["high"])]
    horizon = np.full(len(frame), float(parameters["horizon_days"]))
    return {
        "churn_eligible": eligible,
        "p_churn": p,
        "churn_horizon_days": horizon,
        "churn_band": band,
    }
