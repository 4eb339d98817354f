"""Predict customer lifetime value, orders, and the first purchase of leads.

Parameters: horizon_days, btyd, serve (hybrid, btyd), columns, glm {columns, means, scales,
coefficients, intercept}, floor, tail (money above which BTYD takes over; null: nowhere),
level_correction, hybrid_weight (beside BTYD), interval {group: [below, above]}, orders_per_day,
margin (share of spend, or null), first_purchase {p, spend, orders, order_value, linear, columns,
linear_weight, back_off (as for churn), score {p, score}, bands}, tiers {top, mid}. Boosters:
h_<seed>, h2_<seed>, lead_<n>.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from .btyd import btyd_columns, btyd_next_order_days, btyd_p_no_order
from .cold_start import backed_off
from .fast_trees import raw_scores
from .linear_model import linear, matrix, sigmoid
from .part import Array, Part


def clv_with_btyd(part: Part, frame: pd.DataFrame) -> pd.DataFrame:
    """Feature frame with the BTYD expectations of the artifact's frozen parameters added."""
    horizon = float(part.parameters["horizon_days"])
    added = btyd_columns(part.parameters["btyd"], frame, horizon=horizon)
    return frame.assign(**{name: added[name] for name in added.columns})


def clv_shapes(part: Part, rows: pd.DataFrame) -> tuple[Array, Array]:
    """The two shapes, known up to a factor each: H on BTYD and H2 on the generalised linear model.

    Parameters
    ----------
    part
        Fitted by `models.tasks.clv.fit_clv`.
    rows
        Buyers, as `clv_with_btyd` gives them.
    """
    parameters = part.parameters
    start = np.maximum(rows["btyd__clv"].to_numpy(dtype=np.float64), parameters["floor"])
    if parameters["serve"] == "btyd":
        return start, start
    x = matrix(rows, parameters["columns"])
    glm = linear(parameters["glm"], matrix(rows, parameters["glm"]["columns"]))

    def trees(prefix: str) -> Array:
        names = sorted(name for name in part.boosters if name.startswith(prefix))
        return np.asarray(np.mean(raw_scores([part.boosters[name] for name in names], x), axis=0))

    h = np.exp(np.log(start / parameters["floor"]) + trees("h_")) * parameters["floor"]
    h2 = np.exp(np.clip(glm + trees("h2_"), -30.0, 30.0)) * parameters["floor"]
    return h, h2


def clv_tail(part: Part, plain: Array) -> Array:
    """Share of BTYD alone in a buyer's CLV: 0 up to the part's ``tail``, then 1 - tail / BTYD CLV.

    Above it are too few customers to learn from how far they differ from what BTYD expects.
    """
    tail = part.parameters.get("tail")
    if part.parameters["serve"] == "btyd" or not tail:
        return np.zeros(len(plain))
    return np.asarray(1.0 - np.minimum(1.0, tail / np.maximum(plain, 1e-12)))


def clv_sums(part: Part, frame: pd.DataFrame) -> dict[str, float]:
    """Additive sums over the rows of one snapshot; sums of disjoint parts are added key by key.

    Number of buyers, totals of the two shapes outside the tail, the total that BTYD expects, and
    what of it is the tail's (money).
    """
    rows = clv_with_btyd(part, frame.iloc[np.flatnonzero(frame["btyd__x"].notna())])
    h, h2 = clv_shapes(part, rows) if len(rows) else (np.zeros(0), np.zeros(0))
    total = rows["btyd__clv"].to_numpy(dtype=np.float64)
    tail = clv_tail(part, total)
    return {
        "buyers": float(len(rows)),
        "h": float(((1.0 - tail) * h).sum()),
        "h2": float(((1.0 - tail) * h2).sum()),
        "btyd": float(total.sum()),
        "tail": float((tail * total).sum()),
    }


def clv_context(part: Part, sums: Mapping[str, float]) -> dict[str, Any]:
    """CLV part of the scoring context, from (added) `clv_sums`.

    ``clv_h_factor`` and ``clv_h2_factor`` bring each shape to half the level (BTYD's total times
    the learned correction, less the tail); ``clv_plain_factor`` does so with BTYD's own shape;
    ``clv_mean`` is the level a buyer (money).
    """
    level = sums["btyd"] * float(np.exp(part.parameters["level_correction"]))
    shaped = max(level - sums["tail"], 0.0)
    plain = sums["btyd"] - sums["tail"]
    return {
        "clv_h_factor": 0.5 * shaped / sums["h"] if sums["h"] else 0.0,
        "clv_h2_factor": 0.5 * shaped / sums["h2"] if sums["h2"] else 0.0,
        "clv_plain_factor": shaped / plain if plain > 0.0 else 1.0,
        "clv_mean": level / sums["buyers"] if sums["buyers"] else 0.0,
    }


def clv_group(frame: pd.DataFrame, horizon_days: float) -> Array:
    """Group of the interval: bought within the horizon (active), before it (quiet), or never."""
    recency = frame["purchase__recency_days"].to_numpy(dtype=np.float64, na_value=np.nan)
    group = np.where(recency <= horizon_days, "active", "quiet")
    return np.where(np.isnan(recency), "never", group)


def clv_width(p: Array, mean: float) -> Array:
    """Scale of the error of a prediction: (p + mean/10)^0.6 (money to the power 0.6)."""
    return np.asarray((p + 0.1 * mean) ** 0.6)


def clv_interval(
    interval: Mapping[str, Any], group: Array, p: Array, mean: float
) -> tuple[Array, Array]:
    """Ends of the 80 % interval: `p` less and plus the group's conformal multiples of the scale."""
    below, above = (
        pd.Series(group).map({name: ends[end] for name, ends in interval.items()}) for end in (0, 1)
    )
    width = clv_width(p, mean)
    low = np.maximum(p - below.to_numpy(dtype=np.float64) * width, 0.0)
    return low, p + above.to_numpy(dtype=np.float64) * width


def clv_first_purchase(part: Part, frame: pd.DataFrame) -> Array:
    """P(first purchase within the horizon) of leads: regression and trees averaged in logits.

    NaN where the training saw no leads; everybody's share where too few of them bought.
    """
    first = part.parameters["first_purchase"]
    if first["linear"] is None:
        return np.full(len(frame), np.nan if first["p"] is None else float(first["p"]))
    z = linear(first["linear"], matrix(frame, first["linear"]["columns"]))
    if names := sorted(name for name in part.boosters if name.startswith("lead_")):
        x = matrix(frame, first["columns"])
        trees = np.mean(raw_scores([part.boosters[name] for name in names], x), axis=0)
        z = first["linear_weight"] * z + (1.0 - first["linear_weight"]) * trees
    return backed_off(first.get("back_off"), frame, sigmoid(z))


def lead_columns(first: Mapping[str, Any], p: Array) -> dict[str, Array]:
    """``lead_score`` (0 to 100, NaN where `p` is) and ``lead_band`` (A to D, None likewise)."""
    score, band = np.full(len(p), np.nan), np.full(len(p), None, dtype=object)
    known = ~np.isnan(p)
    if "score" in first:  # parts fitted by earlier versions have none
        score[known] = np.interp(p[known], first["score"]["p"], first["score"]["score"])
        place = np.searchsorted(first["bands"], score[known], side="right")
        band[known] = np.asarray(["D", "C", "B", "A"], dtype=object)[place]
    return {"lead_score": score, "lead_band": band}


def clv_tier(tiers: Mapping[str, Any], clv: Array) -> Array:
    """Value tier by the cut-offs stored with the model: top, mid, low; None where CLV is NaN."""
    names = np.asarray(["low", "mid", "top"], dtype=object)
    tier = names[(clv >= tiers["mid"]).astype(int) + (clv >= tiers["top"])]
    tier[np.isnan(clv)] = None
    return np.asarray(tier)


def clv_margin(part: Part, clv: Array) -> Array:
    """Margin of the expected spend; NaN where none is known, as in parts of earlier versions."""
    margin = part.parameters.get("margin")
    return clv * (np.nan if margin is None else float(margin))


def predict_clv(part: Part, frame: pd.DataFrame, context: Mapping[str, Any]) -> dict[str, Array]:
    """CLV columns of the scored row, for one snapshot; row-wise given the context.

    Parameters
    ----------
    part
        Fitted by `models.tasks.clv.fit_clv`.
    frame
        Feature frame of one snapshot.
    context
        Scoring context of the snapshot with `clv_context` in it.

    Returns
    -------
    Money within ``clv_horizon_days``: ``clv``, ``clv_low``, ``clv_high`` (80 % interval).
    ``expected_orders``, ``p_any_order`` within the horizon, ``average_order_value`` (expected money
    an order), ``next_order_days`` (days until an order is as likely as not; NaN where it never
    gets there), ``p_first_purchase``, ``lead_score`` and ``lead_band`` (who never bought; null for
    buyers), ``p_alive`` (NaN for who never bought), ``value_tier`` (top, mid, low),
    ``clv_margin`` (NaN where no margin is known).
    """
    parameters = part.parameters
    horizon = float(parameters["horizon_days"])
    first = parameters["first_purchase"]
    group = clv_group(frame, horizon)
    never, buyer = np.flatnonzero(group == "never"), np.flatnonzero(group != "never")
    names = ["clv", "expected_orders", "p_any_order", "p_first_purchase", "p_alive"]
    names += ["next_order_days", "average_order_value"]
    out = {name: np.full(len(frame), np.nan) for name in names}
    if len(never):
        chance = clv_first_purchase(part, frame.iloc[never])
        out["p_first_purchase"][never] = chance
        p = np.nan_to_num(chance)
        out["p_any_order"][never] = p
        out["clv"][never] = p * first["spend"]
        out["expected_orders"][never] = p * first["orders"]
        out["average_order_value"][never] = first["order_value"]
    if len(buyer):
        rows = clv_with_btyd(part, frame.iloc[buyer])
        h, h2 = clv_shapes(part, rows)
        hybrid = context["clv_h_factor"] * h + context["clv_h2_factor"] * h2
        plain = rows["btyd__clv"].to_numpy(np.float64)
        weight, tail = parameters.get("hybrid_weight", 1.0), clv_tail(part, plain)
        mixed = weight * hybrid + (1.0 - weight) * context["clv_plain_factor"] * plain
        out["clv"][buyer] = (1.0 - tail) * mixed + tail * plain
        x, t_x, age = matrix(rows, ["btyd__x", "btyd__t_x", "btyd__T"]).T
        btyd, a_day = parameters["btyd"], parameters["orders_per_day"]
        out["expected_orders"][buyer] = rows["btyd__expected_days"].to_numpy(np.float64) * a_day
        out["p_any_order"][buyer] = 1.0 - btyd_p_no_order(btyd, x, t_x, age, horizon=horizon)
        out["next_order_days"][buyer] = btyd_next_order_days(btyd, x, t_x, age)
        out["p_alive"][buyer] = rows["btyd__p_alive"].to_numpy(np.float64)
        value = rows["btyd__expected_value"].to_numpy(np.float64)
        out["average_order_value"][buyer] = value / a_day
    low, high = clv_interval(parameters["interval"], group, out["clv"], context["clv_mean"])
    return {
        **out,
        "clv_low": low,
        "clv_high": high,
        "clv_horizon_days": np.full(len(frame), horizon),
        "value_tier": clv_tier(parameters["tiers"], out["clv"]),
        "clv_margin": clv_margin(part, out["clv"]),
        **lead_columns(first, out["p_first_purchase"]),
    }
