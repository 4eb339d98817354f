"""Pages of customers from the store against sorting and filtering all rows in Python."""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import replace
from typing import Any

import duckdb
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from features.storage.customer_query import (
    CustomerFilter,
    CustomerQuery,
    count_query,
    memberships_query,
    page_query,
)
from models.explaining.segments import SEGMENT_NAMES, SegmentCutoffs, customer_segments
from tests.tries import tries

DAYS = st.none() | st.dates(dt.date(2024, 1, 1), dt.date(2024, 1, 4))
NUMBERS = st.none() | st.sampled_from([0.0, 0.1, 0.25, 1 / 3, 50.0])
ROW = st.fixed_dictionaries(
    {
        "clv": NUMBERS,
        "p_churn": NUMBERS,
        "average_order_value": NUMBERS,
        "expected_next_order_at": DAYS,
        "stage": st.sampled_from(["lapsed", "loyalty", "lead"]),
    }
)
TABLES = st.dictionaries(st.text("aAbB1%_é'", min_size=1, max_size=4), ROW, max_size=12)
ROW_COLUMNS = ("clv", "p_churn", "average_order_value", "expected_next_order_at", "stage")
COLUMNS = ("customer_id", "clv", "expected_next_order_at", "stage")


def connected(rows: dict[str, dict[str, Any]], members: list[str]) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(
        "CREATE TABLE scores (customer_id TEXT, clv DOUBLE, p_churn DOUBLE, "
        "average_order_value DOUBLE, expected_next_order_at DATE, stage TEXT)"
    )
    for customer, row in rows.items():
        connection.execute(
            "INSERT INTO scores VALUES (?, ?, ?, ?, ?, ?)",
            [customer, *(row[name] for name in ROW_COLUMNS)],
        )
    connection.execute("CREATE TABLE members (campaign_id TEXT, customer_id TEXT, change TEXT)")
    for number, customer in enumerate(members):
        change = "removed" if number % 3 == 2 else "added"
        connection.execute("INSERT INTO members VALUES ('win', ?, ?)", [customer, change])
    return connection


def page(connection: duckdb.DuckDBPyConnection, query: CustomerQuery, key: str) -> list[Any]:
    asked = page_query(query, "scores", "members", key=key)
    result = connection.execute(asked.text, asked.values)
    names = [column[0] for column in result.description or ()]
    rows = [dict(zip(names, row, strict=True)) for row in result.fetchall()]
    return rows[::-1] if query.before is not None else rows


def in_order(rows: dict[str, dict[str, Any]], sort: str, descending: bool) -> list[str]:
    """Ids in the order that is promised: without a value last, equal ones by id."""
    values = {c: c if sort == "customer_id" else row[sort] for c, row in rows.items()}
    known = sorted(c for c, value in values.items() if value is not None)
    known.sort(key=lambda c: values[c], reverse=descending)
    if descending:  # `reverse` keeps equal ones in their order
        assert known == sorted(known, key=lambda c: values[c], reverse=True)
    return [*known, *sorted(c for c, value in values.items() if value is None)]


@given(TABLES, st.sampled_from(COLUMNS), st.booleans(), st.integers(1, 5))
@settings(max_examples=tries(60), deadline=None)
def test_pages_one_after_the_other_list_everyone_once_and_lead_back(
    rows: dict[str, Any], sort: str, descending: bool, limit: int
) -> None:
    connection = connected(rows, [])
    query = CustomerQuery(sort=sort, descending=descending, limit=limit)
    pages = [page(connection, query, "customer_id")]
    while len(pages[-1]) == limit:
        last = pages[-1][-1]
        further = replace(query, after=(last[sort], last["customer_id"]))
        pages.append(page(connection, further, "rowid"))
    listed = [row["customer_id"] for rows_of_page in pages for row in rows_of_page]
    assert listed == in_order(rows, sort, descending)
    full = [rows_of_page for rows_of_page in pages if rows_of_page]
    for earlier, later in itertools.pairwise(full):
        first = later[0]
        back = replace(query, before=(first[sort], first["customer_id"]))
        assert page(connection, back, "rowid") == earlier


@given(TABLES, st.sampled_from(SEGMENT_NAMES), st.text("aAbB1%_é'", max_size=2), st.booleans())
@settings(max_examples=tries(60), deadline=None)
def test_filters_choose_whom_a_plain_loop_chooses(
    rows: dict[str, Any], segment: str, search: str, in_campaign: bool
) -> None:
    cutoffs = SegmentCutoffs(risk=0.25, value=1 / 3)
    members = sorted(rows)[::2]
    chosen = CustomerFilter(
        {"stage": "lapsed"}, cutoffs.audience_rule(segment), "win" if in_campaign else "", search
    )
    connection = connected(rows, members)
    listed = {row["customer_id"] for row in page(connection, CustomerQuery(chosen), "rowid")}
    names = ("p_churn", "clv", "average_order_value")
    frame = pd.DataFrame(
        {name: [row[name] for row in rows.values()] for name in names}, dtype=float
    )
    segments = dict(zip(rows, customer_segments(frame, cutoffs), strict=True)) if rows else {}
    present = {customer for number, customer in enumerate(members) if number % 3 != 2}
    wanted = {
        customer
        for customer, row in rows.items()
        if row["stage"] == "lapsed"
        and segments[customer] == segment
        and search.lower() in customer.lower()
        and (customer in present or not in_campaign)
    }
    assert listed == wanted
    count = count_query(chosen, "scores", "members")
    assert connection.execute(count.text, count.values).fetchall() == [(len(wanted),)]


def test_a_customers_memberships_hold_removed_ones_too() -> None:
    connection = connected({}, ["a", "b", "c"])
    query = memberships_query("c", "members")
    assert connection.execute(query.text, query.values).fetchall() == [("win", "c", "removed")]


def test_a_column_is_a_name_and_never_sql() -> None:
    text = page_query(CustomerQuery(sort='clv" DESC; DROP TABLE scores; --'), "s", "m").text
    assert '"clv"" DESC; DROP TABLE scores; --"' in text
