"""Customer lifetime value: spend within a horizon, shape and level learned apart.

The shape (who spends more than whom) is the mean of two normalised models on many snapshots; the
level (the total) is what buy-till-you-die models expect, corrected only where history is long
enough. A guard serves BTYD where the hybrid does not beat it, and a split-conformal interval comes
from the validation residuals of the model before it was refitted.

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
from models.tasks.lead import fit_leads, plain_leads

_MIN_ROWS = 400  # buyers on fit snapshots below which trees are not tried
_COVERAGE = 0.8
_HYBRID_WEIGHTS = (1.0, 0.5)  # share of the hybrid beside BTYD, tried in this order
_CLEAR_GAIN, _LARGE_GAIN = (
    2.0,
    0.025,
)  # its gain, in standard errors and relative, to serve it alone
_LARGE_SQUARES = 0.1  # gain in squared error that is as large
_MIN_END = 0.5  # multiples of the scale that an active buyer's interval has on either side
_MIN_GROUP = 50  # residuals a group of the interval needs of its own
_BELOW = (0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.16)  # share left below the interval
_WHOLE = 1e9  # multiple of the scale that takes the lower end to 0
_TOP_SHARE, _MID_SHARE = 0.2, 0.5  # of the buyers: value tiers top, and top or mid
_YEAR_DAYS, _SEASON_DAYS = 364, 16
_SEASON_SHARE = 0.75  # BTYD has seen a season by the next year: less of its error comes back
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
        Scoring context of every snapshot in `frame`; not used by this recipe, whose context is
        made by `clv_sums` and `clv_context`.
    at_origin
        Feature frame of one snapshot, the training date, without labels.
    validation_at
        The latest matured snapshot: early stopping, guard, interval.
    horizon_days
        Days of the horizon.
    seed, threads
        Seed of LightGBM and its threads.
    margin
        Share of spend that is margin, for the second figure; None where it is not known.

    Returns
    -------
    Part
        Named ``clv``; ``parameters["report"]`` holds what was decided and why.

    Raises
    ------
    UserError
        When there is no matured row at `validation_at`, or nobody has ever bought.
    """
    del contexts
    snapshots = buyer_snapshots(frame, horizon_days)
    validation = next((s for s in snapshots if s.at == pd.Timestamp(validation_at)), None)
    if validation is None:
        raise UserError(
            "clv",
            found=f"no buyer with a matured label at {pd.Timestamp(validation_at).date()}",
            expected=f"a snapshot with purchases before it and {horizon_days} days after it",
            hint="a shorter horizon, or a longer history",
        )
    shared = {
        "horizon_days": int(horizon_days),
        "columns": [*model_columns(frame), *BTYD_COLUMNS],
        "orders_per_day": _orders_per_day(at_origin),
        "first_purchase": plain_leads(frame[frame["snapshot_at"] < validation.at], at_origin),
        "interval": {},
        "tiers": {"top": np.inf, "mid": np.inf},
        "coverage": _COVERAGE,
        "margin": margin,
    }
    gated, deviance, rounds = _gated(snapshots, validation, shared, seed=seed, threads=threads)
    at = pd.Timestamp(at_origin["snapshot_at"].iloc[0])
    origin_btyd = fit_btyd_or_rate(at_origin)
    origin = BuyerSnapshot(at, origin_btyd, add_btyd(at_origin, origin_btyd, horizon_days))
    level = level_correction(snapshots, at, horizon_days)
    parameters: dict[str, Any] = {
        **gated.parameters,
        "btyd": origin_btyd,
        "interval": _interval(gated, frame[frame["snapshot_at"] == validation.at]),
        "level_correction": level["correction"],
        "floor": clv_floor(origin),
        "tail": clv_tail(origin),
    }
    parameters["first_purchase"], boosters = fit_leads(frame, at_origin, seed=seed, threads=threads)
    if parameters["serve"] == "hybrid":
        columns = parameters["columns"]
        parameters["glm"], shapes = refit_shapes(
            snapshots, columns, rounds, seed=seed, threads=threads
        )
        boosters |= shapes
    parameters["report"] = {
        "served": parameters["serve"],
        "why": _reason(deviance, gated),
        "validation_deviance": deviance,
        "level": level,
        "rounds": rounds,
        "snapshots": [str(s.at.date()) for s in snapshots],
        "btyd_log_errors": [s.log_error for s in snapshots],
    }
    part = Part("clv", parameters, boosters)
    parameters["tiers"] = _tiers(part, at_origin)
    return part


def predict(part: Part, frame: pd.DataFrame) -> dict[str, Array]:
    """Both passes on one whole snapshot: the context from the frame, then `predict_clv`."""
    context = clv_context(part, clv_sums(part, frame))
    return predict_clv(part, frame, context)


# ----------------------------------------------------------------------------------------- guard


def _gated(
    snapshots: list[BuyerSnapshot],
    validation: BuyerSnapshot,
    shared: dict[str, Any],
    *,
    seed: int,
    threads: int,
) -> tuple[Part, dict[str, float], dict[str, int]]:
    """The better of hybrid and BTYD on the validation snapshot, both with its BTYD and level.

    A hybrid whose gain in deviance is not clear, or large neither there nor in squared error, is
    served as the mean of both; one that loses in deviance, or in squared error, is not served: on
    made-up histories a tolerance for chance let more hybrids lose on later dates than it let win.
    Also the Tweedie deviance of each, and the rounds of the trees.
    """
    earlier = [s for s in snapshots if s.at < validation.at]
    level = level_correction(snapshots, validation.at, shared["horizon_days"])
    head = {
        **shared,
        "btyd": validation.btyd,
        "level_correction": level["correction"],
        "floor": clv_floor(validation),
        "tail": clv_tail(validation),
        "hybrid_weight": 1.0,
    }
    plain = Part("clv", {**head, "serve": "btyd", "glm": None})
    deviance = {"btyd": _deviance(plain, validation)}
    enough = sum(len(s.rows) for s in earlier if s.spend.sum() > 0) >= _MIN_ROWS
    if not enough or validation.spend.sum() == 0:
        return plain, deviance, {}
    columns = select_spend_columns(earlier, shared["columns"], seed=seed, threads=threads)
    head["columns"] = columns
    glm, boosters, rounds = fit_shapes(earlier, validation, columns, seed=seed, threads=threads)
    hybrid = Part("clv", {**head, "serve": "hybrid", "glm": glm}, boosters)
    gain = _losses(plain, validation) - _losses(hybrid, validation)
    large = gain.mean() >= _LARGE_GAIN * abs(deviance["btyd"])
    clear = _errors(gain) >= _CLEAR_GAIN and (large or _closer(plain, hybrid, validation))
    for weight in _HYBRID_WEIGHTS[0 if clear else 1 :]:
        mixed = Part("clv", {**hybrid.parameters, "hybrid_weight": weight}, boosters)
        deviance["hybrid"] = _deviance(mixed, validation)
        worse = _squares(mixed, validation) - _squares(plain, validation)
        if deviance["hybrid"] < deviance["btyd"] and worse.mean() <= 0:
            return mixed, deviance, rounds
    return plain, deviance, {}


def _losses(part: Part, validation: BuyerSnapshot) -> Array:
    """Tweedie deviance of each validation row, up to what the truth alone fixes."""
    p = np.maximum(predict(part, validation.rows)["clv"], 1e-9)
    y = validation.spend
    return np.asarray(
        -y * p ** (1 - TWEEDIE_POWER) / (1 - TWEEDIE_POWER)
        + p ** (2 - TWEEDIE_POWER) / (2 - TWEEDIE_POWER)
    )


def _deviance(part: Part, validation: BuyerSnapshot) -> float:
    return float(_losses(part, validation).mean())


def _squares(part: Part, validation: BuyerSnapshot) -> Array:
    return np.asarray((predict(part, validation.rows)["clv"] - validation.spend) ** 2)


def _closer(plain: Part, hybrid: Part, validation: BuyerSnapshot) -> bool:
    """Whether the hybrid's squared error is smaller by much, and clearly."""
    squares = _squares(plain, validation)
    gain = squares - _squares(hybrid, validation)
    return _errors(gain) >= _CLEAR_GAIN and bool(gain.mean() >= _LARGE_SQUARES * squares.mean())


def _errors(difference: Array) -> float:
    """Mean of paired differences in standard errors of it."""
    spread = float(difference.std()) / np.sqrt(len(difference))
    return float(difference.mean()) / max(spread, 1e-12)


def _reason(deviance: dict[str, float], gated: Part) -> str:
    """Why the part serves what it serves, in a sentence."""
    fallback = gated.parameters["btyd"]["fallback"]
    base = "a shrunken purchase rate (BTYD did not fit)" if fallback else "BTYD"
    if "hybrid" not in deviance:
        return f"{base}: too few matured rows to learn a shape from"
    if gated.parameters["serve"] == "btyd":
        return f"{base}: the hybrid does not beat it on the validation snapshot"
    if gated.parameters["hybrid_weight"] < 1.0:
        return f"the mean of hybrid and {base}: a small gain on the validation snapshot"
    return f"the hybrid beats {base} on the validation snapshot"


# ----------------------------------------------------------------------------------------- level


def level_correction(
    snapshots: list[BuyerSnapshot], at: pd.Timestamp, horizon_days: int
) -> dict[str, Any]:
    """Log correction of BTYD's total at `at`, learned from labels that had matured by then.

    Three quarters of the log error of the same season a year ago where there is one; else half the
    recency-weighted mean log error and a quarter of the last one; none without three matured
    snapshots that span a horizon. Snapshots before which there is less than one horizon of history
    do not count.

    Returns
    -------
    ``correction`` (log, at most log 1.5 in size) and ``from``, a sentence.
    """
    known = [s for s in snapshots if s.rows["label_end_at"].max() <= at]
    history = [s for s in known if float(s.rows["btyd__T"].max()) >= horizon_days]
    for snapshot in reversed(history):
        if abs((at - snapshot.at).days - _YEAR_DAYS) <= _SEASON_DAYS:
            error = _SEASON_SHARE * snapshot.log_error
            return _level(error, f"the season a year ago ({snapshot.at.date()})")
    if len(history) < 3 or (history[-1].at - history[0].at).days < horizon_days:
        return _level(0.0, "none: too little matured history")
    age = np.array([(at - s.at).days for s in history], dtype=np.float64)
    errors = np.array([s.log_error for s in history])
    mean = float(np.average(errors, weights=0.5 ** (age / _LEVEL_HALF_LIFE_DAYS)))
    return _level(0.5 * mean + 0.25 * errors[-1], f"{len(history)} matured snapshots")


def _level(correction: float, reason: str) -> dict[str, Any]:
    clipped = float(np.clip(correction, -_MAX_CORRECTION, _MAX_CORRECTION))
    return {"correction": clipped, "from": reason}


# -------------------------------------------------------------------------------------- interval


def _interval(part: Part, matured: pd.DataFrame) -> dict[str, list[float]]:
    """Conformal multiples below and above of every group on the validation snapshot.

    A group of its own covers the active and the quiet alike; one quantile for all covers the quiet,
    who mostly spend nothing, at the cost of the active.
    """
    context = clv_context(part, clv_sums(part, matured))
    p = predict_clv(part, matured, context)["clv"]
    y = matured["spend"].to_numpy(dtype=np.float64)
    width = np.maximum(clv_width(p, context["clv_mean"]), 1e-9)
    group = clv_group(matured, float(part.parameters["horizon_days"]))
    result = {}
    for name in ("active", "quiet", "never"):
        mine = group == name
        mine = mine if mine.sum() >= _MIN_GROUP else np.full(len(p), True)
        below, above = conformal_ends(p[mine], y[mine], width[mine])
        # Equal amounts put the end right at the prediction: the least drift would leave it.
        least = _MIN_END if name == "active" else 0.0
        result[name] = [max(below, least), max(above, least)]
    return result


def conformal_ends(p: Array, y: Array, width: Array) -> tuple[float, float]:
    """Multiples of `width` below and above `p` of the narrowest interval that covers 80 % of `y`.

    Split conformal with the finite-sample rank ceil((n + 1) 0.8); the split of what is left out
    between the tails is chosen by mean width. The lower end is cut at 0 and the prediction always
    lies inside.
    """
    need = min(int(np.ceil((len(p) + 1) * _COVERAGE)), len(p))
    best = (np.inf, _WHOLE, 0.0)
    for share in _BELOW:
        below = _WHOLE if share == 0 else max(float(np.quantile((p - y) / width, 1 - share)), 0.0)
        low = np.maximum(p - below * width, 0.0)
        excess = np.sort(np.where(y >= low, (y - p) / width, np.inf))
        above = max(float(excess[need - 1]), 0.0)
        size = float(np.mean(p + above * width - low))
        if size < best[0]:
            best = (size, below, above)
    return best[1], best[2]


# -------------------------------------------------------------------------------- orders, tiers


def _orders_per_day(frame: pd.DataFrame) -> float:
    """Orders a purchase day: BTYD counts days, the business counts orders."""
    days = float(frame["purchase__days_all"].sum())
    return float(frame["purchase__count_all"].sum()) / days if days else 1.0


def _tiers(part: Part, at_origin: pd.DataFrame) -> dict[str, float]:
    """Cut-offs of the value tiers among buyers on the training date; above 0."""
    buyers = at_origin[at_origin["btyd__x"].notna()]
    clv = predict(part, buyers)["clv"]
    top, mid = np.quantile(clv, [1 - _TOP_SHARE, 1 - _MID_SHARE])
    return {"top": float(max(top, 1e-9)), "mid": float(max(mid, 1e-9))}
