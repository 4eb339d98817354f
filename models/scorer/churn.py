"""Predict churn.

Parameters: weights (of the served methods), shift, columns, linear {columns, means, scales,
coefficients, intercept}, simple (likewise), btyd (or null), contract (or null; see
`contracts`), base_logit, horizon_days,
activity_days, calibration, bands, back_off (new customers: days, ages, cohorts, channels, weight;
or null), boosters (order).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .btyd import btyd_p_no_order
from .cold_start import mix_cohort_rates
from .contracts import contract_logit
from .derived_features import derive
from .fast_trees import raw_scores
from .feature_rows import Rows, number_column, take_rows
from .linear_model import linear, matrix, sigmoid
from .part import Array, Part

# Methods with log-odds that can be served, mixed.
METHODS = ("trees", "logistic", "rfm", "btyd", "contract", "mean")


def apply_calibration(calibration: Mapping[str, Any], probability: Array) -> Array:
    """Probabilities after a fitted calibration map (kinds: raw, platt, beta, isotonic).

    platt: sigmoid(slope logit p + intercept); beta: sigmoid(a log p - b log(1-p) + intercept)
    (Kull et al. 2017); isotonic: linear interpolation between knots.
    """
    kind = calibration["kind"]
    if kind == "raw":
        return probability
    if kind == "isotonic":
        return np.interp(probability, calibration["x"], calibration["y"])
    clipped = np.clip(probability, 1e-9, 1.0 - 1e-9)
    if kind == "platt":
        log_odds = calibration["slope"] * (np.log(clipped) - np.log1p(-clipped))
    elif kind == "beta":
        log_odds = calibration["a"] * np.log(clipped) - calibration["b"] * np.log1p(-clipped)
    else:
        raise ValueError(f"unknown calibration {kind!r}: expected raw, platt, beta or isotonic")
    return sigmoid(log_odds + calibration["intercept"])


def churn_group(frame: Rows) -> Array:
    """Peer group of every row: rule stage and number of purchase days (1, 2-3, 4-9, 10 or more)."""
    stage_values = number_column(frame, "stage__code", missing=-1.0)
    stage_codes = np.where(np.abs(stage_values) < 1e9, stage_values, -1.0).astype(int)
    repeats = number_column(frame, "btyd__x", missing=0.0)
    orders = np.searchsorted([1.0, 3.0, 9.0], repeats, side="right")
    return np.asarray(
        [
            f"{stage_code}/{orders_code}"
            for stage_code, orders_code in zip(stage_codes, orders, strict=True)
        ],
        dtype=object,
    )


def churn_lift(bands: Mapping[str, Any], group: Array, probability: Array) -> Array:
    """Odds of churn over those of the peer group; odds can rise even if the base rate is high."""
    base_by_group = bands["base"]
    base_rates = np.array([base_by_group.get(name) for name in group.tolist()], dtype=np.float64)
    base_rates = np.where(np.isnan(base_rates), bands["base_of_all"], base_rates)
    base_rates, probability = (
        np.clip(chance, 1e-6, 1.0 - 1e-6) for chance in (base_rates, probability)
    )
    return np.asarray(probability / (1.0 - probability) * (1.0 - base_rates) / base_rates)


def churn_eligible(frame: Rows, activity_days: float | None, *, by: str = "purchase") -> Array:
    """True if the last purchase is at most `activity_days` ago (None: any purchase).

    With churn by ``cancel`` events, false for customers who cancelled since the last purchase, or
    on its day.
    """
    recency = number_column(frame, "purchase__recency_days")
    eligible = recency <= (np.inf if activity_days is None else activity_days)
    if by == "cancel" and "cancel__recency_days" in frame:
        cancelled = number_column(frame, "cancel__recency_days")
        eligible = eligible & ~(cancelled <= recency)
    return np.asarray(eligible)


def method_logits(part: Part, derived_frame: Rows, names: Sequence[str]) -> dict[str, Array]:
    """Log-odds of churn by those of the named methods that the part holds.

    ``trees`` is the mean over the seeds, ``rfm`` a regression on recency, frequency and value,
    ``mean`` the same for every row.
    """
    parameters, logits = part.parameters, {}
    if "trees" in names and part.boosters:
        features = matrix(derived_frame, parameters["columns"])
        tree_logits = raw_scores([part.boosters[name] for name in sorted(part.boosters)], features)
        logits["trees"] = np.mean(tree_logits, axis=0)
    for name, key in (("logistic", "linear"), ("rfm", "simple")):
        if name in names:
            regression = parameters[key]
            logits[name] = linear(regression, matrix(derived_frame, regression["columns"]))
    if "btyd" in names and parameters["btyd"] is not None:
        logits["btyd"] = churn_btyd_logit(
            parameters["btyd"], derived_frame, parameters["horizon_days"]
        )
    if "contract" in names and parameters.get("contract") is not None:
        logits["contract"] = contract_logit(
            parameters["contract"], derived_frame, float(parameters["horizon_days"])
        )
    if "mean" in names:
        logits["mean"] = np.full(len(derived_frame), parameters["base_logit"])
    return logits


def churn_raw(part: Part, derived_frame: Rows) -> Array:
    """Uncalibrated probability: the served methods' log-odds, weighted and summed."""
    weights = part.parameters["weights"]
    logits = method_logits(part, derived_frame, tuple(weights))
    mixture = np.asarray(sum(weights[name] * logits[name] for name in weights))
    return sigmoid(mixture + part.parameters.get("shift", 0.0))


def churn_btyd_logit(btyd: Mapping[str, Any], frame: Rows, horizon_days: float) -> Array:
    """Logit of BTYD's P(no purchase within the horizon), kept within 1e-4 and 1 - 1e-4."""
    x, t_x, age = matrix(frame, ["btyd__x", "btyd__t_x", "btyd__T"]).T
    probability = np.clip(
        btyd_p_no_order(btyd, x, t_x, age, horizon=float(horizon_days)), 1e-4, 1 - 1e-4
    )
    return np.asarray(np.log(probability) - np.log1p(-probability))


def predict_churn(part: Part, frame: Rows, context: Mapping[str, Any]) -> dict[str, Array]:
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
    ``churn_eligible`` (bool), ``p_churn`` (P(no purchase, or for contracts a cancellation, within
    the horizon); NaN if not eligible), ``churn_horizon_days`` (float) and ``churn_band`` (high,
    medium, low; None if not eligible), relative to customers of the same stage and order count.
    """
    parameters = part.parameters
    by = parameters.get("by", "purchase")
    eligible = churn_eligible(frame, parameters["activity_days"], by=by)
    probability = np.full(len(frame), np.nan)
    band_names = np.full(len(frame), None, dtype=object)
    if eligible.any():
        rows = take_rows(frame, np.flatnonzero(eligible))
        risks = apply_calibration(parameters["calibration"], churn_raw(part, derive(rows, context)))
        probability[eligible] = mix_cohort_rates(parameters.get("back_off"), rows, risks)
        bands = parameters["bands"]
        lifts = churn_lift(bands, churn_group(rows), probability[eligible])
        ordered_names = np.asarray(["low", "medium", "high"], dtype=object)
        band_names[eligible] = ordered_names[
            (lifts > bands["low"]).astype(int) + (lifts >= bands["high"])
        ]
    horizons = np.full(len(frame), float(parameters["horizon_days"]))
    return {
        "churn_eligible": eligible,
        "p_churn": probability,
        "churn_horizon_days": horizons,
        "churn_band": band_names,
    }
