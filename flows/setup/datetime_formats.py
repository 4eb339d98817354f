"""How a column's cells tell the time: by date or clock, day or year first, or counted from 1970."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from features.config.sources import EPOCH_UNITS, SPREADSHEET_DAYS
from features.sources.column_parsing import OFFSET_TIME, PLAIN_DATE, PLAIN_TIME
from features.sources.date_text import tidy_date
from features.sources.month_names import month_as_number, names_month, numbered_form
from flows.setup.written_dates import READABLE, written_form

EARLIEST, LATEST = 631_152_000, 4_102_444_800  # 1990 and 2100, in seconds since 1970
_SERIALS = (32_874, 73_050)  # 1990 and 2100 in a spreadsheet's days
_MOST_CELLS = 20_000  # cells that are looked at, from the first row to the last
_YEAR_FIRST = r"^\d{4}[-/]\d{1,2}[-/]\d{1,2}[T ].*"
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


def form_of_text(cells: pd.Series, *, named: bool = False) -> TimeForm | None:
    """Form of a text column's filled cells; None where they are no times.

    `named` says that the column's name speaks of a time: only then do numbers without another sign
    (a spreadsheet's days, six digits) read as dates.
    """
    if not len(cells):
        return None
    text = cells.astype(str).str.strip()
    some = text.iloc[:: max(1, len(text) // _MOST_CELLS)]

    def share(pattern: str) -> float:
        return float(some.str.contains(pattern, regex=True).mean())

    if share(_YEAR_FIRST + OFFSET_TIME) >= READABLE:
        return TimeForm({})
    if share(r"^\d{8}$") >= READABLE:
        read = pd.to_datetime(text, format="%Y%m%d", errors="coerce")
        plausible = read.notna() & (read.dt.year >= 1990) & (read.dt.year < 2100)
        return _DATE if plausible.mean() >= READABLE else None
    dates = share(PLAIN_DATE.replace("^(", "^(?:", 1))
    if dates >= READABLE and share(r"\d:\d") < READABLE / 2:
        return _DATE
    if share(PLAIN_TIME) >= READABLE:
        midnight = share(_MIDNIGHT) == 1.0 and bool(text.str.contains(_MIDNIGHT).all())
        return _DATE if midnight else TimeForm({}, naive=True)
    if dates >= READABLE and share(_YEAR_FIRST + OFFSET_TIME) > 0:
        return TimeForm({}, naive=True, doubt="some cells have an offset and some have none")
    return _written(text, named=named) or _counted(
        pd.to_numeric(text, errors="coerce"), named=named
    )


def _written(text: pd.Series, *, named: bool) -> TimeForm | None:
    """Form of dates that need a format."""
    written = written_form(text, named=named)
    if written is None:
        return None
    if written.has_offset:
        return TimeForm({"format": written.form}, doubt=written.doubt)
    if written.in_utc:
        return TimeForm({"format": written.form, "zone": "UTC"}, doubt=written.doubt)
    if written.has_clock:
        return TimeForm({"format": written.form}, naive=True, doubt=written.doubt)
    return TimeForm({"as": "local_date", "format": written.form}, doubt=written.doubt)


def form_of_numbers(cells: pd.Series, *, named: bool = False) -> TimeForm | None:
    """Form of numbers that are times; None where they are none (`named` as in `form_of_text`)."""
    whole = bool(len(cells)) and bool((cells == cells.round()).all()) and cells.abs().max() < 2**53
    if whole and not _is_epoch(cells):
        return form_of_text(cells.astype("int64").astype(str), named=named)
    return _counted(cells, named=named)


def _is_epoch(cells: pd.Series) -> bool:
    return any(_lies_within(cells, EARLIEST * unit, LATEST * unit) for unit in EPOCH_UNITS.values())


def _lies_within(cells: pd.Series, first: float, last: float) -> bool:
    return bool(cells.between(first, last).mean() >= READABLE)


def _counted(cells: pd.Series, *, named: bool) -> TimeForm | None:
    """Form of numbers that count from 1970, or from the first day of spreadsheets."""
    if not len(cells):
        return None
    for name, unit in EPOCH_UNITS.items():
        if _lies_within(cells, EARLIEST * unit, LATEST * unit):
            return TimeForm({"format": name})
    if not named or not _lies_within(cells, *_SERIALS):
        return None
    first = _read_serials(cells.dropna().head(1)).iloc[0]
    doubt = f"numbers like {cells.dropna().iloc[0]:g} are taken as days of a spreadsheet ({first})"
    whole = bool((cells.dropna() == cells.dropna().round()).all())
    keys = {"format": SPREADSHEET_DAYS} | ({"as": "local_date"} if whole else {})
    return TimeForm(keys, naive=not whole, doubt=doubt)


def _read_serials(cells: pd.Series) -> pd.Series:
    days = pd.to_numeric(cells, errors="coerce")
    return pd.to_datetime("1899-12-30") + pd.to_timedelta((days * 86_400).round(), unit="s")


def read_times(cells: pd.Series, form: TimeForm) -> pd.Series:
    """Moments of text or number cells, without zones; for looking at spans, not for building."""
    if form.keys.get("format") in EPOCH_UNITS:
        unit = EPOCH_UNITS[form.keys["format"]]
        numbers = pd.to_numeric(cells, errors="coerce") / unit
        return pd.to_datetime(numbers, unit="s", errors="coerce")
    written = form.keys.get("format")
    if written == SPREADSHEET_DAYS:
        return _read_serials(cells)
    text = cells.astype(str).str.strip()
    if written is not None:
        text = text.str.removesuffix(".0").map(tidy_date)
        if names_month(written):
            text, written = text.map(month_as_number), numbered_form(written)
    if written is None:
        text = text.str.slice(0, 19).str.replace("[/.]", "-", regex=True)
    offsets = written is None or "%z" in written
    times = pd.to_datetime(text, format=written or "mixed", errors="coerce", utc=offsets)
    return times.dt.tz_localize(None) if times.dt.tz is not None else times
