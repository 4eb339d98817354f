"""Totals in the report's data section against a plain count of the events."""

from __future__ import annotations

import datetime as dt

import pandas as pd
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from features.aggregates.tallies import Tallies
from features.calendar import day_number
from features.history.history import history
from flows.report.data_totals import DataTotals, data_totals, totals_sentence

_AT = day_number(dt.date(2024, 6, 1))
_DAILY = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.sampled_from(["order", "return", "visit", "negative_amount"]),
        st.integers(-60, 30),
        st.integers(0, 5),
        st.integers(1, 3),
        st.integers(1, 900),
    ),
    min_size=1,
    max_size=30,
    unique_by=lambda row: row[:4],
)


@given(_DAILY)
def test_the_totals_are_those_of_the_purchases_known_before_the_day(
    daily: list[tuple[str, str, int, int, int, int]],
) -> None:
    rows = pd.DataFrame(
        daily, columns=["customer_id", "event_type", "day", "known_day", "count", "value"]
    )
    rows["day"] += _AT
    rows["known_day"] += rows["day"]
    rows.loc[rows["event_type"].isin(["return", "negative_amount"]), "value"] *= -1
    for name in ("largest", "latest", "first_at", "last_at"):
        rows[name] = rows["value"]
    rows = rows.sort_values(["customer_id", "event_type", "day", "known_day"])
    nothing = rows.head(0).assign(attribute="", choice="")
    tallies = Tallies(
        pa.Table.from_pandas(rows, preserve_index=False),
        pa.Table.from_pandas(nothing, preserve_index=False),
    )
    known = history(tallies, {"purchase": ["order"], "refund": ["return"]}, choices=False)
    past = rows[(rows["day"] < _AT) & (rows["known_day"] < _AT)]
    bought = past[past["event_type"] == "order"]
    assert data_totals(known, _AT, minor_units=2) == DataTotals(
        int(bought["count"].sum()),
        bought["customer_id"].nunique(),
        float(past.loc[past["event_type"] != "visit", "value"].sum()) / 100,
        None if bought.empty else int(bought["day"].min()),
        None if bought.empty else int(bought["day"].max()),
    )


def test_the_sentence_names_what_books_show() -> None:
    totals = DataTotals(1_200, 300, 45_678.0, day_number(dt.date(2023, 1, 2)), _AT - 1)
    assert totals_sentence(totals, "EUR").startswith(
        "1,200 orders of 300 customers, 45,678 EUR less refunds, from 2 Jan 2023 to 31 May 2024."
    )
    assert totals_sentence(DataTotals(0, 0, 0.0, None, None), "EUR") == (
        "the data hold no purchases."
    )
