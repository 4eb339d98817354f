"""Predict customer lifetime value, orders, and the first purchase of leads.

Parameters: horizon_days, btyd, contract (see `contracts`; null or absent without), weights {shape:
weight}, columns, glm {columns, means, scales, coefficients, intercept} or null, same_again (column
of past spend, or null), floor, tail (money above which `expected_spend` takes over; null: never),
level_correction, spend_limit (money a buyer; null: none), interval {buyers, never: {roots, low,
high}}, orders_per_day, margin (share of spend, or null), first_purchase {p, spend, orders,
order_value, linear, columns, linear_weight, back_off (as for churn), score {p, score}, bands},
tiers {top, mid}. Boosters: those of `SHAPE_BOOSTERS`, lead_<n>.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .btyd import btyd_expectations, btyd_p_order
from .clv_shapes import any_order_scores, expected_spend, spend_shapes
from .coherence import mixed_order_chance, order_outlook
from .cold_start import mix_cohort_rates
from .contracts import contract_spend
from .fast_trees import raw_scores
from .feature_rows import Rows, number_column, take_rows, with_numbers
from .linear_model import linear, matrix, sigmoid
from .part import Array, Part


def clv_with_btyd(part: Part, frame: Rows) -> Any:
    """Add the expectations of BTYD and contracts, by the artifact's parameters, to the frame."""
    parameters = part.parameters
    return add_expectations(
        frame, parameters["btyd"], parameters.get("contract"), float(parameters["horizon_days"])
    )


def add_expectations(
    frame: Rows,
    btyd: Mapping[str, Any],
    contract: Mapping[str, Any] | None,
    horizon: float,
) -> Any:
    """The frame with `btyd_expectations`, and for data with contracts ``contract__clv``.

    It is `contract_spend`; null where `contract` is null.
    """
    columns = btyd_expectations(btyd, frame, horizon=horizon)
    if contract is not None:
        columns["contract__clv"] = contract_spend(contract, frame, horizon)
    elif "contract__age" in frame:
        columns["contract__clv"] = np.full(len(frame), np.nan)
    return with_numbers(frame, columns)


def _served_shapes(part: Part, rows: Rows) -> dict[str, Array]:
    """Shapes with a weight, of buyers from `clv_with_btyd`."""
    return spend_shapes(part.parameters, part.boosters, rows, part.parameters["weights"])


def _btyd_share(part: Part, expected: Array) -> Array:
    """Share of the expected spend alone in a buyer's CLV: 0 up to ``tail``, then 1 - tail / it.

    Above the tail there are too few customers to learn how they differ from the expectation.
    """
    threshold = part.parameters["tail"]
    if not threshold:
        return np.zeros(len(expected))
    return np.asarray(1.0 - np.minimum(1.0, threshold / np.maximum(expected, 1e-12)))


def clv_sums(part: Part, frame: Rows) -> dict[str, float]:
    """Additive sums over the rows of one snapshot; sums of disjoint parts are added key by key.

    Number of buyers, totals of the served shapes (``shape_NAME``) and of their parts outside the
    tail (``outside_NAME``), the total of BTYD, and its part in the tail (money).
    """
    rows = clv_with_btyd(
        part, take_rows(frame, np.flatnonzero(~np.isnan(number_column(frame, "btyd__x"))))
    )
    shapes = _served_shapes(part, rows) if len(rows) else {}
    expected = expected_spend(rows)
    tail_share = _btyd_share(part, expected)
    totals = {}
    for name in part.parameters["weights"]:
        shape = shapes.get(name, np.zeros(0))
        totals[f"shape_{name}"] = float(shape.sum())
        totals[f"outside_{name}"] = float(((1.0 - tail_share) * shape).sum())
    return {
        "buyers": float(len(rows)),
        "btyd": float(expected.sum()),
        "tail": float((tail_share * expected).sum()),
        **totals,
    }


def clv_context(part: Part, sums: Mapping[str, float]) -> dict[str, Any]:
    """CLV part of the scoring context, from (added) `clv_sums`.

    ``clv_factors`` divides each shape by its total, weighs it, and scales the blend to the level:
    BTYD's total times the learned correction, at most ``spend_limit`` a buyer, minus the tail.
    ``clv_mean`` is the level per buyer (money).
    """
    parameters = part.parameters
    total_level = sums["btyd"] * float(np.exp(parameters["level_correction"]))
    if parameters["spend_limit"] is not None:
        total_level = min(total_level, parameters["spend_limit"] * sums["buyers"])
    shape_level = max(total_level - sums["tail"], 0.0)
    shares = {
        name: weight / sums[f"shape_{name}"] if sums[f"shape_{name}"] > 0.0 else 0.0
        for name, weight in parameters["weights"].items()
    }
    outside = sum(share * sums[f"outside_{name}"] for name, share in shares.items())
    scale = shape_level / outside if outside > 0.0 else 0.0
    factors = {name: scale * share for name, share in shares.items()}
    return {
        "clv_factors": factors,
        "clv_mean": total_level / sums["buyers"] if sums["buyers"] else 0.0,
    }


def _clv_interval(
    interval: Mapping[str, Any], has_bought: Array, prediction: Array, mean_level: float
) -> tuple[Array, Array]:
    """10 % and 90 % quantiles of spend; the prediction always lies between them.

    The ends are offsets on the root of the spend over the mean level, interpolated between bins of
    predicted value (see `models.fitting.clv_interval`).
    """
    scale = max(mean_level, 1e-9)
    roots = np.sqrt(np.maximum(prediction, 0.0) / scale)
    lower_ends, upper_ends = prediction.copy(), prediction.copy()
    for group, members in (("buyers", has_bought), ("never", ~has_bought)):
        offsets = interval[group]
        low, high = (
            np.interp(roots[members], offsets["roots"], offsets[end]) for end in ("low", "high")
        )
        lower_ends[members] = np.maximum(roots[members] + low, 0.0) ** 2 * scale
        upper_ends[members] = np.maximum(roots[members] + high, 0.0) ** 2 * scale
    return np.minimum(lower_ends, prediction), np.maximum(upper_ends, prediction)


def clv_first_purchase(part: Part, frame: Rows) -> Array:
    """P(first purchase within the horizon) of leads: regression and trees averaged in logits.

    NaN if training had no leads; the share of all leads if too few of them bought.
    """
    first_purchase = part.parameters["first_purchase"]
    if first_purchase["linear"] is None:
        return np.full(
            len(frame), np.nan if first_purchase["p"] is None else float(first_purchase["p"])
        )
    logits = linear(first_purchase["linear"], matrix(frame, first_purchase["linear"]["columns"]))
    if names := sorted(name for name in part.boosters if name.startswith("lead_")):
        features = matrix(frame, first_purchase["columns"])
        tree_logits = np.mean(raw_scores([part.boosters[name] for name in names], features), axis=0)
        logits = (
            first_purchase["linear_weight"] * logits
            + (1.0 - first_purchase["linear_weight"]) * tree_logits
        )
    return mix_cohort_rates(first_purchase.get("back_off"), frame, sigmoid(logits))


def lead_columns(first: Mapping[str, Any], probability: Array) -> dict[str, Array]:
    """``lead_score`` (0 to 100) and ``lead_band`` (A to D); null where `probability` is NaN."""
    scores, band_names = (
        np.full(len(probability), np.nan),
        np.full(len(probability), None, dtype=object),
    )
    is_known = ~np.isnan(probability)
    if "score" in first:  # absent from parts fitted by earlier versions
        scores[is_known] = np.interp(
            probability[is_known], first["score"]["p"], first["score"]["score"]
        )
        band_positions = np.searchsorted(first["bands"], scores[is_known], side="right")
        band_names[is_known] = np.asarray(["D", "C", "B", "A"], dtype=object)[band_positions]
    return {"lead_score": scores, "lead_band": band_names}


def _clv_tier(tiers: Mapping[str, Any], clv: Array) -> Array:
    """Value tier by the model's cut-offs: top, mid, low; None where CLV is NaN."""
    ordered_names = np.asarray(["low", "mid", "top"], dtype=object)
    tier_names = ordered_names[(clv >= tiers["mid"]).astype(int) + (clv >= tiers["top"])]
    tier_names[np.isnan(clv)] = None
    return np.asarray(tier_names)


def clv_margin(part: Part, clv: Array) -> Array:
    """Margin of the expected spend; NaN if unknown, as in parts of earlier versions."""
    margin = part.parameters.get("margin")
    return clv * (np.nan if margin is None else float(margin))


def predict_clv(
    part: Part,
    frame: Rows,
    context: Mapping[str, Any],
    *,
    p_order: Array | None = None,
) -> dict[str, Array]:
    """CLV columns of the scored row for one snapshot; given the context, rows are independent.

    Parameters
    ----------
    part
        Fitted by `models.tasks.clv.fit_clv`.
    frame
        Feature frame of one snapshot.
    context
        Scoring context of the snapshot with `clv_context` in it.
    p_order
        P(any order within the horizon) where another part has predicted it (`order_chances`), NaN
        elsewhere; None if there is none.

    Returns
    -------
    Money within ``clv_horizon_days``: ``clv``, ``clv_low``, ``clv_high`` (10 % and 90 % quantiles).
    ``expected_orders``, ``p_any_order`` within the horizon, ``average_order_value`` (expected money
    per order), ``next_order_days`` (days until an order has probability one half; NaN if it never
    has), ``p_first_purchase``, ``lead_score`` and ``lead_band`` (null for buyers), ``p_alive`` (NaN
    for customers who never bought), ``value_tier`` (top, mid, low), ``clv_margin`` (NaN if the
    margin is unknown).
    """
    parameters = part.parameters
    horizon = float(parameters["horizon_days"])
    first_purchase = parameters["first_purchase"]
    has_bought = ~np.isnan(number_column(frame, "btyd__x"))
    never_rows, buyer_rows = np.flatnonzero(~has_bought), np.flatnonzero(has_bought)
    names = ["clv", "expected_orders", "p_any_order", "p_first_purchase", "p_alive"]
    names += ["next_order_days", "average_order_value"]
    output = {name: np.full(len(frame), np.nan) for name in names}
    if len(never_rows):
        first_chances = clv_first_purchase(part, take_rows(frame, never_rows))
        output["p_first_purchase"][never_rows] = first_chances
        probability = np.nan_to_num(first_chances)
        output["p_any_order"][never_rows] = probability
        output["clv"][never_rows] = probability * first_purchase["spend"]
        output["expected_orders"][never_rows] = probability * first_purchase["orders"]
        output["average_order_value"][never_rows] = first_purchase["order_value"]
    if len(buyer_rows):
        rows = clv_with_btyd(part, take_rows(frame, buyer_rows))
        expected = expected_spend(rows)
        tail_share = _btyd_share(part, expected)
        blended_clv = np.sum(
            [
                context["clv_factors"][name] * shape
                for name, shape in _served_shapes(part, rows).items()
            ],
            axis=0,
        )
        output["clv"][buyer_rows] = (1.0 - tail_share) * blended_clv + tail_share * expected
        x, t_x, age = matrix(rows, ["btyd__x", "btyd__t_x", "btyd__T"]).T
        btyd_parameters, orders_per_day = parameters["btyd"], parameters["orders_per_day"]
        chance = mixed_order_chance(
            btyd_p_order(btyd_parameters, x, t_x, age, horizon=horizon),
            any_order_scores(parameters, part.boosters, rows),
        )
        if p_order is not None:
            known = p_order[buyer_rows]
            chance = np.where(np.isnan(known), chance, known)
        outlook = order_outlook(
            btyd_parameters,
            np.stack([x, t_x, age]),
            chance,
            horizon=horizon,
            orders_per_day=orders_per_day,
        )
        for name, values in outlook.items():
            output[name][buyer_rows] = values
        output["p_alive"][buyer_rows] = number_column(rows, "btyd__p_alive")
        purchase_values = number_column(rows, "btyd__expected_value")
        output["average_order_value"][buyer_rows] = purchase_values / orders_per_day
    lower_ends, upper_ends = _clv_interval(
        parameters["interval"], has_bought, output["clv"], context["clv_mean"]
    )
    return {
        **output,
        "clv_low": lower_ends,
        "clv_high": upper_ends,
        "clv_horizon_days": np.full(len(frame), horizon),
        "value_tier": _clv_tier(parameters["tiers"], output["clv"]),
        "clv_margin": clv_margin(part, output["clv"]),
        **lead_columns(first_purchase, output["p_first_purchase"]),
    }
