"""Customer lifetime value: spend within a horizon, as a distribution times a level.

The distribution over customers is a blend of up to six models of relative spend; BTYD or another
simple method is served alone where the blend is not clearly better on earlier origins. The level
(the total) is the expectation of buy-till-you-die models, corrected if the history is long enough,
and refused where it is far above any past horizon. A split-conformal interval comes from the
validation residuals of the models before their final fit.

Fitting only; prediction is `models.scorer.clv.predict_clv`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from features.arrays import Array
from features.errors import UserError
from models.fitting.clv_blend import choose_blend, fit_blend, report_of, test_origins
from models.fitting.clv_distribution import (
    BTYD_COLUMNS,
    BuyerSnapshot,
    add_btyd,
    buyer_snapshots,
    clv_floor,
    clv_tail,
    fit_btyd_or_rate,
)
from models.fitting.clv_level import guard_level, level_correction, spend_limit
from models.fitting.clv_shapes import ShapeModels, fit_shapes
from models.scorer.clv import clv_context, clv_group, clv_sums, clv_width, predict_clv
from models.scorer.clv_shapes import SHAPE_BOOSTERS
from models.scorer.derived_features import model_columns
from models.scorer.part import Part
from models.tasks.lead import fit_lead_regression, fit_leads

_COVERAGE = 0.8
_MIN_END = 0.5  # least multiple of the scale on either side of an active buyer's interval
_MIN_GROUP = 50  # with fewer residuals a group takes the multiples of all
_BELOW = (0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.16)  # share left below the interval
_WHOLE = 1e9  # multiple of the scale that moves the lower end to 0
_TOP_SHARE, _MID_SHARE = 0.2, 0.5  # of the buyers: value tiers top, and top or mid


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
    training_date = pd.Timestamp(at_origin["snapshot_at"].iloc[0])
    origin_btyd = fit_btyd_or_rate(at_origin)
    origin = BuyerSnapshot(
        training_date, origin_btyd, add_btyd(at_origin, origin_btyd, horizon_days)
    )
    tested, columns = test_origins(
        snapshots,
        [*model_columns(frame), *BTYD_COLUMNS],
        validation=validation,
        horizon_days=horizon_days,
        seed=seed,
        threads=threads,
    )
    blend = choose_blend(tested)
    limit = spend_limit(snapshots, at_origin, horizon_days)
    shared_parameters: dict[str, Any] = {
        "horizon_days": int(horizon_days),
        "orders_per_day": _orders_per_day(at_origin),
        "first_purchase": fit_lead_regression(
            frame[frame["snapshot_at"] < validation.at], at_origin
        ),
        "spend_limit": limit,
        "interval": {},
        "tiers": {"top": np.inf, "mid": np.inf},
        "coverage": _COVERAGE,
        "margin": margin,
    }
    checked_models = (
        tested[0].models
        if tested
        else fit_shapes(
            [], columns, ["btyd"], rounds={}, horizon_days=horizon_days, seed=seed, threads=threads
        )
    )
    checked_level = level_correction(snapshots, validation.at, horizon_days)
    checked = _part(shared_parameters, validation, checked_models, blend.weights, checked_level)
    served_models = fit_blend(
        snapshots, columns, blend, tested, horizon_days=horizon_days, seed=seed, threads=threads
    )
    level = level_correction(snapshots, training_date, horizon_days)
    level, weights = guard_level(level, blend.weights, origin, snapshots, limit)
    part = _part(shared_parameters, origin, served_models, weights, level)
    parameters = part.parameters
    parameters["interval"] = _interval(checked, frame[frame["snapshot_at"] == validation.at])
    parameters["first_purchase"], boosters = fit_leads(frame, at_origin, seed=seed, threads=threads)
    part.boosters.update(boosters)
    parameters["report"] = {
        **report_of(blend, tested),
        "level": level,
        "rounds": served_models.rounds,
        "snapshots": [str(snapshot.at.date()) for snapshot in snapshots],
        "btyd_log_errors": [snapshot.log_error for snapshot in snapshots],
    }
    parameters["tiers"] = _tiers(part, at_origin)
    return part


def _part(
    shared_parameters: Mapping[str, Any],
    snapshot: BuyerSnapshot,
    models: ShapeModels,
    weights: Mapping[str, float],
    level: Mapping[str, Any],
) -> Part:
    """The part whose BTYD, floor and tail are those of a snapshot, with its served boosters."""
    prefixes = tuple(prefix for name in weights for prefix in SHAPE_BOOSTERS.get(name, ()))
    parameters = {
        **shared_parameters,
        **models.parameters,
        "weights": dict(weights),
        "btyd": snapshot.btyd,
        "level_correction": level["correction"],
        "floor": clv_floor(snapshot),
        "tail": clv_tail(snapshot) if len(weights) > 1 else None,
    }
    boosters = {
        name: booster for name, booster in models.boosters.items() if name.startswith(prefixes)
    }
    return Part("clv", parameters, boosters if prefixes else {})


def predict_snapshot(part: Part, frame: pd.DataFrame) -> dict[str, Array]:
    """Predict one whole snapshot: make the context from the frame, then call `predict_clv`."""
    context = clv_context(part, clv_sums(part, frame))
    return predict_clv(part, frame, context)


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
