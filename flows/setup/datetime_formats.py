"""How a column's cells tell the time: by date or clock, day or year first, or counted from 1970."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pandas as pd

from features.config.sources import EPOCH_UNITS
from features.sources.column_parsing import OFFSET_TIME, PLAIN_DATE, PLAIN_TIME
from features.sources.month_names import month_as_number, names_month, numbered_form

_READABLE = 0.95  # share of the filled cells that must read as times of one form
EARLIEST, LATEST = 631_152_000, 4_102_444_800  # 1990 and 2100, in seconds since 1970
_WRITTEN = re.compile(
    r"(\d{1,2})([./-])(\d{1,2})\2(\d{4}|\d{2})"
    r"(?:[ T](\d{1,2}:\d{2})(:\d{2})?(?:\s?([AaPp][Mm]))?)?"
)
_MIDNIGHT = r"[T ]00?:00(?::00(?:\.0+)?)?$"


@dataclass(frozen=True)
class TimeForm:
    """How to read a column as times.

    Attributes
    ----------
    keys
        Of a `TimeColumn` beside its column: ``as`` and ``format``, where they are needed.
    naive
        Whether the clock's zone is told nowhere.
    doubt
        What had to be assumed; empty where the cells leave no choice.
    """

    keys: dict[str, str]
    naive: bool = False
    doubt: str = ""


_DATE = TimeForm({"as": "local_date"})


def form_of_text(cells: pd.Series) -> TimeForm | None:
    """Form of a text column's filled cells; None where they are no times."""
    if not len(cells):
        return None
    text = cells.astype(str).str.strip()

    def share(pattern: str) -> float:
        return float(text.str.contains(pattern, regex=True).mean())

    if share(OFFSET_TIME) >= _READABLE:
        return TimeForm({})
    if share(r"^\d{8}$") >= _READABLE:
        read = pd.to_datetime(text, format="%Y%m%d", errors="coerce")
        plausible = read.notna() & (read.dt.year >= 1990) & (read.dt.year < 2100)
        return _DATE if plausible.mean() >= _READABLE else None
    dates = share(PLAIN_DATE.replace("^(", "^(?:", 1))
    if dates >= _READABLE and share(r"\d:\d") < _READABLE / 2:
        return _DATE
    if share(PLAIN_TIME) >= _READABLE:
        return _DATE if share(_MIDNIGHT) == 1.0 else TimeForm({}, naive=True)
    if dates >= _READABLE and share(OFFSET_TIME) > 0:
        return TimeForm({}, naive=True, doubt="some cells have an offset and some have none")
    return (
        _written(text)
        or _with_month_name(text)
        or form_of_numbers(pd.to_numeric(text, errors="coerce"))
    )


def form_of_numbers(cells: pd.Series) -> TimeForm | None:
    """Form of numbers that count from 1970, or read like 20170131; None where they are no times."""
    if not len(cells):
        return None
    compact = (cells == cells.round()) & cells.between(19_900_101, 21_000_101)
    if compact.mean() >= _READABLE:
        return form_of_text(cells.dropna().astype("int64").astype(str))
    for name, unit in EPOCH_UNITS.items():
        if cells.between(EARLIEST * unit, LATEST * unit).mean() >= _READABLE:
            return TimeForm({"format": name})
    return None


def _written(text: pd.Series) -> TimeForm | None:
    """Form of dates that begin with the day or the month."""
    found = text.str.extract(f"^{_WRITTEN.pattern}$")
    there = found[0].notna()
    if there.mean() < _READABLE:
        return None
    found = found[there]
    first, second = found[0].astype(int), found[2].astype(int)
    day_first = bool((first > 12).mean() >= (second > 12).mean())
    days, months = (first, second) if day_first else (second, first)
    if (days.between(1, 31) & months.between(1, 12)).mean() < _READABLE:
        return None
    doubt = ""
    if not (first > 12).any() and not (second > 12).any():
        doubt = "every date also reads month first; taken day first"
    sign = str(found[1].mode()[0])
    year = "%Y" if (found[3].str.len() == 4).mean() > 0.5 else "%y"
    parts = ["%d", "%m"] if day_first else ["%m", "%d"]
    clock = _clock(found)
    form = sign.join([*parts, year])
    if not clock:
        return TimeForm({"as": "local_date", "format": form}, doubt=doubt)
    return TimeForm({"format": f"{form} {clock}"}, naive=True, doubt=doubt)


def _with_month_name(text: pd.Series) -> TimeForm | None:
    """Form of dates with the name of the month: 3-Feb-2024, March 3, 2024, 03 mars 2024 10:15."""
    if text.str.contains(r"[^\W\d_]").mean() < _READABLE:
        return None
    numbered = text.map(lambda cell: month_as_number(cell, "<{:02}>"))
    clock = r"(?:,? (\d{1,2}:\d{2})(:\d{2})?(?: ?([AaPp][Mm]))?)?$"
    for order, parts in (
        ("%d{0}%b{1}{y}", r"^\d{1,2}(\W{1,2})<\d\d>(\W{1,2})(\d{4}|\d{2})"),
        ("%b{0}%d{1}{y}", r"^<\d\d>(\W{1,2})\d{1,2}(\W{1,2})(\d{4}|\d{2})"),
        ("{y}{0}%b{1}%d", r"^(?=(\d{4}))\d{4}(\W{1,2})<\d\d>(\W{1,2})\d{1,2}"),
    ):
        found = numbered.str.extract(parts + clock)
        there = found[0].notna()
        if there.mean() < _READABLE:
            continue
        found = found[there]
        if order.startswith("{y}"):
            found = found[[1, 2, 0, 3, 4, 5]].set_axis(range(6), axis=1)
        signs = [str(found[place].mode()[0]) for place in (0, 1)]
        year = "%Y" if (found[2].str.len() == 4).mean() > 0.5 else "%y"
        form = order.format(*signs, y=year)
        written = _clock(found.set_axis([0, 1, 2, 4, 5, 6], axis=1))
        if not written:
            return TimeForm({"as": "local_date", "format": form})
        comma = "," if numbered[there].str.contains(r", \d{1,2}:").mean() > 0.5 else ""
        return TimeForm({"format": f"{form}{comma} {written}"}, naive=True)
    return None


def _clock(found: Any) -> str:
    """Format of the clock after a date; empty where there is none."""
    if found[4].notna().mean() < _READABLE:
        return ""
    seconds = ":%S" if found[5].notna().mean() > 0.5 else ""
    halves = found[6].notna().mean() > 0.5
    return f"%I:%M{seconds} %p" if halves else f"%H:%M{seconds}"


def read_times(cells: pd.Series, form: TimeForm) -> pd.Series:
    """Moments of text or number cells, without zones; for looking at spans, not for building."""
    if form.keys.get("format") in EPOCH_UNITS:
        unit = EPOCH_UNITS[form.keys["format"]]
        numbers = pd.to_numeric(cells, errors="coerce") / unit
        return pd.to_datetime(numbers, unit="s", errors="coerce")
    written = form.keys.get("format")
    text = cells.astype(str).str.strip()
    if written is not None and names_month(written):
        text, written = text.map(month_as_number), numbered_form(written)
    if written is None:
        text = text.str.slice(0, 19).str.replace("[/.]", "-", regex=True)
    found = pd.to_datetime(text, format=written or "mixed", errors="coerce", utc=written is None)
    return found.dt.tz_localize(None) if found.dt.tz is not None else found
