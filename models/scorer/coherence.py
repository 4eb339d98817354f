"""Make the predictions of one customer agree with each other.

The parts are fitted apart. Where two of them speak of the same event, one of them decides: churn
for those eligible, then the chance of an order for the expected orders, the date of the next order
and the move of a lapsed customer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .btyd import btyd_expected_orders, btyd_next_order_days, btyd_p_order
from .feature_rows import Rows, number_column
from .linear_model import sigmoid
from .part import Array, Part
from .transition import LIKELY, move_probability

_SMALLEST = 1e-250  # chance of an order, so that a ratio to it is finite


def order_chances(part: Part, churn_part: Part | None, churn: Mapping[str, Array]) -> Array | None:
    """1 - ``p_churn`` where churn means no order within the horizon of CLV; NaN for the ineligible.

    None if churn means something else, has another horizon, or is not predicted.
    """
    if churn_part is None or churn_part.parameters.get("by", "purchase") != "purchase":
        return None
    if churn_part.parameters["horizon_days"] != part.parameters["horizon_days"]:
        return None
    return np.asarray(1.0 - churn["p_churn"])


def mixed_order_chance(btyd_chance: Array, tree_scores: Array | None) -> Array:
    """P(any order): BTYD's, averaged in logits with trained trees where there are any."""
    if tree_scores is None:
        return btyd_chance
    clipped = np.clip(btyd_chance, 1e-4, 1.0 - 1e-4)
    return np.asarray(sigmoid(0.5 * (np.log(clipped) - np.log1p(-clipped)) + 0.5 * tree_scores))


def order_outlook(
    btyd: Mapping[str, Any],
    purchases: Array,
    chance: Array,
    *,
    horizon: float,
    orders_per_day: float,
) -> dict[str, Array]:
    """Expected orders and days to the next order that agree with the chance of any order.

    BTYD's distribution of the time to the next order is scaled so that it reaches `chance` at the
    horizon.

    Parameters
    ----------
    btyd
        BTYD parameters.
    purchases
        ``btyd__x``, ``btyd__t_x`` and ``btyd__T``, one row each.
    chance
        P(any order within the horizon), 0 to 1.
    horizon
        Days.
    orders_per_day
        Orders per purchase day, at least 1.

    Returns
    -------
    ``p_any_order``, ``expected_orders`` (at least ``p_any_order``), and ``next_order_days`` (NaN
    where an order never has probability one half).
    """
    x, t_x, age = purchases
    own_chance = np.maximum(btyd_p_order(btyd, x, t_x, age, horizon=horizon), _SMALLEST)
    ratio = chance / own_chance
    # A day has one purchase day at most, which the continuous time of BTYD does not know.
    days = np.minimum(btyd_expected_orders(btyd, x, t_x, age, horizon=horizon) * ratio, horizon)
    expected = days * orders_per_day
    with np.errstate(divide="ignore", over="ignore"):  # an order that hardly anyone expects
        half = 0.5 / ratio
    return {
        "p_any_order": chance,
        "expected_orders": np.maximum(expected, chance),
        "next_order_days": btyd_next_order_days(btyd, x, t_x, age, chance=half),
    }


def agreeing_moves(
    moves: Mapping[str, Array],
    clv: Mapping[str, Array],
    frame: Rows,
    *,
    lapsed: Array,
    reach_days: float,
) -> dict[str, Array]:
    """Probabilities of the next transition that allow for the chance of an order of the lapsed.

    A lapsed customer who orders leaves the stage. Where the move is less likely than the order
    within the same time, the rest goes to the stage after a purchase.

    Parameters
    ----------
    moves
        Output of `likely_moves`.
    clv
        Output of `predict_clv`.
    frame
        Feature frame with ``stage__after_purchase_code``.
    lapsed
        True for customers in the lapsed stage.
    reach_days
        Days that the transition model looks ahead.
    """
    probability, median_days = moves["probabilities"].copy(), moves["median_days"].copy()
    destinations = number_column(frame, "stage__after_purchase_code")
    missing = clv["p_any_order"] - move_probability(probability)
    within_reach = clv["clv_horizon_days"] <= reach_days
    rows = np.flatnonzero(lapsed & within_reach & (missing > 0) & ~np.isnan(destinations))
    rows = rows[destinations[rows] != number_column(frame, "stage__code")[rows]]
    probability[rows, destinations[rows].astype(int)] += missing[rows]
    probability[rows, -1] -= missing[rows]
    # The chance of an order reaches one half on the day of the next order.
    dated = rows[(move_probability(probability)[rows] >= LIKELY) & np.isnan(median_days[rows])]
    median_days[dated] = clv["next_order_days"][dated]
    return {**moves, "probabilities": probability, "median_days": median_days}
