"""The format of dates and times that are written alike in nearly all cells of a column."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from itertools import pairwise

import pandas as pd

from features.sources.date_text import tidy_date
from features.sources.month_names import month_as_number, numbered_form

READABLE = 0.95  # share of the filled cells that must read as times of one form
_FEW_CELLS, _MOST_CELLS = 200, 5_000  # distinct cells that are looked at
_FIRST_YEAR, _LAST_YEAR = 1990, 2099
_OFFSET = re.compile(r"(:\d{2}(?:\.\d+)? ?(?:GMT|UTC)? ?)[+-]\d{2}:?\d{2}$", re.IGNORECASE)
_OFFSET_SIGN = "\N{LATIN SMALL LETTER Z WITH CARON}"
_UTC = ("Z", "GMT", "UTC")
_PIECE = re.compile(r"<\d\d>|\d+|[AaPp][Mm](?![a-z])|\D")
_WEEK = "0-W0-0"
_MINUTE_SIGNS = (":", "分", "분")
_CLOCK_SIGNS = (":", "時", "时", "시", "点", "點", "h", "H")
# Letters beside a year and a month; others name a quarter, a half or a week (Q3 2024, 2024-T2).
_YEAR_AND_MONTH_LETTERS = frozenset("年月년월гmM")
# Digits in a row: year first, of these lengths.
_COMPACT = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_COMPACT_NAMED = {6: ("%Y%m", "%y%m%d"), **{length: (form,) for length, form in _COMPACT.items()}}


@dataclass(frozen=True)
class WrittenForm:
    """A format of dates, and what had to be assumed."""

    form: str
    doubt: str = ""

    @property
    def has_clock(self) -> bool:
        """Whether the cells say a time of day."""
        return "%H" in self.form or "%I" in self.form

    @property
    def has_offset(self) -> bool:
        """Whether the cells say their offset from UTC."""
        return "%z" in self.form

    @property
    def in_utc(self) -> bool:
        """Whether the cells say that their clock is UTC's."""
        return self.has_clock and self.form.upper().endswith(_UTC)


def written_form(cells: pd.Series, *, named: bool) -> WrittenForm | None:
    """Format of filled text cells; None where they are no dates.

    Parameters
    ----------
    cells
        Text without outer blanks.
    named
        Whether the column's name speaks of a time: only then six digits are a date or month.
    """
    distinct = pd.Series(cells.unique()).astype(str)
    # Most columns of text are no dates: a few cells show it.
    if _form(_spread(distinct, _FEW_CELLS), named=named) is None:
        return None
    return _form(_spread(distinct, _MOST_CELLS), named=named)


def _spread(cells: pd.Series, most: int) -> pd.Series:
    """At most so many cells, from the first to the last."""
    return cells.iloc[:: max(1, -(-len(cells) // most))]


def _form(cells: pd.Series, *, named: bool) -> WrittenForm | None:
    tidied = cells.map(tidy_date)
    # Without its letter, Q3/2024 would read as a month.
    named = named and cells.str.contains(r"^[^\W\d_]+\d").mean() < READABLE
    numbered = tidied.map(lambda cell: month_as_number(cell, "<{:02}>"))
    has_name = numbered.str.contains("<").mean() >= READABLE
    text = numbered if has_name else tidied
    pieces = [_PIECE.findall(_OFFSET.sub(rf"\1{_OFFSET_SIGN}", cell)) for cell in text]
    shapes = pd.Series(["".join(map(_shape, cell)) for cell in pieces])
    shape = str(shapes.mode()[0])
    if (shapes == shape).mean() < READABLE:
        return None
    same = [cell for cell, own in zip(pieces, shapes, strict=True) if own == shape]
    for form in _formats(same, named=named):
        written = form.form.replace(_OFFSET_SIGN, "%z")
        if _share_read(tidied, written) >= READABLE:
            return WrittenForm(written, form.doubt)
    return None


def _shape(piece: str) -> str:
    if piece.isdecimal():
        return "0"
    if piece.startswith("<"):
        return "b"
    return "p" if piece.lower() in ("am", "pm") else piece


def _formats(cells: list[list[str]], *, named: bool) -> list[WrittenForm]:
    """Formats that cells of one shape may have, the likeliest first."""
    kinds = [_shape(piece) for piece in cells[0]]
    if "".join(kinds) == _WEEK:
        return [WrittenForm("%G-W%V-%u")]
    places = [number for number, kind in enumerate(kinds) if kind in ("0", "b")]
    clock = _clock_places(kinds, places)
    dates = [place for place in places if place not in clock]
    letters = {kind for kind in kinds if kind.isalpha() and kind not in ("b", "p")}
    named = named and letters <= _YEAR_AND_MONTH_LETTERS
    if not clock and len(dates) > 3:
        dates, clock = dates[:3], dates[3:]
    columns = {place: pd.Series([cell[place].strip("<>") for cell in cells]) for place in places}
    codes = dict(zip(clock, ("%I" if "p" in kinds else "%H", "%M", "%S", "%f"), strict=False))
    forms = []
    for parts, doubt in _date_codes(
        [columns[place] for place in dates], named, [kinds[place] for place in dates]
    ):
        written = codes | dict(zip(dates, parts, strict=True))
        signs = [
            written.get(place) or ("%p" if kinds[place] == "p" else cells[0][place])
            for place in range(len(kinds))
        ]
        forms.append(WrittenForm("".join(signs), doubt))
    return forms


def _clock_places(kinds: list[str], places: list[int]) -> list[int]:
    """Places of the numbers of a clock: around colons, or hours with their own sign."""
    clock: list[int] = []
    for place, following in pairwise([*places, len(kinds)]):
        sign = "".join(kinds[place + 1 : place + 2])
        joined = [following] if following in places else []
        if not clock and sign in _CLOCK_SIGNS:
            clock = [place, *joined]
        elif (
            clock
            and place == clock[-1]
            and (sign in _MINUTE_SIGNS or (sign == "." and len(clock) > 2))
        ):
            clock += joined
    return clock


def _date_codes(
    parts: list[pd.Series], named: bool, kinds: list[str]
) -> list[tuple[tuple[str, ...], str]]:
    """Codes of the numbers of a date, the likeliest first, each with what is assumed."""
    if len(parts) == 1 and kinds == ["0"]:
        lengths = parts[0].str.len()
        length = int(lengths.mode()[0])
        return [((form,), _of_months(form)) for form in _compact_forms(length, named)]
    if len(parts) == 2 and [int(part.str.len().mode()[0]) for part in parts] == [8, 6]:
        return [(("%Y%m%d", "%H%M%S"), "")]
    if len(parts) == 2:
        years = [place for place, part in enumerate(parts) if _is_year(part)]
        if len(years) != 1 or not (named or "b" in kinds):
            return []
        month = "%b" if "b" in kinds else "%m"
        form = ("%Y", month) if years[0] == 0 else (month, "%Y")
        return [(form, _of_months("%Y%m"))]
    return _three_codes(parts, kinds) if len(parts) == 3 and kinds.count("b") < 2 else []


def _compact_forms(length: int, named: bool) -> tuple[str, ...]:
    if named:
        return _COMPACT_NAMED.get(length, ())
    return (_COMPACT[length],) if length in _COMPACT else ()


def _of_months(form: str) -> str:
    return "" if "%d" in form else "only months are known; each counts as its first day"


def _three_codes(parts: list[pd.Series], kinds: list[str]) -> list[tuple[tuple[str, ...], str]]:
    if "b" in kinds:
        places = [place for place, kind in enumerate(kinds) if kind == "0"]
        day, year = places if not _is_year(parts[places[0]]) else places[::-1]
        codes = dict.fromkeys(range(3), "%b") | {day: "%d", year: _year_code(parts[year])}
        return [(tuple(codes[place] for place in range(3)), "")]
    if _is_year(parts[0]):
        return [(("%Y", "%m", "%d"), "")]
    first, second, third = (part.astype(int) for part in parts)
    year_code = _year_code(parts[2])
    if year_code == "%y" and first.nunique() < third.nunique() / 3 and (third <= 31).all():
        return [(("%y", "%m", "%d"), "")]
    day_first = bool((first > 12).mean() >= (second > 12).mean())
    doubt = ""
    if not (first > 12).any() and not (second > 12).any():
        doubt = "every date also reads month first; taken day first"
    return [(("%d", "%m", year_code) if day_first else ("%m", "%d", year_code), doubt)]


def _is_year(part: pd.Series) -> bool:
    return bool((part.str.len() == 4).mean() >= READABLE)


def _year_code(part: pd.Series) -> str:
    return "%Y" if _is_year(part) else "%y"


def _share_read(tidied: pd.Series, form: str) -> float:
    """Share of the cells that read in a format as plausible times."""
    text = tidied.map(month_as_number) if "%b" in form else tidied
    return float(text.map(lambda cell: _reads(cell, numbered_form(form))).mean())


def _reads(cell: str, form: str) -> bool:
    try:
        moment = dt.datetime.strptime(cell, form)
    except ValueError:
        return False
    return _FIRST_YEAR <= moment.year <= _LAST_YEAR
