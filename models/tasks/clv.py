"""Customer lifetime value: spend within a horizon, as a distribution times a level.

The distribution over customers is a blend of up to six models of relative spend; BTYD or another
simple method is served alone where the blend is not clearly better on earlier origins. The level
(the total) is the expectation of buy-till-you-die models, corrected if the history is long enough,
and refused where it is far above any past horizon. The interval is split-conformal, from
the residuals on earlier origins of models that had not seen them.

Fitting only; prediction is `models.scorer.clv.predict_clv`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.arrays import Array
from features.errors import UserError
from models.fitting.clv_blend import (
    choose_blend,
    fit_blend,
    report_of,
    test_origins,
    usual_weights,
)
from models.fitting.clv_distribution import (
    BTYD_COLUMNS,
    CONTRACT_COLUMN,
    BuyerSnapshot,
    buyer_snapshots,
    clv_floor,
    clv_tail,
)
from models.fitting.clv_interval import conformal_offsets
from models.fitting.clv_level import guard_level, level_correction, spend_limit
from models.fitting.clv_shapes import ShapeModels, fit_shapes
from models.fitting.total_interval import PastSpend, PastTotal, spend_errors
from models.scorer.clv import clv_context, clv_sums, predict_clv
from models.scorer.clv_shapes import SHAPE_BOOSTERS
from models.scorer.derived_features import model_columns
from models.scorer.part import Part
from models.tasks.lead import fit_lead_regression, fit_leads

_COVERAGE = 0.8
_MIN_GROUP = 50  # with fewer of those who never bought they take the interval of buyers
_NO_OFFSETS = {"roots": [0.0], "low": [0.0], "high": [0.0]}
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
    origin = BuyerSnapshot.of(training_date, at_origin, horizon_days)
    contract_columns = [CONTRACT_COLUMN] if CONTRACT_COLUMN in origin.rows else []
    tested, columns = test_origins(
        snapshots,
        [*model_columns(frame), *BTYD_COLUMNS, *contract_columns],
        validation=validation,
        horizon_days=horizon_days,
        seed=seed,
        threads=threads,
    )
    usual = usual_weights(columns, horizon_days, contract=bool(origin.contract))
    blend = choose_blend(tested, untested=usual)
    limit = spend_limit(snapshots, at_origin, horizon_days)
    shared_parameters: dict[str, Any] = {
        "horizon_days": int(horizon_days),
        "orders_per_day": _orders_per_day(at_origin),
        "first_purchase": fit_lead_regression(
            frame[frame["snapshot_at"] < validation.at], at_origin
        ),
        "spend_limit": limit,
        "interval": {"buyers": _NO_OFFSETS, "never": _NO_OFFSETS},
        "tiers": {"top": np.inf, "mid": np.inf},
        "coverage": _COVERAGE,
        "margin": margin,
    }
    models_by_origin = [(origin.snapshot, origin.models) for origin in tested]
    if not tested:
        plain = fit_shapes(
            [],
            columns,
            list(usual),
            rounds={},
            horizon_days=horizon_days,
            seed=seed,
            threads=threads,
        )
        models_by_origin = [(validation, plain)]
    checked = [
        (
            _part(
                shared_parameters,
                snapshot,
                models,
                blend.weights,
                level_correction(snapshots, snapshot.at, horizon_days),
            ),
            frame[frame["snapshot_at"] == snapshot.at],
        )
        for snapshot, models in models_by_origin
    ]
    served_models = fit_blend(
        snapshots, columns, blend, tested, horizon_days=horizon_days, seed=seed, threads=threads
    )
    level = level_correction(snapshots, training_date, horizon_days)
    level, weights = guard_level(level, blend.weights, origin, snapshots, limit)
    part = _part(shared_parameters, origin, served_models, weights, level)
    parameters = part.parameters
    predictions = [_predicted_and_actual(*one) for one in checked]
    parameters["interval"] = _interval(predictions)
    parameters["total_errors"] = None  # a refused total has no errors of its own
    if "alarm" not in level:
        parameters["total_errors"] = spend_errors(
            _past_totals(snapshots, horizon_days), [one.spend for one in predictions], horizon_days
        )
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
    """Part with the BTYD, floor and tail of a snapshot, and the served boosters."""
    prefixes = tuple(prefix for name in weights for prefix in SHAPE_BOOSTERS.get(name, ()))
    parameters = {
        **shared_parameters,
        **models.parameters,
        "weights": dict(weights),
        "btyd": snapshot.btyd,
        "contract": snapshot.contract,
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


@dataclass(frozen=True)
class _TestedSpend:
    """Spend of the customers of a past origin, who of them had bought, and the mean level."""

    spend: PastSpend
    has_bought: Array
    level: float


def _predicted_and_actual(part: Part, matured: pd.DataFrame) -> _TestedSpend:
    """Predict the labelled frame of an origin by a part that was fitted before it."""
    context = clv_context(part, clv_sums(part, matured))
    expected = predict_clv(part, matured, context)["clv"]
    has_bought = matured["btyd__x"].notna().to_numpy()
    top_cut, mid_cut = _tier_cuts(expected[has_bought])
    tiers = (expected >= mid_cut).astype(int) + (expected >= top_cut)
    spend = matured["spend"].to_numpy(dtype=np.float64)
    return _TestedSpend(
        PastSpend(expected, spend, (tiers, matured["stage"].to_numpy())),
        has_bought,
        max(context["clv_mean"], 1e-9),
    )


def _past_totals(snapshots: Sequence[BuyerSnapshot], horizon_days: int) -> list[PastTotal]:
    """Totals of buyers, each by the level as of its snapshot.

    Snapshots with less than one horizon of history before them do not count: a business that has
    just begun is off by far more than later.
    """
    totals = []
    for snapshot in snapshots:
        if float(snapshot.rows["btyd__T"].max()) >= horizon_days:
            level = level_correction(list(snapshots), snapshot.at, horizon_days)["correction"]
            expected = float(snapshot.expected.sum() * np.exp(level))
            totals.append(PastTotal(snapshot.at, expected, float(snapshot.spend.sum())))
    return totals


def _interval(predictions: list[_TestedSpend]) -> dict[str, dict[str, list[float]]]:
    """Offsets of the interval for buyers and for those who never bought (`conformal_offsets`).

    Parameters
    ----------
    predictions
        Of earlier origins, the latest first. Those who never bought are taken from the first alone;
        their model has seen the others.
    """
    pairs: dict[str, list[tuple[Array, Array]]] = {"buyers": [], "never": []}
    for number, tested in enumerate(predictions):
        prediction = tested.spend.expected / tested.level
        target = tested.spend.actual / tested.level
        has_bought = tested.has_bought
        pairs["buyers"].append((prediction[has_bought], target[has_bought]))
        if number == 0 and (~has_bought).sum() >= _MIN_GROUP:
            pairs["never"].append((prediction[~has_bought], target[~has_bought]))
    offsets = {
        group: conformal_offsets(*(np.concatenate(ends) for ends in zip(*rows, strict=True)))
        for group, rows in pairs.items()
        if rows
    }
    return {"never": offsets["buyers"], **offsets}


# -------------------------------------------------------------------------------- orders, tiers


def _orders_per_day(frame: pd.DataFrame) -> float:
    """Mean over buyers of orders per purchase day: BTYD counts days, the business counts orders.

    Every buyer weighs the same, so that one account with all orders of a till does not decide.
    """
    days = frame["purchase__days_all"].to_numpy(dtype=np.float64, na_value=0.0)
    orders = frame["purchase__count_all"].to_numpy(dtype=np.float64, na_value=0.0)
    bought = days > 0
    return max(float((orders[bought] / days[bought]).mean()), 1.0) if bought.any() else 1.0


def _tiers(part: Part, at_origin: pd.DataFrame) -> dict[str, float]:
    """Cut-offs (money, above 0) of the value tiers among buyers on the training date."""
    buyers = at_origin[at_origin["btyd__x"].notna()]
    top_cut, mid_cut = _tier_cuts(predict_snapshot(part, buyers)["clv"])
    return {"top": float(max(top_cut, 1e-9)), "mid": float(max(mid_cut, 1e-9))}


def _tier_cuts(buyer_clv: Array) -> tuple[float, float]:
    """Expected spend (money) from which a buyer is in the top tier, and in the mid one."""
    top_cut, mid_cut = np.quantile(buyer_clv, [1 - _TOP_SHARE, 1 - _MID_SHARE])
    return float(top_cut), float(mid_cut)
