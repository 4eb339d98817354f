"""Dates as tools and people write them: `init` finds the form, and the reader reads the same."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import ibis
import pandas as pd
import pytest

from features.config.sources import TimeColumn
from features.sources.column_parsing import parse_date, parse_moment
from flows.setup.datetime_formats import TimeForm, form_of_numbers, form_of_text, read_times

MOMENTS = [
    dt.datetime(2022, 12, 9, 0, 5, 6) + dt.timedelta(hours=31 * step, minutes=7 * step)
    for step in range(400)
]
WEEKDAYS = {
    "English": "Mon Tue Wed Thu Fri Sat Sun",
    "German": "Mo Di Mi Do Fr Sa So",
    "French": "lun. mar. mer. jeu. ven. sam. dim.",
    "Japanese": "月 火 水 木 金 土 日",
}
HOUR = dt.timedelta(hours=1)
START = dt.datetime(1899, 12, 30)


def weekday(moment: dt.datetime, language: str) -> str:
    return WEEKDAYS[language].split()[moment.weekday()]


DATES: dict[str, Callable[[dt.datetime], str]] = {
    "year, month, day with dots": lambda m: f"{m:%Y.%m.%d}",
    "Korean with blanks": lambda m: f"{m.year}. {m.month}. {m.day}.",
    "Czech with blanks": lambda m: f"{m.day}. {m.month}. {m.year}",
    "Japanese signs": lambda m: f"{m.year}年{m.month}月{m.day}日",
    "Japanese signs with weekday": lambda m: (
        f"{m.year}年{m.month}月{m.day}日({weekday(m, 'Japanese')})"
    ),
    "Korean signs": lambda m: f"{m.year}년 {m.month}월 {m.day}일",
    "day first with dashes": lambda m: f"{m:%d-%m-%Y}",
    "month first": lambda m: f"{m.month}/{m.day}/{m:%y}",
    "yymmdd": lambda m: f"{m:%y%m%d}",
    "yy/mm/dd": lambda m: f"{m:%y/%m/%d}",
    "English weekday": lambda m: f"{weekday(m, 'English')}, {m.day} {m:%B} {m.year}",
    "German weekday": lambda m: f"{weekday(m, 'German')}., {m:%d.%m.%Y}",
    "French weekday": lambda m: f"{weekday(m, 'French')} {m.day} {m:%b} {m.year}",
    "weekday before ISO": lambda m: f"{weekday(m, 'English')} {m:%Y-%m-%d}",
    "weekday behind": lambda m: f"{m:%d/%m/%Y} ({weekday(m, 'English')})",
    "ISO week": lambda m: "{}-W{:02}-{}".format(*m.isocalendar()),
    "American month name": lambda m: f"{m:%B} {m.day}, {m.year}",
    "Oracle": lambda m: f"{m:%d-%b-%y}".upper(),
    "spreadsheet": lambda m: str((m - START).days),
}
CLOCKS: dict[str, Callable[[dt.datetime], str]] = {
    "halves": lambda m: f"{m:%Y-%m-%d %I:%M %p}",
    "halves without blank": lambda m: f"{m:%m/%d/%Y} {int(f'{m:%I}')}:{m:%M%p}".lower(),
    "halves with dots": lambda m: f"{m:%m/%d/%Y %I:%M:%S} {'a.m.' if m.hour < 12 else 'p.m.'}",
    "Japanese halves": lambda m: f"{m:%Y/%m/%d} {'午前' if m.hour < 12 else '午後'}{m:%I:%M}",
    "Japanese clock": lambda m: f"{m.year}年{m.month}月{m.day}日 {m.hour}時{m.minute}分",
    "Korean dots": lambda m: f"{m:%Y.%m.%d %H:%M}",
    "weekday within": lambda m: f"{m:%Y/%m/%d}({weekday(m, 'Japanese')}) {m:%H:%M:%S}",
    "fourteen digits": lambda m: f"{m:%Y%m%d%H%M%S}",
    "twelve digits": lambda m: f"{m:%Y%m%d%H%M}",
    "compact with T": lambda m: f"{m:%Y%m%dT%H%M%S}",
    "DB2": lambda m: f"{m:%Y-%m-%d-%H.%M.%S}.000000",
    "SQL Server": lambda m: f"{m:%b} {m.day:2} {m.year} {int(f'{m:%I}'):2}:{m:%M%p}",
    "comma between": lambda m: f"{m:%d/%m/%Y, %H:%M:%S}",
    "spreadsheet": lambda m: f"{(m - START).total_seconds() / 86_400:.8f}",
}
OFFSETS: dict[str, Callable[[dt.datetime], str]] = {
    "e-mail": lambda m: f"{weekday(m, 'English')}, {m:%d %b %Y %H:%M:%S} +0100",
    "JavaScript": lambda m: f"{weekday(m, 'English')} {m:%b %d %Y %H:%M:%S} GMT+0100 (CET)",
    "HTTP": lambda m: f"{weekday(m, 'English')}, {m - HOUR:%d %b %Y %H:%M:%S} GMT",
    "compact in UTC": lambda m: f"{m - HOUR:%Y%m%dT%H%M%SZ}",
    "offset without colon": lambda m: f"{m:%Y-%m-%dT%H:%M:%S}+0100",
    "day first": lambda m: f"{m:%d.%m.%Y %H:%M} +01:00",
    "epoch, seconds": lambda m: str(epoch(m)),
    "epoch, milliseconds": lambda m: str(epoch(m) * 1_000),
    "epoch, microseconds": lambda m: str(epoch(m) * 1_000_000),
    "epoch, nanoseconds": lambda m: str(epoch(m) * 1_000_000_000),
}


def epoch(moment: dt.datetime) -> int:
    return int(moment.replace(tzinfo=dt.timezone(HOUR)).timestamp())


def read(cells: list[str], form: TimeForm, zone: str = "UTC") -> pd.Series:
    """Wall-clock times as the reader of sources has them."""
    keys = form.keys | ({"zone": zone} if form.naive else {})
    spec = TimeColumn.model_validate({"column": "when", **keys})
    table = ibis.memtable(pd.DataFrame({"when": cells}))
    if form.keys.get("as") == "local_date":
        return parse_date(table["when"], spec, "columns").execute()
    return parse_moment(table, spec, zone, "columns")[1].execute()


@pytest.mark.parametrize("name", DATES)
def test_days_are_read_as_they_are_written(name: str) -> None:
    cells = [DATES[name](moment) for moment in MOMENTS]
    form = form_of_text(pd.Series(cells), named=True)
    assert form is not None
    assert form.keys["as"] == "local_date"
    assert not form.naive
    days = [moment.date() for moment in MOMENTS]
    assert [pd.Timestamp(day).date() for day in read(cells, form)] == days
    assert [moment.date() for moment in read_times(pd.Series(cells), form)] == days


@pytest.mark.parametrize("name", CLOCKS)
def test_clock_times_are_read_as_they_are_written(name: str) -> None:
    cells = [CLOCKS[name](moment) for moment in MOMENTS]
    form = form_of_text(pd.Series(cells), named=True)
    assert form is not None
    assert form.naive
    minutes = [moment.replace(second=0) for moment in MOMENTS]
    assert [pd.Timestamp(at).replace(second=0) for at in read(cells, form)] == minutes
    assert list(read_times(pd.Series(cells), form).dt.floor("min")) == minutes


@pytest.mark.parametrize("name", OFFSETS)
def test_instants_keep_their_offset(name: str) -> None:
    cells = [OFFSETS[name](moment) for moment in MOMENTS]
    form = form_of_text(pd.Series(cells), named=True)
    assert form is not None
    assert not form.naive
    moments = [(pd.Timestamp(at) + HOUR).floor("min") for at in read(cells, form)]
    assert moments == [moment.replace(second=0) for moment in MOMENTS]


@pytest.mark.parametrize(
    "form", ["{m:%Y-%m}", "{m:%m/%Y}", "{m:%b %Y}", "{m:%Y%m}", "{m.year}年{m.month}月"]
)
def test_of_months_the_first_day_counts_and_that_is_said(form: str) -> None:
    cells = [form.format(m=moment) for moment in MOMENTS]
    time_form = form_of_text(pd.Series(cells), named=True)
    assert time_form is not None
    assert "first day" in time_form.doubt
    assert [pd.Timestamp(day) for day in read(cells, time_form)] == [
        pd.Timestamp(moment.date().replace(day=1)) for moment in MOMENTS
    ]


@pytest.mark.parametrize(
    "form", ["Q{} {}", "{1}-Q{0}", "Q{}/{}", "{1}Q{0}", "H{} {}", "{1}-T{0}", "W0{} {}", "{} кв {}"]
)
def test_a_quarter_is_no_month(form: str) -> None:
    cells = [form.format(1 + number % 2, 2021 + number // 2 % 4) for number in range(64)]
    assert form_of_text(pd.Series(cells), named=True) is None


@pytest.mark.parametrize(
    "cells",
    [
        [str(240_101 + step) for step in range(31)],
        [str(45_000 + step) for step in range(400)],
        [f"2024Q{1 + step % 4}" for step in range(40)],
        [f"KW {1 + step % 52}" for step in range(60)],
        [f"10.{step}.0.7" for step in range(60)],
        [f"A-{step}-2024" for step in range(60)],
    ],
    ids=["six digits", "five digits", "quarters", "weeks", "addresses", "codes"],
)
def test_other_numbers_are_no_times_without_a_name(cells: list[str]) -> None:
    assert form_of_text(pd.Series(cells)) is None


def test_whole_numbers_of_typed_files_read_like_text() -> None:
    numbers = pd.Series([int(f"{moment:%Y%m%d%H%M%S}") for moment in MOMENTS])
    form = form_of_numbers(numbers, named=True)
    assert form is not None
    assert form.naive
    table = ibis.memtable(pd.DataFrame({"when": numbers}))
    spec = TimeColumn.model_validate({"column": "when", "zone": "UTC", **form.keys})
    assert list(parse_moment(table, spec, "UTC", "columns")[1].execute()) == MOMENTS
