"""Customer lifetime value: spend within a horizon, as a distribution times a level.

The distribution over customers is the mean of two normalised models on many snapshots. The level
(the total) is the expectation of buy-till-you-die models, corrected if the history is long enough.
BTYD alone is served if the hybrid does not beat it. A split-conformal interval comes from the
validation residuals of the model before its final fit.

Fitting only; prediction is `models.scorer.clv.predict_clv`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from features.arrays import Array
from features.errors import UserError
from models.fitting.clv_distribution import (
    BTYD_COLUMNS,
    TWEEDIE_POWER,
    BuyerSnapshot,
    add_btyd,
    buyer_snapshots,
    clv_floor,
    clv_tail,
    fit_btyd_or_rate,
    fit_shapes,
    refit_shapes,
    select_spend_columns,
)
from models.scorer.clv import clv_context, clv_group, clv_sums, clv_width, predict_clv
from models.scorer.derived_features import model_columns
from models.scorer.part import Part
from models.tasks.lead import fit_lead_regression, fit_leads

_MIN_ROWS = 400  # no trees with fewer rows of buyers on fit snapshots
_COVERAGE = 0.8
_HYBRID_WEIGHTS = (1.0, 0.5)  # shares of the hybrid beside BTYD, tried in this order
_CLEAR_GAIN, _LARGE_GAIN = (
    2.0,
    0.025,
)  # its gain, in standard errors and relative, to serve it alone
_LARGE_SQUARES = 0.1  # relative gain in squared error that also counts as large
_MIN_END = 0.5  # least multiple of the scale on either side of an active buyer's interval
_MIN_GROUP = 50  # with fewer residuals a group takes the multiples of all
_BELOW = (0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.16)  # share left below the interval
_WHOLE = 1e9  # multiple of the scale that moves the lower end to 0
_TOP_SHARE, _MID_SHARE = 0.2, 0.5  # of the buyers: value tiers top, and top or mid
_YEAR_DAYS, _SEASON_DAYS = 364, 16
_SEASON_SHARE = 0.75  # part of last year's error of a season that repeats
_LEVEL_HALF_LIFE_DAYS = 180.0
_MAX_CORRECTION = np.log(1.5)


def fit_clv(
    frame: pd.DataFrame,
    contexts: Mapping[pd.Timestamp, Mapping[str, Any]],
    *,
    at_origin: pd.DataFrame,
    validation_at: pd.Timestamp,
    horizon_days: int,
    seed: int,
    threads: int = 2,
    margin: float | None = None,
) -> Part:
    """Fit the CLV part on matured snapshots; its BTYD on the training date.

    Parameters
    ----------
    frame
        One row per (customer_id, snapshot_at) of all matured training snapshots: the feature frame
        with ``spend`` (money in [t, t+h), at least 0), ``orders`` and ``label_end_at``.
    contexts
        Scoring context of every snapshot in `frame`; unused here, since `clv_sums` and
        `clv_context` make the context of this recipe.
    at_origin
        Feature frame of one snapshot, the training date, without labels.
    validation_at
        The latest matured snapshot, for early stopping, the choice against BTYD and the interval.
    horizon_days
        Days of the horizon.
    seed, threads
        Seed of LightGBM and its threads.
    margin
        Share of spend that is margin; None if unknown.

    Returns
    -------
    Part
        Named ``clv``; ``parameters["report"]`` holds the decisions and their reasons.

    Raises
    ------
    UserError
        If no buyer has a matured label at `validation_at`.
    """
    del contexts
    snapshots = buyer_snapshots(frame, horizon_days)
    validation = next(
        (snapshot for snapshot in snapshots if snapshot.at == pd.Timestamp(validation_at)), None
    )
    if validation is None:
        raise UserError(
            "clv",
            found=f"no buyer with a matured label at {pd.Timestamp(validation_at).date()}",
            expected=f"a snapshot with purchases before it and {horizon_days} days after it",
            hint="a shorter horizon, or a longer history",
        )
    shared_parameters = {
        "horizon_days": int(horizon_days),
        "columns": [*model_columns(frame), *BTYD_COLUMNS],
        "orders_per_day": _orders_per_day(at_origin),
        "first_purchase": fit_lead_regression(
            frame[frame["snapshot_at"] < validation.at], at_origin
        ),
        "interval": {},
        "tiers": {"top": np.inf, "mid": np.inf},
        "coverage": _COVERAGE,
        "margin": margin,
    }
    guarded, deviances, rounds = _choose_served(
        snapshots, validation, shared_parameters, seed=seed, threads=threads
    )
    training_date = pd.Timestamp(at_origin["snapshot_at"].iloc[0])
    origin_btyd = fit_btyd_or_rate(at_origin)
    origin_buyers = BuyerSnapshot(
        training_date, origin_btyd, add_btyd(at_origin, origin_btyd, horizon_days)
    )
    level_fit = level_correction(snapshots, training_date, horizon_days)
    parameters: dict[str, Any] = {
        **guarded.parameters,
        "btyd": origin_btyd,
        "interval": _interval(guarded, frame[frame["snapshot_at"] == validation.at]),
        "level_correction": level_fit["correction"],
        "floor": clv_floor(origin_buyers),
        "tail": clv_tail(origin_buyers),
    }
    parameters["first_purchase"], boosters = fit_leads(frame, at_origin, seed=seed, threads=threads)
    if parameters["serve"] == "hybrid":
        columns = parameters["columns"]
        parameters["glm"], shape_boosters = refit_shapes(
            snapshots, columns, rounds, seed=seed, threads=threads
        )
        boosters |= shape_boosters
    parameters["report"] = {
        "served": parameters["serve"],
        "why": _reason(deviances, guarded),
        "validation_deviance": deviances,
        "level": level_fit,
        "rounds": rounds,
        "snapshots": [str(snapshot.at.date()) for snapshot in snapshots],
        "btyd_log_errors": [snapshot.log_error for snapshot in snapshots],
    }
    part = Part("clv", parameters, boosters)
    parameters["tiers"] = _tiers(part, at_origin)
    return part


def predict_snapshot(part: Part, frame: pd.DataFrame) -> dict[str, Array]:
    """Predict one whole snapshot: make the context from the frame, then call `predict_clv`."""
    context = clv_context(part, clv_sums(part, frame))
    return predict_clv(part, frame, context)


# ----------------------------------------------------------------------------------------- guard


def _choose_served(
    snapshots: list[BuyerSnapshot],
    validation: BuyerSnapshot,
    shared_parameters: dict[str, Any],
    *,
    seed: int,
    threads: int,
) -> tuple[Part, dict[str, float], dict[str, int]]:
    """Choose hybrid, BTYD or their mean on the validation snapshot.

    A hybrid with a clear and large gain (in deviance, or in squared error) is served alone, one
    with a smaller gain as the mean with BTYD, and one that loses in deviance or squared error not
    at all: on simulated histories a tolerance for chance let more hybrids lose than win later.

    Returns
    -------
    The part, the Tweedie deviance of each candidate, and the rounds of the trees.
    """
    earlier_snapshots = [snapshot for snapshot in snapshots if snapshot.at < validation.at]
    level_fit = level_correction(snapshots, validation.at, shared_parameters["horizon_days"])
    common = {
        **shared_parameters,
        "btyd": validation.btyd,
        "level_correction": level_fit["correction"],
        "floor": clv_floor(validation),
        "tail": clv_tail(validation),
        "hybrid_weight": 1.0,
    }
    btyd_part = Part("clv", {**common, "serve": "btyd", "glm": None})
    deviances = {"btyd": _deviance(btyd_part, validation)}
    row_count = sum(len(past.rows) for past in earlier_snapshots if past.spend.sum() > 0)
    if row_count < _MIN_ROWS or validation.spend.sum() == 0:
        return btyd_part, deviances, {}
    columns = select_spend_columns(
        earlier_snapshots, shared_parameters["columns"], seed=seed, threads=threads
    )
    common["columns"] = columns
    glm, boosters, rounds = fit_shapes(
        earlier_snapshots, validation, columns, seed=seed, threads=threads
    )
    hybrid_part = Part("clv", {**common, "serve": "hybrid", "glm": glm}, boosters)
    gains = _losses(btyd_part, validation) - _losses(hybrid_part, validation)
    is_large = gains.mean() >= _LARGE_GAIN * abs(deviances["btyd"])
    is_clear = _in_standard_errors(gains) >= _CLEAR_GAIN and (
        is_large or _is_closer(btyd_part, hybrid_part, validation)
    )
    for weight in _HYBRID_WEIGHTS[0 if is_clear else 1 :]:
        candidate = Part("clv", {**hybrid_part.parameters, "hybrid_weight": weight}, boosters)
        deviances["hybrid"] = _deviance(candidate, validation)
        extra_squares = _squares(candidate, validation) - _squares(btyd_part, validation)
        if deviances["hybrid"] < deviances["btyd"] and extra_squares.mean() <= 0:
            return candidate, deviances, rounds
    return btyd_part, deviances, {}


def _losses(part: Part, validation: BuyerSnapshot) -> Array:
    """Tweedie deviance of each validation row, without the terms that depend on the truth alone."""
    prediction = np.maximum(predict_snapshot(part, validation.rows)["clv"], 1e-9)
    target = validation.spend
    return np.asarray(
        -target * prediction ** (1 - TWEEDIE_POWER) / (1 - TWEEDIE_POWER)
        + prediction ** (2 - TWEEDIE_POWER) / (2 - TWEEDIE_POWER)
    )


def _deviance(part: Part, validation: BuyerSnapshot) -> float:
    return float(_losses(part, validation).mean())


def _squares(part: Part, validation: BuyerSnapshot) -> Array:
    return np.asarray((predict_snapshot(part, validation.rows)["clv"] - validation.spend) ** 2)


def _is_closer(plain: Part, hybrid: Part, validation: BuyerSnapshot) -> bool:
    """True if the hybrid's squared error is smaller by a clear and large difference."""
    btyd_squares = _squares(plain, validation)
    gains = btyd_squares - _squares(hybrid, validation)
    return _in_standard_errors(gains) >= _CLEAR_GAIN and bool(
        gains.mean() >= _LARGE_SQUARES * btyd_squares.mean()
    )


def _in_standard_errors(differences: Array) -> float:
    """Mean of paired differences, in standard errors."""
    standard_error = float(differences.std()) / np.sqrt(len(differences))
    return float(differences.mean()) / max(standard_error, 1e-12)


def _reason(deviance: dict[str, float], gated: Part) -> str:
    """The reason for the choice of the served model, as a sentence."""
    fallback = gated.parameters["btyd"]["fallback"]
    base_name = "a shrunken purchase rate (BTYD did not fit)" if fallback else "BTYD"
    if "hybrid" not in deviance:
        return f"{base_name}: too few matured rows to learn a shape from"
    if gated.parameters["serve"] == "btyd":
        return f"{base_name}: the hybrid does not beat it on the validation snapshot"
    if gated.parameters["hybrid_weight"] < 1.0:
        return f"the mean of hybrid and {base_name}: a small gain on the validation snapshot"
    return f"the hybrid beats {base_name} on the validation snapshot"


# ----------------------------------------------------------------------------------------- level


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


# -------------------------------------------------------------------------------------- interval


def _interval(part: Part, matured: pd.DataFrame) -> dict[str, list[float]]:
    """Conformal multiples below and above for every group, on the validation snapshot.

    Separate groups cover active and quiet customers equally well; a common quantile would fit the
    quiet, who mostly spend nothing, and miss the active.
    """
    context = clv_context(part, clv_sums(part, matured))
    prediction = predict_clv(part, matured, context)["clv"]
    target = matured["spend"].to_numpy(dtype=np.float64)
    widths = np.maximum(clv_width(prediction, context["clv_mean"]), 1e-9)
    groups = clv_group(matured, float(part.parameters["horizon_days"]))
    multiples = {}
    for name in ("active", "quiet", "never"):
        members = groups == name
        members = members if members.sum() >= _MIN_GROUP else np.full(len(prediction), True)
        below, above = conformal_multiples(prediction[members], target[members], widths[members])
        # With equal amounts the end lies at the prediction, and any drift would fall outside.
        smallest = _MIN_END if name == "active" else 0.0
        multiples[name] = [max(below, smallest), max(above, smallest)]
    return multiples


def conformal_multiples(prediction: Array, target: Array, width: Array) -> tuple[float, float]:
    """Multiples of `width` below and above `prediction` that cover 80 % of `target`.

    Split conformal with the finite-sample rank ceil((n + 1) 0.8); the 20 % outside are divided
    between the tails so that the mean width is smallest. The lower end is cut at 0; the prediction
    always lies inside.
    """
    rank = min(int(np.ceil((len(prediction) + 1) * _COVERAGE)), len(prediction))
    narrowest = (np.inf, _WHOLE, 0.0)
    for tail_share in _BELOW:
        below = (
            _WHOLE
            if tail_share == 0
            else max(float(np.quantile((prediction - target) / width, 1 - tail_share)), 0.0)
        )
        lower_end = np.maximum(prediction - below * width, 0.0)
        sorted_excess = np.sort(
            np.where(target >= lower_end, (target - prediction) / width, np.inf)
        )
        above = max(float(sorted_excess[rank - 1]), 0.0)
        mean_width = float(np.mean(prediction + above * width - lower_end))
        if mean_width < narrowest[0]:
            narrowest = (mean_width, below, above)
    return narrowest[1], narrowest[2]


# -------------------------------------------------------------------------------- orders, tiers


def _orders_per_day(frame: pd.DataFrame) -> float:
    """Mean number of orders per purchase day: BTYD counts days, the business counts orders."""
    days = float(frame["purchase__days_all"].sum())
    return float(frame["purchase__count_all"].sum()) / days if days else 1.0


def _tiers(part: Part, at_origin: pd.DataFrame) -> dict[str, float]:
    """Cut-offs (money, above 0) of the value tiers among buyers on the training date."""
    buyers = at_origin[at_origin["btyd__x"].notna()]
    buyer_clv = predict_snapshot(part, buyers)["clv"]
    top_cut, mid_cut = np.quantile(buyer_clv, [1 - _TOP_SHARE, 1 - _MID_SHARE])
    return {"top": float(max(top_cut, 1e-9)), "mid": float(max(mid_cut, 1e-9))}
