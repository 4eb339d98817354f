"""Profile of an unknown table: its format, and the contents of its columns."""

from __future__ import annotations

import csv
import glob
import gzip
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from features.config.sources import CsvFormat, EventSource, Location, UrlTable
from features.errors import UserError
from features.sources.events import engine_errors, open_table
from features.sources.files import describe_location
from flows.setup.column_synonyms import EVENT_TYPE, synonym_rank
from flows.setup.datetime_formats import TimeForm, form_of_numbers, form_of_text

_SAMPLE_ROWS = 100_000
_NUMERIC = 0.98  # share of the filled cells of a number column that must read as numbers
_COMMA = re.compile(r"-?(\d{1,3}(\.\d{3})+|\d+),\d+")
_POINT = re.compile(r"-?\d+\.\d+")
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
    """

    name: str
    kind: _Kind
    cells: pd.Series
    time: TimeForm | None = None
    types: tuple[str, ...] = ()

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


def profile_table(connection: Any, location: Location) -> ProfiledTable:
    """A table's form and columns, from its first `SAMPLE_ROWS` rows.

    Raises
    ------
    UserError
        Where it is missing, unreadable, empty, or has no header.
    """
    where = describe_location(location)
    form = CsvFormat() if isinstance(location, UrlTable) else _sniff_format(str(location))
    source = EventSource.model_validate(
        {
            "events": location,
            "columns": {"customer_id": "-", "occurred_at": {"column": "-"}},
            "event_type": "unknown",
            "csv": form,
        }
    )
    table = open_table(connection, location, source)
    with engine_errors(where):
        sample = table.limit(_SAMPLE_ROWS).to_pandas()
    if not len(sample):
        raise UserError(
            where, found="no rows", expected="a header line and at least one event", hint=""
        )
    _refuse_data_as_header(where, list(sample.columns))
    if len(sample.columns) == 1:
        raise UserError(
            where,
            found=f"one column only: {sample.columns[0]!r}",
            expected="columns for who (customer) and when (date or time), at least",
            hint="check the export; columns may be parted by comma, semicolon, tab or |",
        )
    if not isinstance(location, UrlTable) and _is_text(str(location)):
        form = form.model_copy(update={"decimal": _decimal(sample)})
    columns = {
        name: _column(name, table[name].type(), sample[name], form.decimal)
        for name in sample.columns
    }
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


def _is_text(location: str) -> bool:
    return location.lower().removesuffix(".gz").endswith((".csv", ".tsv", ".txt"))


def _sniff_format(location: str) -> CsvFormat:
    """Encoding and delimiter of a text file, from its beginning; defaults for other files."""
    names = [location] if Path(location).is_file() else sorted(glob.glob(location))
    if not _is_text(location) or not names or not Path(names[0]).is_file():
        return CsvFormat()
    opener: Any = gzip.open if names[0].lower().endswith(".gz") else open
    try:
        with opener(names[0], "rb") as file:
            head = file.read(1_000_000)
    except (OSError, EOFError) as error:
        raise UserError(
            Path(names[0]).name, found=type(error).__name__, expected="a readable file"
        ) from error
    encoding = _encoding(head)
    text = head.decode("utf-8-sig" if encoding == "utf-8" else encoding, errors="replace")
    return CsvFormat.model_validate({"encoding": encoding, "delimiter": _delimiter(text)})


def _encoding(head: bytes) -> str:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        # The last character may be cut in two.
        head[: len(head) - 4 if len(head) == 1_000_000 else None].decode("utf-8")
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _delimiter(text: str) -> str:
    """The sign that cuts the first lines into the most columns, alike in all lines."""
    lines = text.splitlines()[:200]
    if len(text) >= 900_000 or len(lines) == 200:
        lines = lines[:-1]
    best, found = 1, ","
    for sign in ",;\t|":
        widths = [len(row) for row in csv.reader(lines, delimiter=sign) if row]
        usual = max(set(widths), key=widths.count) if widths else 1
        steady = widths and widths.count(usual) >= 0.9 * len(widths) and widths[0] == usual
        if steady and usual > best:
            best, found = usual, sign
    return found


def _refuse_data_as_header(where: str, names: Iterable[str]) -> None:
    cells = pd.Series([str(name) for name in names])
    numbers = pd.to_numeric(cells.str.replace(",", "."), errors="coerce").notna()
    dates = cells.str.match(r"^\d{1,4}[-./]\d{1,2}[-./]\d{1,4}")
    if (numbers | dates).mean() >= 0.5:
        raise UserError(
            where,
            found=f"a first line that looks like data: {', '.join(cells[:6])}",
            expected="column names in the first line",
            hint="put a line of names above it",
        )


def _decimal(sample: pd.DataFrame) -> str:
    """The sign before decimals: the comma where more cells read so."""
    commas = points = 0
    for name in sample.columns:
        cells = sample[name].dropna().astype(str).str.strip().head(2_000)
        commas += int(cells.str.fullmatch(_COMMA).sum())
        points += int(cells.str.fullmatch(_POINT).sum())
    return "," if commas > points else "."


def _column(name: str, kind: Any, cells: pd.Series, decimal: str) -> ColumnProfile:
    if kind.is_boolean():
        return ColumnProfile(name, "flag", cells)
    if kind.is_date() or kind.is_timestamp():
        return ColumnProfile(name, "time", cells, _typed_time(kind, cells))
    if kind.is_numeric():
        numbers = pd.to_numeric(cells, errors="coerce")
        return ColumnProfile(name, "number", numbers, form_of_numbers(numbers.dropna()))
    if not kind.is_string():
        return ColumnProfile(name, "other", cells.astype(str))
    text = cells.astype("object").where(cells.notna(), None)
    stripped = pd.Series(text, dtype="str").str.strip()
    stripped = stripped.where(stripped != "")
    time = form_of_text(stripped.dropna())
    numbers = _as_numbers(stripped, decimal)
    if len(stripped.dropna()) and numbers.notna().sum() >= _NUMERIC * stripped.notna().sum():
        # Ids keep their leading zeros: how a number is written is not lost on the config.
        return ColumnProfile(name, "number", numbers, time)
    return ColumnProfile(name, "text", stripped, time)


def _as_numbers(text: pd.Series, decimal: str) -> pd.Series:
    """Numbers of text cells as `features.sources.column_parsing` reads them, null where they are
    none.
    """
    if decimal == ",":
        text = text.str.replace(".", "", regex=False).str.replace(",", ".", regex=False)
    return pd.to_numeric(text, errors="coerce")


def _typed_time(kind: Any, cells: pd.Series) -> TimeForm:
    if kind.is_date():
        return TimeForm({"as": "local_date"})
    if kind.timezone is not None:
        return TimeForm({})
    stamps = pd.to_datetime(cells.dropna())
    midnight = len(stamps) > 0 and bool((stamps == stamps.dt.normalize()).all())
    return TimeForm({"as": "local_date"}) if midnight else TimeForm({}, naive=True)
