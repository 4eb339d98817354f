"""Profile of an unknown table: its format, and the contents of its columns."""

from __future__ import annotations

import csv
import glob
import gzip
import itertools
from collections.abc import Collection
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from features.config.sources import CsvFormat, EventSource, Location, UrlTable
from features.errors import UserError
from features.sources.events import engine_errors, open_table
from features.sources.locations import describe_location
from features.sources.number_text import (
    are_only_thousands,
    currencies,
    decimal_sign,
    number_value,
)
from features.sources.prepared_files import prepare_files
from features.sources.spreadsheets import chosen_sheets, is_spreadsheet, sheet_names, sheet_rows
from flows.services.console import step
from flows.setup.column_synonyms import EVENT_TYPE, TIME, synonym_rank
from flows.setup.datetime_formats import TimeForm, form_of_numbers, form_of_text
from flows.setup.encoding_detection import detect_encoding
from flows.setup.header_refusals import refuse_header

_SAMPLE_ROWS = 100_000
_HEAD_BYTES = 1_000_000
_MOST_TITLE_LINES = 30
_STEADY = 0.9  # share of the first lines that have the same number of columns
_FEW_CELLS = 200
_NUMERIC = 0.98  # share of the filled cells of a number column that must read as numbers
_EXACT_FLOATS = 2**53
_Kind = Literal["text", "number", "flag", "time", "other"]


@dataclass(frozen=True)
class ColumnProfile:
    """A column of a table, seen in a sample of its rows.

    Attributes
    ----------
    name, kind
        As the table has it; text that reads as numbers is of kind number.
    cells
        Of all sampled rows, null where empty; numbers as numbers.
    time
        How to read it as times; None where it holds none.
    types
        All values in the whole table, where the name may be that of a column of event types.
    thousands
        The sign that is read as parting thousands, though it might part three decimals; or "".
    money
        Whether cells are written with the sign or code of a currency.
    """

    name: str
    kind: _Kind
    cells: pd.Series
    time: TimeForm | None = None
    types: tuple[str, ...] = ()
    thousands: str = ""
    money: bool = False

    @property
    def filled(self) -> float:
        """Share of the rows that have a value."""
        return float(self.cells.notna().mean())

    @property
    def distinct(self) -> int:
        """Different values in the sample."""
        return int(self.cells.nunique())

    @property
    def unique(self) -> bool:
        """Whether every row has a value of its own."""
        return self.filled == 1.0 and self.distinct == len(self.cells)


@dataclass(frozen=True)
class ProfiledTable:
    """A table and what is known of it.

    Attributes
    ----------
    location
        As a config names it.
    form
        How to read it, where it is delimited text.
    columns
        By name, in the table's order.
    rows
        Rows in the sample.
    """

    location: Location
    form: CsvFormat
    columns: dict[str, ColumnProfile]
    rows: int

    @property
    def name(self) -> str:
        """For messages."""
        return describe_location(self.location)


def profile_table(
    connection: Any, location: Location, list_sums: Collection[str] = ()
) -> ProfiledTable:
    """A table's form and columns, from its first `SAMPLE_ROWS` rows.

    `list_sums` names sums over lists (``refunds[].total``) to look at, too.

    Raises
    ------
    UserError
        Where it is missing, unreadable, empty, or has no header.
    """
    where = describe_location(location)
    first = location[0] if isinstance(location, tuple) else location
    form = CsvFormat() if isinstance(first, UrlTable) else sniff_format(str(first))
    source = EventSource.model_validate(
        {
            "events": location,
            "columns": {"customer_id": "-", "occurred_at": {"column": "-"}},
            "event_type": "unknown",
            "csv": form,
        }
    )
    sums = None if isinstance(first, UrlTable) else list_sums
    table = open_table(connection, location, source, sums)
    with engine_errors(where):
        sample = table.limit(_SAMPLE_ROWS).to_pandas()
    if not len(sample):
        raise UserError(
            where, found="no rows", expected="a header line and at least one row", hint=""
        )
    refuse_header(where, list(sample.columns))
    if len(sample.columns) == 1:
        raise UserError(
            where,
            found=f"one column only: {sample.columns[0]!r}",
            expected="columns for who (customer) and when (date or time), at least",
            hint="check the export; columns may be parted by comma, semicolon, tab or |",
        )
    form, undecided = _with_decimals(form, sample)
    columns = {
        name: _column(name, table[name].type(), sample[name], form.decimal_of(name))
        for name in sample.columns
    }
    columns |= {name: replace(columns[name], thousands=".") for name in undecided}
    for name, column in columns.items():
        if (
            column.kind == "text"
            and synonym_rank(name, EVENT_TYPE) is not None
            and column.distinct <= 200
        ):
            with engine_errors(where):
                columns[name] = replace(column, types=_all_values(table[name]))
    return ProfiledTable(location, form, columns, len(sample))


def _all_values(column: Any) -> tuple[str, ...]:
    """Distinct values, also of the rows beyond the sample."""
    found = column.value_counts(name="n").limit(1_000).to_pandas().iloc[:, 0]
    return tuple(sorted({str(value).strip() for value in found.dropna()} - {""}))


def sniff_format(location: str) -> CsvFormat:
    """Sheet, encoding, delimiter and title lines of a text file or spreadsheet, from its head."""
    names = [location] if Path(location).is_file() else sorted(glob.glob(location))
    if not names or not Path(names[0]).is_file():
        return CsvFormat()
    if is_spreadsheet(names[0]):
        return _sheets_format(names[0])
    (readable, *_), form = prepare_files(names[:1], CsvFormat())
    if not readable.lower().removesuffix(".gz").endswith((".csv", ".tsv", ".txt")):
        return form
    opener: Any = gzip.open if readable.lower().endswith(".gz") else open
    try:
        with opener(readable, "rb") as file:
            head = file.read(_HEAD_BYTES)
    except (OSError, EOFError) as error:
        system_message = error.strerror if isinstance(error, OSError) else None
        raise UserError(
            Path(names[0]).name,
            found=system_message or "a compressed file that is cut or damaged",
            expected="a readable file",
            hint="copy or export it again",
        ) from error
    encoding = detect_encoding(head, cut=len(head) == _HEAD_BYTES)
    text = head.decode("utf-8-sig" if encoding == "utf-8" else encoding, errors="replace")
    lines = text.splitlines()[:200]
    if len(head) == _HEAD_BYTES or len(lines) == 200:
        lines = lines[:-1]
    delimiter = _delimiter(lines)
    cells = [next(csv.reader([line], delimiter=delimiter), []) for line in lines]
    skip_lines = _title_lines(cells)
    if encoding not in ("utf-8", "utf-16"):
        step(f"{Path(names[0]).name}: read as {encoding}")
    if skip_lines:
        step(f"{Path(names[0]).name}: {skip_lines} lines above the column names are skipped")
    return CsvFormat(delimiter=delimiter, encoding=encoding, skip_lines=skip_lines)


def _sheets_format(name: str) -> CsvFormat:
    """The sheet with the most filled cells, and those with the same columns.

    Raises
    ------
    UserError
        Where no sheet has rows.
    """
    sheets = {title: sheet_rows(name, title) for title in sheet_names(name)}
    sizes = {
        title: sum(cell != "" for row in rows for cell in row) for title, rows in sheets.items()
    }
    filled = [title for title, size in sizes.items() if size]
    if not filled:
        chosen_sheets(name, None)
    skips = {title: _title_lines(sheets[title][:200]) for title in filled}
    columns = {title: (skips[title], *sorted(sheets[title][skips[title]])) for title in filled}
    largest = max(filled, key=lambda title: sizes[title])
    form = CsvFormat(sheet=largest, skip_lines=skips[largest])
    if len(filled) == 1:
        return form.model_copy(update={"sheet": None})
    alike = [title for title in filled if columns[title] == columns[largest]]
    pattern = _pattern_of(alike, filled) if len(alike) > 1 else None
    read, shown = ([largest], f"sheet {largest!r} is")
    if pattern is not None:
        form = form.model_copy(update={"sheet": pattern})
        read, shown = alike, f"sheets {', '.join(map(repr, alike))} with the same columns are"
    others = [title for title in filled if title not in read]
    rest = f", and not: {', '.join(others)}" if others else ""
    step(f"{Path(name).name}: {shown} read{rest}")
    for title in others:
        columns_of, wanted = set(columns[title][1:]), set(columns[largest][1:])
        if len(columns_of) == len(wanted) and title not in alike:
            differing = ", ".join(sorted(str(name) for name in columns_of - wanted))
            step(f"{title!r} has other column names ({differing}); with the same it is read, too")
    return form


def _common_start(texts: list[str]) -> str:
    """The signs that all texts begin with."""
    same = itertools.takewhile(lambda signs: len(set(signs)) == 1, zip(*texts, strict=False))
    return "".join(signs[0] for signs in same)


def _pattern_of(titles: list[str], among: list[str]) -> str | None:
    """A name with a star that fits these sheets and no other."""
    start = _common_start(titles)
    end = _common_start([title[::-1] for title in titles])[::-1]
    for pattern in ("*", f"{start}*", f"*{end}"):
        if [title for title in among if fnmatchcase(title, pattern)] == titles:
            return pattern
    return None


def _title_lines(cells: list[list[str]]) -> int:
    """Lines above the column names: shorter, or with fewer filled cells, than the rows below."""
    filled = [sum(cell.strip() != "" for cell in row) for row in cells]
    rows = [count for count in filled if count]
    usual = max(set(rows), key=rows.count) if rows else 1
    least = max(2, (usual + 1) // 2)
    widths = [len(row) for row in cells if row]
    width = max(set(widths), key=widths.count) if widths else 1
    first = next(
        (n for n, count in enumerate(filled) if count >= least and len(cells[n]) >= width), 0
    )
    return first if usual > 1 and first <= _MOST_TITLE_LINES else 0


def _delimiter(lines: list[str]) -> str:
    """The sign that cuts the first lines into the most columns, alike in nearly all lines."""
    best, found = 1, ","
    for sign in ",;\t|":
        widths = [len(row) for row in csv.reader(lines, delimiter=sign) if row]
        usual = max(set(widths), key=widths.count) if widths else 1
        if widths.count(usual) >= _STEADY * len(widths) and usual > best:
            best, found = usual, sign
    return found


def _with_decimals(form: CsvFormat, sample: pd.DataFrame) -> tuple[CsvFormat, list[str]]:
    """The form with the decimal sign of most columns of numbers, and of each that differs.

    Also the columns of points before three digits in all cells: where no other column has decimal
    points, they part thousands.
    """
    signs: dict[str, str] = {}
    undecided: list[str] = []
    for name in sample.columns:
        if not pd.api.types.is_string_dtype(sample[name]):
            continue
        cells = _without_dashes(sample[name]).dropna().astype(str).head(2_000)
        sign = decimal_sign(cells)
        if sign is None and are_only_thousands(cells, ".") and _reads_as_numbers(cells, ","):
            undecided.append(name)
        if sign is not None and _reads_as_numbers(cells, sign):
            signs[name] = sign
    if "." in signs.values():
        undecided = []
    signs |= dict.fromkeys(undecided, ",")
    commas = sum(sign == "," for sign in signs.values())
    usual = "," if commas > len(signs) - commas else "."
    others = {name: sign for name, sign in signs.items() if sign != usual}
    return form.model_copy(update={"decimal": usual, "decimals": others}), undecided


def _without_dashes(cells: pd.Series) -> pd.Series:
    """Cells, null where they hold nothing but dashes: an empty cell of a column of numbers."""
    return cells.where(~cells.astype(str).str.fullmatch(r"\s*[-\u2010-\u2015\u2212]+\s*"))


def _column(name: str, kind: Any, cells: pd.Series, decimal: str) -> ColumnProfile:
    named = synonym_rank(name, TIME) is not None
    if kind.is_boolean():
        return ColumnProfile(name, "flag", cells)
    if kind.is_date() or kind.is_timestamp():
        return ColumnProfile(name, "time", cells, _typed_time(kind, cells))
    if kind.is_numeric():
        numbers = pd.to_numeric(cells, errors="coerce")
        return ColumnProfile(
            name, "number", numbers, form_of_numbers(numbers.dropna(), named=named)
        )
    if not kind.is_string() and not kind.is_uuid():
        return ColumnProfile(name, "other", cells.astype(str))
    text = cells.map(str, na_action="ignore").astype("object").where(cells.notna(), None)
    stripped = pd.Series(text, dtype="str").str.strip()
    stripped = stripped.where(stripped != "")
    time = form_of_text(stripped.dropna(), named=named)
    written = _without_dashes(stripped)
    if len(written.dropna()) and _reads_as_numbers(written.dropna().head(500), decimal):
        numbers = _as_numbers(written, decimal)
        exact = not (numbers.abs() >= _EXACT_FLOATS).any()  # longer ids are kept as text
        if exact and numbers.notna().sum() >= _NUMERIC * written.notna().sum():
            # Ids keep their leading zeros: how a number is written is not lost on the config.
            money = bool(currencies(written.dropna().head(_FEW_CELLS)))
            return ColumnProfile(name, "number", numbers, time, money=money)
    return ColumnProfile(name, "text", stripped, time)


def _reads_as_numbers(cells: pd.Series, decimal: str) -> bool:
    """Whether nearly all of some filled cells read as numbers."""
    return bool(len(cells)) and bool(_as_numbers(cells, decimal).notna().mean() >= _NUMERIC)


def _as_numbers(text: pd.Series, decimal: str) -> pd.Series:
    """Numbers of text cells as `features.sources.number_text` reads them, null where none."""
    codes, distinct = pd.factorize(text, use_na_sentinel=True)
    plain = pd.to_numeric(pd.Series(distinct), errors="coerce").to_numpy(dtype=float)
    if decimal != ".":
        plain = np.full(len(distinct), np.nan)
    numbers = [
        number if np.isfinite(number) else number_value(str(cell), decimal)
        for number, cell in zip(plain, distinct, strict=True)
    ]
    return pd.Series(np.array([*numbers, np.nan], dtype=float)[codes], index=text.index)


def _typed_time(kind: Any, cells: pd.Series) -> TimeForm:
    if kind.is_date():
        return TimeForm({"as": "local_date"})
    if kind.timezone is not None:
        return TimeForm({})
    stamps = pd.to_datetime(cells.dropna())
    midnight = len(stamps) > 0 and bool((stamps == stamps.dt.normalize()).all())
    return TimeForm({"as": "local_date"}) if midnight else TimeForm({}, naive=True)
