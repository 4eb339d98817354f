"""Expected orders, chance of any, date and value of the next: by hand, and on a known truth.

The truth is BG/NBD with gamma-gamma amounts, drawn here customer by customer.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from models.scorer.clv import clv_context, clv_sums, predict_clv
from models.scorer.part import Part
from models.scorer.score_columns import clv_columns
from tests.purchase_frames import START, snapshot

HORIZON = 90
VALUE = {"p": 4.0, "q": 3.0, "v": 20.0}  # a mean of 4 x 20 / (3 - 1) = 40 a purchase day
TRUTH = {"model": "bg_nbd", "r": 1.2, "alpha": 30.0, "a": 0.8, "b": 4.0, "value": VALUE}
STAGES = ["lapsed", "loyalty", "conversion", "retention"]


def clv_part(btyd: dict, *, orders_per_day: float = 1.0, horizon: int = HORIZON) -> Part:
    """A CLV part that serves BTYD with these parameters."""
    first = {"p": 0.1, "spend": 30.0, "orders": 1.5, "order_value": 20.0, "linear": None}
    offsets = {"roots": [0.0], "low": [-1.0], "high": [1.0]}
    ends = {"buyers": offsets, "never": offsets}
    return Part(
        "clv",
        {
            "horizon_days": horizon, "columns": [], "btyd": btyd, "weights": {"btyd": 1.0},
            "floor": 1e-3, "level_correction": 0.0, "tail": None, "spend_limit": None,
            "interval": ends, "glm": None,
            "orders_per_day": orders_per_day, "first_purchase": first, "margin": None,
            "tiers": {"top": 100.0, "mid": 10.0},
        },
        {},
    )  # fmt: skip


def predicted(part: Part, frame: pd.DataFrame) -> dict[str, np.ndarray]:
    context = clv_context(part, clv_sums(part, frame))
    return predict_clv(part, frame, context)


def scored(part: Part, frame: pd.DataFrame, stage: list[str]) -> pd.DataFrame:
    """The CLV columns of the scored rows."""
    head = {"lapsed_stage": "lapsed"}
    columns = clv_columns(predicted(part, frame), frame, np.array(stage, dtype=object), head)
    return pd.DataFrame(columns)


def by_hand(*purchases: list[tuple[int, float]], at: int) -> pd.DataFrame:
    return snapshot({f"c{n}": list(one) for n, one in enumerate(purchases)}, at)


def shop(seed: int, *, customers: int, at: int) -> pd.DataFrame:
    """Labelled rows of customers who buy as the truth says; each began on a day of their own."""
    random = np.random.default_rng(seed)
    people = {}
    for number in range(customers):
        rate = random.gamma(TRUTH["r"]) / TRUTH["alpha"]
        leave = random.beta(TRUTH["a"], TRUTH["b"])
        scale = VALUE["v"] / random.gamma(VALUE["q"])
        day, purchases = float(random.integers(0, at)), []
        while day < at + HORIZON:
            purchases.append((int(day), float(random.gamma(VALUE["p"]) * scale)))
            if len(purchases) > 1 and random.random() < leave:
                break
            day += random.exponential(1 / rate)
        people[f"c{number:05d}"] = purchases
    frame = snapshot(people, at)
    ahead = [
        [(day - at, paid) for day, paid in people[name] if day >= at]
        for name in frame["customer_id"]
    ]
    inside = [[paid for day, paid in one if day < HORIZON] for one in ahead]
    return frame.assign(
        next_in=[one[0][0] if one else np.inf for one in ahead],
        orders=[len(one) for one in inside],
        spend=[sum(one) for one in inside],
    )


@pytest.fixture(scope="module")
def history():
    frame = shop(4, customers=6000, at=300)
    return frame, predicted(clv_part(TRUTH), frame)


def test_one_purchase_by_hand():
    # r 1, alpha 10, bought once 10 days ago: whoever has not come back cannot have left, so
    # P(no order in 20 days) = (20 / 40)^1, and half of them have ordered after exactly 20 days.
    keen = {"model": "bg_nbd", "r": 1.0, "alpha": 10.0, "a": 1e-6, "b": 1e5,
            "value": VALUE}  # fmt: skip
    frame = by_hand([(90, 50.0)], at=100)
    out = predicted(clv_part(keen, orders_per_day=1.5, horizon=20), frame)
    assert out["p_any_order"][0] == pytest.approx(0.5)
    assert out["next_order_days"][0] == pytest.approx(20.0)
    # One purchase day in 20 days of 1 / (10 + 10) a day, one and a half orders on it.
    assert out["expected_orders"][0] == pytest.approx(1.5, rel=1e-4)
    # No repeat purchase is known: the population's 40 a day, over the orders of a day.
    assert out["average_order_value"][0] == pytest.approx(40.0 / 1.5)
    assert out["clv"][0] == pytest.approx(40.0, rel=1e-4)


def test_known_amounts_pull_the_value_of_an_order():
    # Gamma-gamma by hand: (v + n mean) p / (p n + q - 1), two repeat purchases of 100.
    frame = by_hand([(0, 5.0), (40, 100.0), (80, 100.0)], at=90)
    out = predicted(clv_part(TRUTH), frame)
    assert out["average_order_value"][0] == pytest.approx((20 + 2 * 100) * 4 / (4 * 2 + 3 - 1))


def test_who_never_bought_has_the_orders_of_new_buyers():
    frame = by_hand([(0, 5.0)], [(150, 5.0)], at=100)
    out = predicted(clv_part(TRUTH), frame)
    assert out["p_any_order"][1] == pytest.approx(0.1)
    assert out["expected_orders"][1] == pytest.approx(0.1 * 1.5)
    assert out["average_order_value"][1] == pytest.approx(20.0)
    assert np.isnan(out["next_order_days"][1])


def test_only_the_lapsed_can_be_reactivated_and_dates_are_whole_days_ahead():
    keen = {"model": "bg_nbd", "r": 1.0, "alpha": 10.0, "a": 1e-6, "b": 1e5,
            "value": VALUE}  # fmt: skip
    frame = by_hand([(90, 50.0)], [(90, 50.0)], at=100)
    rows = scored(clv_part(keen, horizon=20), frame, ["lapsed", "conversion"])
    assert rows["p_reactivate"][0] == pytest.approx(0.5)
    assert np.isnan(rows["p_reactivate"][1])
    due = START + pd.Timedelta(days=120)
    assert (pd.to_datetime(rows["expected_next_order_at"]) - due).abs().max() <= pd.Timedelta("1D")


def test_nobody_who_has_likely_left_is_given_a_date():
    # Five purchases in as many days, then silence for a year: P(alive) is next to nothing.
    frame = by_hand([(day, 10.0) for day in range(5)], at=370)
    out = predicted(clv_part(TRUTH), frame)
    assert out["p_alive"][0] < 0.05
    assert np.isnan(out["next_order_days"][0])
    assert scored(clv_part(TRUTH), frame, ["lapsed"])["expected_next_order_at"].isna().all()


def test_orders_and_chances_hold_in_every_fifth_of_the_customers(history):
    frame, out = history
    any_order = (frame["orders"] > 0).to_numpy()
    for expected, actual in (
        (out["expected_orders"], frame["orders"].to_numpy()),
        (out["p_any_order"], any_order),
    ):
        fifths = np.array_split(np.argsort(expected, kind="stable"), 5)
        for rows in fifths:
            error = 4 * actual[rows].std() / np.sqrt(len(rows))
            assert expected[rows].mean() == pytest.approx(actual[rows].mean(), abs=error + 0.01)


def test_half_of_those_given_a_date_have_ordered_by_it(history):
    frame, out = history
    given = np.flatnonzero(out["next_order_days"] <= HORIZON)  # the truth is known so far
    assert len(given) > 500
    on_time = frame["next_in"].to_numpy()[given] <= out["next_order_days"][given]
    assert on_time.mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(len(given)))


def test_those_silent_for_long_come_back_as_often_as_told(history):
    frame, out = history
    silent = (frame["purchase__recency_days"] > 120).to_numpy()
    stage = np.where(silent, "lapsed", "retention").astype(object)
    told = clv_columns(out, frame, stage, {"lapsed_stage": "lapsed"})["p_reactivate"]
    assert np.isnan(told[~silent]).all()
    came = (frame["orders"].to_numpy() > 0)[silent]
    assert told[silent].mean() == pytest.approx(came.mean(), abs=4 * 0.5 / np.sqrt(silent.sum()))


def test_the_value_of_an_order_is_what_orders_cost(history):
    frame, out = history
    bought = frame["orders"].to_numpy() > 0
    spent = (frame["spend"] / frame["orders"].where(frame["orders"] > 0)).to_numpy()[bought]
    expected = out["average_order_value"][bought]
    for rows in np.array_split(np.argsort(expected, kind="stable"), 4):
        error = 4 * spent[rows].std() / np.sqrt(len(rows))
        assert expected[rows].mean() == pytest.approx(spent[rows].mean(), abs=error)
