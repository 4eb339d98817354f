"""Times that do not begin with the year, times counted from 1970, and prices a piece."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from features.aggregates.daily_aggregates import tally
from features.config.config import load
from features.errors import UserError

CONFIG = """\
name: shop
timezone: America/New_York
sources:
  - events: orders.csv
    columns: {{customer_id: c, occurred_at: {at}, value: v{more}}}
    event_type: purchase
stages: {{file: stages/recency_frequency.yaml}}
quarantine: {{max_share: 0.5}}
"""


def read(folder: Path, rows: list[str], at: str, more: str = "") -> list[tuple[dt.date, int]]:
    (folder / "orders.csv").write_text("\n".join(["c,d,v,n", *rows]) + "\n", encoding="utf-8")
    (folder / "shop.yaml").write_text(CONFIG.format(at=at, more=more), encoding="utf-8")
    tallies, _ = tally(load(folder / "shop.yaml"), latest=30000, quarantine=folder / "quarantine")
    days = tallies.daily["day"].to_pylist()
    first = dt.date(1970, 1, 1)
    return [
        (first + dt.timedelta(days=day), value)
        for day, value in zip(days, tallies.daily["value"].to_pylist(), strict=True)
    ]


def test_day_first_dates_are_local_days(tmp_path: Path) -> None:
    at = '{column: d, as: local_date, format: "%d.%m.%Y"}'
    found = read(tmp_path, ["a,03.02.2020,5,1", "a,3.4.2020,6,1", "a,31.02.2020,7,1"], at)
    assert found == [(dt.date(2020, 2, 3), 500), (dt.date(2020, 4, 3), 600)]


def test_month_first_times_are_of_their_zone(tmp_path: Path) -> None:
    at = '{column: d, zone: UTC, format: "%m/%d/%Y %I:%M %p"}'
    found = read(tmp_path, ["a,2/3/2020 3:30 AM,5,1", "a,2/3/2020 3:30 PM,6,1"], at)
    assert found == [(dt.date(2020, 2, 2), 500), (dt.date(2020, 2, 3), 600)]


@pytest.mark.parametrize("unit", ["seconds", "milliseconds", "microseconds"])
def test_numbers_since_1970_are_instants(tmp_path: Path, unit: str) -> None:
    scale = {"seconds": 1, "milliseconds": 1000, "microseconds": 1_000_000}[unit]
    moment = dt.datetime(2020, 6, 1, 3, 59, 59, tzinfo=dt.UTC)  # 31 May, 23:59:59 in New York
    count = int(moment.timestamp()) * scale
    rows = [f"a,{count},5,1", f"a,{count + scale},6,1", "a,99999999999999999999,7,1"]
    found = read(tmp_path, rows, f"{{column: d, format: {unit}}}")
    assert found == [(dt.date(2020, 5, 31), 500), (dt.date(2020, 6, 1), 600)]


def test_a_price_a_piece_is_multiplied_with_the_pieces(tmp_path: Path) -> None:
    at = "{column: d, as: local_date}"
    rows = ["a,2020-01-02,1.25,3", "a,2020-01-03,2,1", "a,2020-01-04,2,x"]
    found = read(tmp_path, rows, at, ", value_times: n")
    assert found == [(dt.date(2020, 1, 2), 375), (dt.date(2020, 1, 3), 200)]


@pytest.mark.parametrize(
    ("at", "words"),
    [
        ('{column: d, format: "%d.%m.%Y"}', "without a zone"),
        ("{column: d, format: seconds, zone: UTC}", "drop `zone`"),
        ("{column: d, format: fortnights, zone: UTC}", "seconds or milliseconds"),
    ],
)
def test_a_format_that_cannot_be_meant_is_refused(tmp_path: Path, at: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        read(tmp_path, ["a,03.02.2020,5,1"], at)
