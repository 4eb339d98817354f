"""Weeks and quarters as text (2023-W05, Q1 2024): recognised to be refused with their first day."""

from __future__ import annotations

import datetime as dt
import re

import pandas as pd

_SEP = r"[-_/., ]*"
_WEEK, _QUARTER = (
    r"(?:W|KW|CW|WK|S|V|week|woche|semaine|semana|week_?no)",
    r"(?:Q|T|quarter|quartal)",
)
_FORMS = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        ("week", rf"(?P<year>(?:19|20)\d\d){_SEP}{_WEEK}{_SEP}(?P<number>\d{{1,2}})"),
        ("week", rf"{_WEEK}{_SEP}(?P<number>\d{{1,2}}){_SEP}(?P<year>(?:19|20)\d\d)"),
        ("quarter", rf"(?P<year>(?:19|20)\d\d){_SEP}{_QUARTER}{_SEP}(?P<number>[1-4])"),
        ("quarter", rf"{_QUARTER}{_SEP}(?P<number>[1-4]){_SEP}(?P<year>(?:19|20)\d\d)"),
        ("quarter", rf"(?P<number>[1-4])[.]?{_SEP}{_QUARTER}{_SEP}(?P<year>(?:19|20)\d\d)"),
    )
)
_MOST_CELLS, _LEAST_SHARE = 200, 0.95


def first_day(text: str) -> tuple[str, dt.date] | None:
    """Kind and first day of the week (ISO) or quarter that a text names; None for other texts.

    >>> first_day("2023-W01"), first_day("Q3 2024"), first_day("2023-01-05")
    (('week', datetime.date(2023, 1, 2)), ('quarter', datetime.date(2024, 7, 1)), None)
    """
    for kind, form in _FORMS:
        match = form.fullmatch(text.strip())
        if match is None:
            continue
        year, number = int(match["year"]), int(match["number"])
        if kind == "quarter":
            return kind, dt.date(year, 3 * number - 2, 1)
        try:
            return kind, dt.date.fromisocalendar(year, number, 1)
        except ValueError:  # no such week
            return None
    return None


def example_of_periods(cells: pd.Series) -> tuple[str, str, dt.date] | None:
    """Kind, first text and its first day, where a column holds weeks or quarters."""
    texts = [str(cell) for cell in cells.dropna().head(_MOST_CELLS)]
    days = [day for text in texts if (day := first_day(text)) is not None]
    if not days or len(days) < _LEAST_SHARE * len(texts):
        return None
    text = next(text for text in texts if first_day(text) is not None)
    return (days[0][0], text, days[0][1])
