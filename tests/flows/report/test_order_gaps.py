"""The curve of order gaps agrees with a plain loop, and its sentence with the curve."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.history.day_rows import DayRows
from features.history.history import History
from flows.report.order_gaps import limit_sentence, order_gaps, order_gaps_figure
from tests.features.history.test_contract_spells import day_rows
from tests.tries import tries

AT = 400


def history(orders: list[list[int]]) -> History:
    """History of customers with order days."""
    days = [(number, day, 1.0) for number, days in enumerate(orders) for day in set(days)]
    rows: DayRows = day_rows(days, len(orders))
    names = np.array([f"c{number:03}" for number in range(len(orders))])
    return History(names, {"purchase": rows}, {}, {})


def plain(orders: list[list[int]], days: int) -> float:
    """Share that has ordered again, by Kaplan and Meier, every customer alike, by plain loops."""
    spells = []
    for dates in orders:
        dates = sorted(set(dates))
        ends = [*((b - a, True) for a, b in itertools.pairwise(dates))]
        ends.append((AT - 1 - dates[-1], False))
        spells += [(length, closed, 1 / len(ends)) for length, closed in ends]
    lasting = 1.0
    for day in range(days + 1):
        watched = sum(weight for length, _, weight in spells if length >= day)
        ended = sum(weight for length, closed, weight in spells if length == day and closed)
        lasting *= 1 - ended / watched if watched else 1
    return 1 - lasting


@given(st.lists(st.lists(st.integers(0, AT - 1), min_size=1, max_size=9), min_size=40, max_size=60))
@settings(max_examples=tries(20), deadline=None)
def test_the_curve_is_that_of_a_plain_loop(orders: list[list[int]]) -> None:
    gaps = order_gaps(history(orders), AT)
    assert (gaps["n"] >= 30).all()
    assert gaps["share"].is_monotonic_increasing
    for row in gaps.iloc[:: max(len(gaps) // 4, 1)].itertuples():
        assert row.share == pytest.approx(plain(orders, int(row.days)))


def test_the_sentence_says_what_the_limits_mean() -> None:
    gaps = pd.DataFrame(
        {"days": range(101), "share": np.minimum(np.arange(101) / 125, 0.8), "n": 50}
    )
    text = limit_sentence(gaps, {"active": 50, "lapsed": 75, "never": 500})
    assert "40 of 100 customers have ordered again 50 days after an order (limit of active)" in text
    assert "60 of 100 customers have ordered again 75 days after an order (limit of lapsed)" in text
    assert "Of those silent for longer than 75 days, 50 of 100 order again by day 100 " in text
    assert limit_sentence(gaps, {}).startswith("80 of 100")
    assert order_gaps_figure(gaps, {}).notes


def test_no_orders_draw_nothing() -> None:
    empty = History(np.array(["a"]), {}, {}, {})
    assert order_gaps(empty, AT).empty
