"""Parse cells of a source table into instants, local dates, numbers and text; null on failure."""

from __future__ import annotations

import functools
import operator
from typing import Any

import ibis
import ibis.expr.datatypes as dt
from ibis.expr.types import Column, Table, Value

from features.calendar import offsets
from features.config.sources import EPOCH_UNITS, SPREADSHEET_DAYS, CsvFormat, TimeColumn
from features.sources.date_text import tidy_dates
from features.sources.files import require_column, wrong_type, zone_missing
from features.sources.key_columns import key_column
from features.sources.month_names import months_as_numbers, names_month, numbered_form
from features.sources.number_text import number_column

PLAIN_TIME = r"^\d{4}[-/]\d{1,2}[-/]\d{1,2}(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?$"
OFFSET_TIME = r":\d{2}(?:\.\d+)?\s*(?:[zZ]|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$"
_SPREADSHEET_START = 25_569  # days from a spreadsheet's day 0, 1899-12-30, to 1970-01-01
_LATEST_SECOND = 4_102_444_800  # 2100-01-01 in seconds since 1970; larger numbers are not times
_YES = ("true", "t", "1", "yes", "y")
PLAIN_DATE = r"^(\d{4}[-/.]\d{1,2}[-/.]\d{1,2})(?:[T ]\d.*)?$"


@ibis.udf.scalar.builtin(name="timezone")  # type: ignore[untyped-decorator, unused-ignore]
def _instant(zone: str, at: dt.timestamp) -> dt.Timestamp("UTC"):  # type: ignore[valid-type]
    """Instant of a wall-clock time in a zone."""


@ibis.udf.scalar.builtin(name="timezone")  # type: ignore[untyped-decorator, unused-ignore]
def _wall_clock(zone: str, at: dt.Timestamp("UTC")) -> dt.timestamp:  # type: ignore[valid-type]
    """Wall-clock time of an instant in a zone."""


@ibis.udf.scalar.builtin(name="try_strptime")  # type: ignore[untyped-decorator, unused-ignore]
def _parsed_time(text: str, form: str) -> dt.timestamp:
    """Wall-clock time of a text in a format; null if it does not match."""


@ibis.udf.scalar.builtin(name="try_strptime")  # type: ignore[untyped-decorator, unused-ignore]
def _parsed_instant(text: str, form: str) -> dt.Timestamp("UTC"):  # type: ignore[valid-type]
    """Instant of a text in a format with an offset; null if it does not match."""


@ibis.udf.scalar.builtin(name="epoch_us")  # type: ignore[untyped-decorator, unused-ignore]
def _us(at: dt.Timestamp("UTC")) -> dt.int64:  # type: ignore[valid-type]
    """Microseconds since 1970-01-01 UTC."""


@ibis.udf.scalar.builtin(name="epoch_us")  # type: ignore[untyped-decorator, unused-ignore]
def _plain_us(at: dt.timestamp) -> dt.int64:
    """Microseconds of a clock since its 1970-01-01."""


@ibis.udf.scalar.builtin(name="make_timestamp")  # type: ignore[untyped-decorator, unused-ignore]
def _clock(us: dt.int64) -> dt.timestamp:
    """Wall-clock time from microseconds."""


@ibis.udf.scalar.builtin(name="make_timestamptz")  # type: ignore[untyped-decorator, unused-ignore]
def _at(us: dt.int64) -> dt.Timestamp("UTC"):  # type: ignore[valid-type]
    """Instant from microseconds."""


def _instant_in(zone_name: str, wall_clock: Value) -> Value:
    """Return the instant of a wall-clock time; UTC skips the engine's slow calendar."""
    return _at(_plain_us(wall_clock)) if zone_name == "UTC" else _instant(zone_name, wall_clock)


def _wall_in(zone_name: str, column: Column) -> Value:
    """Return the wall-clock time of an instant, from the zone's few offsets in the data's span."""
    instants = column.name("at").as_table()["at"]
    data_span = instants.as_table().aggregate(first=_us(instants.min()), last=_us(instants.max()))
    first_moment, last_moment = data_span.to_pyarrow().to_pylist()[0].values()
    if first_moment is None:
        return _wall_clock(zone_name, column)
    (_, offset), *later_offsets = offsets(zone_name, first_moment, last_moment)
    microseconds, branches = _us(column), []
    for offset_start, next_offset in later_offsets:
        branches.append((microseconds < offset_start, ibis.literal(offset, "int64")))
        offset = next_offset
    shift = ibis.cases(*branches, else_=ibis.literal(offset, "int64")) if branches else offset
    return _clock(microseconds + shift)


def parse_moment(
    table: Table, spec: TimeColumn, zone_name: str, config_place: str
) -> tuple[Value, Value]:
    """Return instant (UTC) and wall-clock time in `zone_name` of a time column; null on failure."""
    column = require_column(table, spec.column, config_place)
    column_type = column.type()
    if spec.as_ == "local_date":
        wall_clock = parse_date(column, spec, config_place).cast("timestamp")
        return _instant_in(zone_name, wall_clock), wall_clock
    if spec.format in EPOCH_UNITS:
        instant = _epoch_instant(column, spec, config_place)
        return instant, _wall_clock(zone_name, instant)
    if spec.format == SPREADSHEET_DAYS:
        if spec.zone is None:
            raise zone_missing(config_place, spec.column)
        instant = _instant_in(spec.zone, _spreadsheet_clock(column, spec, config_place))
        return instant, _wall_clock(zone_name, instant)
    if column_type.is_timestamp() and column_type.timezone is not None:
        return column, _wall_in(zone_name, column)
    if column_type.is_timestamp():
        if spec.zone is None:
            raise zone_missing(config_place, spec.column)
        instant = _instant_in(spec.zone, column)
        if spec.zone == "UTC":
            return instant, _wall_in(zone_name, instant)
    elif column_type.is_string() or (column_type.is_integer() and spec.format is not None):
        instant = _text_instant(column, spec, config_place)
    else:
        raise wrong_type(config_place, spec.column, column_type, "a timestamp")
    return instant, _wall_clock(zone_name, instant)


def _text_instant(column: Column, spec: TimeColumn, config_place: str) -> Value:
    """Parse instants from text, by their own offset or else the declared zone."""
    text = column.cast("string").strip()
    if spec.format is not None:
        if spec.has_offset:
            return _parsed_instant(*_numbered(text, spec.format))
        if spec.zone is None:
            raise zone_missing(config_place, spec.column)
        return _instant(spec.zone, _written_time(text, spec.format))
    has_offset = text.re_search(OFFSET_TIME)
    wall_clock = text.re_search(PLAIN_TIME).ifelse(text.try_cast("timestamp"), None)
    if spec.zone is None and bool(wall_clock.notnull().sum().execute()):
        raise zone_missing(config_place, spec.column)
    uniform_offset = text.re_replace(r"\s*(?:[zZ]|UTC|GMT)$", "+00").re_replace(r"\s+([+-])", r"\1")
    # The engine requires seconds before an offset.
    with_seconds = uniform_offset.re_replace(r"^(\S+[T ]\d{1,2}:\d{2})([+-].*)$", r"\1:00\2")
    return has_offset.ifelse(
        with_seconds.try_cast(dt.Timestamp("UTC")), _instant(spec.zone or "UTC", wall_clock)
    )


def _written_time(text: Value, form: str) -> Value:
    """Return the wall-clock time of texts in a format, with month names of many languages."""
    return _parsed_time(*_numbered(text, form))


def _numbered(text: Value, form: str) -> tuple[Value, str]:
    """Return texts without weekdays and with months as numbers, and their format."""
    text = tidy_dates(text)
    return (months_as_numbers(text), numbered_form(form)) if names_month(form) else (text, form)


def _spreadsheet_clock(column: Column, spec: TimeColumn, config_place: str) -> Value:
    """Convert a spreadsheet's days to wall-clock times, to the second; null on failure."""
    column_type = column.type()
    if not column_type.is_string() and not column_type.is_numeric():
        raise wrong_type(config_place, spec.column, column_type, "a spreadsheet's number of days")
    number = column.cast("string").strip().replace(",", ".").try_cast("float64")
    last_day = _SPREADSHEET_START + _LATEST_SECOND / 86_400
    days = ((number >= 1) & (number <= last_day)).ifelse(number, ibis.null("float64"))
    seconds = ((days - _SPREADSHEET_START) * 86_400).round().cast("int64")
    return _clock(seconds * 1_000_000)


def _epoch_instant(column: Column, spec: TimeColumn, config_place: str) -> Value:
    """Convert numbers that count from 1970-01-01 UTC to instants."""
    column_type = column.type()
    if not column_type.is_string() and not column_type.is_numeric():
        raise wrong_type(config_place, spec.column, column_type, f"{spec.format} since 1970-01-01")
    units_per_second = EPOCH_UNITS[str(spec.format)]
    number_text = column.cast("string").strip()
    number = number_text.try_cast("float64")
    number_text = ((number >= 0) & (number <= _LATEST_SECOND * units_per_second)).ifelse(
        number_text, ibis.null("string")
    )
    # Integer arithmetic for whole numbers: a float would round microseconds.
    whole_number, factor = number_text.try_cast("int64"), 1_000_000 // units_per_second
    whole_microseconds = whole_number * factor if factor else whole_number // 1_000
    fractional_microseconds = (
        (number_text.try_cast("float64") * (1_000_000 / units_per_second)).round().cast("int64")
    )
    is_whole = number_text.re_search(r"^\d+$")
    return _at(is_whole.ifelse(whole_microseconds, fractional_microseconds))


def parse_date(column: Column, spec: TimeColumn, config_place: str) -> Value:
    """Parse calendar dates from dates, timestamps, numbers like 20170131 or text."""
    column_type = column.type()
    if spec.format == SPREADSHEET_DAYS:
        return _spreadsheet_clock(column, spec, config_place).cast("date")
    if column_type.is_date() or (column_type.is_timestamp() and column_type.timezone is None):
        return column.cast("date")
    if not column_type.is_string() and not column_type.is_integer():
        raise wrong_type(config_place, spec.column, column_type, "a local date")
    date_text = column.cast("string").strip()
    if spec.format is not None:
        return _written_time(date_text, spec.format).cast("date")
    is_compact = date_text.re_search(r"^\d{8}$")
    dashed = date_text.substr(0, 4) + "-" + date_text.substr(4, 2) + "-" + date_text.substr(6, 2)
    separated = date_text.re_extract(PLAIN_DATE, 1).re_replace("[/.]", "-")
    return is_compact.ifelse(dashed, separated).try_cast("date")


def parse_number(table: Table, column_name: str, csv_format: CsvFormat, config_place: str) -> Value:
    """Parse numbers of a column (float64); null on failure."""
    column = require_column(table, column_name, config_place)
    column_type = column.type()
    if column_type.is_string():
        return number_column(column, csv_format.decimal_of(column_name))
    if not column_type.is_numeric():
        raise wrong_type(config_place, column_name, column_type, "a number")
    return column.cast("float64")


def parse_flag(column: Column) -> Value:
    """Return True where a cell is true, t, 1, yes or y in any case; False otherwise."""
    if column.type().is_boolean():
        return column.fill_null(False)
    cell_text = key_column(column).lower()
    # Chained comparisons: the engine turns a list of values into a slower join.
    says_yes: Any = functools.reduce(operator.or_, (cell_text == word for word in _YES))
    return says_yes.fill_null(False)


def raw_text(table: Table, column_name: str | None) -> Value:
    """Return cells as written in the file, for the quarantine; null if the column is typed."""
    if column_name is None or not table[column_name].type().is_string():
        return ibis.null("string")
    return table[column_name]
