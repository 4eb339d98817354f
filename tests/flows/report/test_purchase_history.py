"""Cohorts and the grid of recency and frequency count what a plain loop counts."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.calendar import day_date, day_number
from flows.report.purchase_figures import cohorts_figure, recency_figure
from flows.report.purchase_history import PurchaseDays, cohorts, recency_and_frequency

BEGIN = day_number(dt.date(2023, 1, 1))
ORDERS = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 700), st.integers(0, 90)),
    max_size=60,
    unique_by=lambda order: order[:2],
)


def purchases(orders: list[tuple[int, int, int]]) -> tuple[PurchaseDays, np.ndarray]:
    rows = sorted(orders)
    net = np.zeros(10)
    for customer, _, amount in rows:
        net[customer] += amount
    customer, day, amount = (np.array([row[n] for row in rows], dtype=np.int64) for n in range(3))
    return PurchaseDays(customer, day + BEGIN, amount.astype(float)), net


@given(ORDERS, st.integers(1, 730))
def test_cohorts(orders: list[tuple[int, int, int]], until: int) -> None:
    known = [order for order in orders if order[1] < until]
    days, _ = purchases(known)
    at = day_date(BEGIN + until)
    month = {order: day_date(BEGIN + order[1]).strftime("%Y-%m") for order in known}
    first = {
        customer: min(month[order] for order in known if order[0] == customer)
        for customer, _, _ in known
    }
    for row in cohorts(days, BEGIN + until).itertuples():
        names = [name for name, begun in first.items() if begun == row.cohort]
        whole = pd.Period(row.cohort, "M") + row.later
        inside = [o for o in known if o[0] in names and month[o] == str(whole)]
        assert row.customers == len(names)
        assert row.buyers == len({order[0] for order in inside})
        assert row.spent == sum(order[2] for order in inside)
        assert whole < pd.Period(at, "M")


@given(ORDERS)
def test_each_buyer_stands_in_one_square(orders: list[tuple[int, int, int]]) -> None:
    days, net = purchases(orders)
    groups = pd.DataFrame({"stage": ["a", "b"] * 5, "segment": ["x"] * 10})
    groups.loc[3] = None  # not scored
    cells = recency_and_frequency(days, net, groups, BEGIN + 701)
    buyers = {customer for customer, _, _ in orders} - {3}
    assert cells["n"].sum() == len(buyers)
    assert cells["spent"].sum() == sum(net[list(buyers)])
    for customer in buyers:
        own = [day for buyer, day, _ in orders if buyer == customer]
        ago, often = 701 - max(own), len(own)
        fits = [_holds(often, row.often) and _holds(ago, row.recency) for row in cells.itertuples()]
        assert any(fits)


def _holds(number: int, words: str) -> bool:
    numbers = [int(word) for word in words.split() if word.isdigit()]
    highest = np.inf if words.endswith("and more") else numbers[-1]
    return numbers[0] <= number <= highest


def test_the_figures_say_numbers_and_have_a_table() -> None:
    days, net = purchases([(c, 40 * c + 30 * n, 20) for c in range(10) for n in range(c % 4 + 1)])
    groups = pd.DataFrame({"stage": ["a"] * 10, "segment": ["x"] * 10})
    grid = recency_figure(recency_and_frequency(days, net, groups, BEGIN + 701), "EUR")
    assert "A grid of 10 buyers" in grid.alt
    assert grid.table.frame(grid.data)["n"].sum() == 10
    triangle = cohorts_figure(cohorts(days, BEGIN + 701), "EUR")
    assert "ordered again" in triangle.alt
    shades = triangle.data["cohorts"].groupby("measure")["shade"].max()
    assert shades.tolist() == pytest.approx([1.0, 1.0])
