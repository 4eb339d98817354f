from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from models.scorer.coherence import agreeing_moves, mixed_order_chance, order_chances, order_outlook
from models.scorer.part import Part

HORIZON = 60.0
MODELS = ["bg_nbd", "mbg_nbd"]
shapes = st.floats(0.05, 5.0)
histories = st.tuples(st.integers(0, 40), st.floats(0, 1), st.floats(1, 700))


@given(
    st.tuples(
        shapes, st.floats(1.0, 200.0), shapes, shapes, st.sampled_from(["bg_nbd", "mbg_nbd"])
    ),
    st.lists(st.tuples(histories, st.floats(0.0, 1.0)), min_size=1, max_size=20),
    st.floats(1.0, 3.0),
)
def test_orders_and_dates_follow_the_chance_of_an_order(parameters, customers, orders_per_day):
    r, alpha, a, b, model = parameters
    btyd = {"model": model, "r": r, "alpha": alpha, "a": a, "b": b, "value": None}
    x = np.array([float(count) for (count, _, _), _ in customers])
    age = np.array([days for (_, _, days), _ in customers])
    t_x = np.where(x > 0, age * [share for (_, share, _), _ in customers], 0.0)
    chance = np.array([given_chance for _, given_chance in customers])
    out = order_outlook(
        btyd, np.stack([x, t_x, age]), chance, horizon=HORIZON, orders_per_day=orders_per_day
    )
    np.testing.assert_array_equal(out["p_any_order"], chance)
    assert np.isfinite(out["expected_orders"]).all()
    assert (out["expected_orders"] >= chance).all()
    assert (out["expected_orders"] <= HORIZON * orders_per_day + 1e-9).all()
    clear = np.abs(chance - 0.5) > 1e-6
    soon = out["next_order_days"] <= HORIZON * (1 + 1e-9)
    np.testing.assert_array_equal(soon[clear], (chance > 0.5)[clear])


rows = st.tuples(
    st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3), st.floats(0.0, 1.0), st.booleans()
)


@given(st.lists(rows, min_size=1, max_size=20))
def test_a_lapsed_customer_moves_at_least_as_likely_as_they_order(customers):
    raw = np.array([weights for weights, _, _ in customers]) + 1e-9
    raw[:, 0] = 0.0  # all are in stage 0
    probability = raw / raw.sum(axis=1, keepdims=True)
    chance = np.array([given_chance for _, given_chance, _ in customers])
    lapsed = np.array([flag for _, _, flag in customers])
    count = len(customers)
    frame = pd.DataFrame({"stage__code": np.zeros(count), "stage__after_purchase_code": 1.0})
    clv = {
        "p_any_order": chance,
        "clv_horizon_days": np.full(count, HORIZON),
        "next_order_days": np.where(chance >= 0.5, 30.0, np.nan),
    }
    moves = {"probabilities": probability, "median_days": np.full(count, np.nan)}
    out = agreeing_moves(moves, clv, frame, lapsed=lapsed, reach_days=84.0)["probabilities"]
    np.testing.assert_allclose(out.sum(axis=1), 1.0)
    assert (out >= -1e-12).all()
    p_move = 1.0 - out[:, -1]
    assert (p_move[lapsed] >= chance[lapsed] - 1e-9).all()
    np.testing.assert_array_equal(out[~lapsed], probability[~lapsed])
    unchanged = agreeing_moves(moves, clv, frame, lapsed=lapsed, reach_days=30.0)
    np.testing.assert_array_equal(unchanged["probabilities"], probability)


def test_churn_decides_the_chance_of_an_order_where_it_means_the_same():
    clv = Part("clv", {"horizon_days": 60})
    churn = {"p_churn": np.array([0.2, np.nan])}
    same = order_chances(clv, Part("churn", {"horizon_days": 60, "by": "purchase"}), churn)
    np.testing.assert_allclose(same, [0.8, np.nan])
    assert order_chances(clv, Part("churn", {"horizon_days": 30}), churn) is None
    assert order_chances(clv, Part("churn", {"horizon_days": 60, "by": "cancel"}), churn) is None
    assert order_chances(clv, None, {}) is None


def test_trees_and_btyd_are_averaged_in_logits():
    chance = np.array([0.5, 0.9])
    np.testing.assert_array_equal(mixed_order_chance(chance, None), chance)
    mixed = mixed_order_chance(chance, np.log(chance / (1 - chance)))
    np.testing.assert_allclose(mixed, chance)
    assert mixed_order_chance(chance, np.array([-2.0, 0.0]))[0] < 0.5
