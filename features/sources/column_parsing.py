"""Cells of a source table -> instants, local dates, numbers and text; unreadable ones are null."""

from __future__ import annotations

import functools
import operator
from typing import Any

import ibis
import ibis.expr.datatypes as dt
from ibis.expr.types import Column, Table, Value

from features.calendar import offsets
from features.config.sources import EPOCH_UNITS, CsvFormat, TimeColumn
from features.sources.files import no_zone, require, wrong_type
from features.sources.keys import key_column

PLAIN_TIME = r"^\d{4}[-/]\d{1,2}[-/]\d{1,2}(?:[T ]\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?$"
OFFSET_TIME = r":\d{2}(?:\.\d+)?\s*(?:[zZ]|UTC|GMT|[+-]\d{2}(?::?\d{2})?)$"
FURTHEST = 4_102_444_800  # 2100-01-01 in seconds; numbers beyond it are no moments
YES = ("true", "t", "1", "yes", "y")
PLAIN_DATE = r"^(\d{4}[-/.]\d{1,2}[-/.]\d{1,2})(?:[T ]\d.*)?$"


@ibis.udf.scalar.builtin(name="timezone")  # type: ignore[untyped-decorator, unused-ignore]
def _instant(zone: str, at: dt.timestamp) -> dt.Timestamp("UTC"):  # type: ignore[valid-type]
    """Instant of a wall-clock time in a zone."""


@ibis.udf.scalar.builtin(name="timezone")  # type: ignore[untyped-decorator, unused-ignore]
def _wall_clock(zone: str, at: dt.Timestamp("UTC")) -> dt.timestamp:  # type: ignore[valid-type]
    """Wall-clock time of an instant in a zone."""


@ibis.udf.scalar.builtin(name="try_strptime")  # type: ignore[untyped-decorator, unused-ignore]
def _written(text: str, form: str) -> dt.timestamp:
    """Wall-clock time of a text written in a format, null where it is not."""


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


def _instant_in(zone: str, wall: Value) -> Value:
    """Instant of a wall-clock time; the engine's calendar is slow, and UTC needs none."""
    return _at(_plain_us(wall)) if zone == "UTC" else _instant(zone, wall)


def _wall_in(zone: str, column: Column) -> Value:
    """Wall-clock time of a stored instant: by the zone's few offsets in the span of the data."""
    moments = column.name("at").as_table()["at"]
    ends = moments.as_table().aggregate(first=_us(moments.min()), last=_us(moments.max()))
    first, last = ends.to_pyarrow().to_pylist()[0].values()
    if first is None:
        return _wall_clock(zone, column)
    (_, offset), *later = offsets(zone, first, last)
    us, cases = _us(column), []
    for start, after in later:
        cases.append((us < start, ibis.literal(offset, "int64")))
        offset = after
    shift = ibis.cases(*cases, else_=ibis.literal(offset, "int64")) if cases else offset
    return _clock(us + shift)


def as_moment(table: Table, spec: TimeColumn, zone: str, where: str) -> tuple[Value, Value]:
    """Instant (UTC) and wall-clock time in `zone` of a time column, null where unreadable."""
    column = require(table, spec.column, where)
    kind = column.type()
    if spec.as_ == "local_date":
        wall = as_date(column, spec, where).cast("timestamp")
        return _instant_in(zone, wall), wall
    if spec.format in EPOCH_UNITS:
        instant = _counted(column, spec, where)
        return instant, _wall_clock(zone, instant)
    if kind.is_timestamp() and kind.timezone is not None:
        return column, _wall_in(zone, column)
    if kind.is_timestamp():
        if spec.zone is None:
            raise no_zone(where, spec.column)
        instant = _instant_in(spec.zone, column)
        if spec.zone == "UTC":
            return instant, _wall_in(zone, instant)
    elif kind.is_string():
        instant = _text_instant(column, spec, where)
    else:
        raise wrong_type(where, spec.column, kind, "a timestamp")
    return instant, _wall_clock(zone, instant)


def _text_instant(column: Column, spec: TimeColumn, where: str) -> Value:
    """Instants from text: by their own offset, else by the declared zone."""
    text = column.strip()
    if spec.format is not None:
        if spec.zone is None:
            raise no_zone(where, spec.column)
        return _instant(spec.zone, _written(text, spec.format))
    explicit = text.re_search(OFFSET_TIME)
    naive = text.re_search(PLAIN_TIME).ifelse(text.try_cast("timestamp"), None)
    if spec.zone is None and bool(naive.notnull().sum().execute()):
        raise no_zone(where, spec.column)
    offset = text.re_replace(r"\s*(?:[zZ]|UTC|GMT)$", "+00").re_replace(r"\s+([+-])", r"\1")
    # The engine wants seconds before an offset.
    whole = offset.re_replace(r"^(\S+[T ]\d{1,2}:\d{2})([+-].*)$", r"\1:00\2")
    return explicit.ifelse(whole.try_cast(dt.Timestamp("UTC")), _instant(spec.zone or "UTC", naive))


def _counted(column: Column, spec: TimeColumn, where: str) -> Value:
    """Instants from numbers that count from 1970-01-01 UTC."""
    kind = column.type()
    if not kind.is_string() and not kind.is_numeric():
        raise wrong_type(where, spec.column, kind, f"{spec.format} since 1970-01-01")
    unit = EPOCH_UNITS[str(spec.format)]
    text = column.cast("string").strip()
    number = text.try_cast("float64")
    text = ((number >= 0) & (number <= FURTHEST * unit)).ifelse(text, ibis.null("string"))
    # Whole numbers stay whole: a float would round microseconds.
    whole = text.try_cast("int64") * (1_000_000 // unit)
    broken = (text.try_cast("float64") * (1_000_000 // unit)).round().cast("int64")
    exact = text.re_search(r"^\d+$")
    return _at(exact.ifelse(whole, broken))


def as_date(column: Column, spec: TimeColumn, where: str) -> Value:
    """Calendar dates from a date, a timestamp, a number like 20170131 or text."""
    kind = column.type()
    if kind.is_date() or (kind.is_timestamp() and kind.timezone is None):
        return column.cast("date")
    if not kind.is_string() and not kind.is_integer():
        raise wrong_type(where, spec.column, kind, "a local date")
    text = column.cast("string").strip()
    if spec.format is not None:
        return _written(text, spec.format).cast("date")
    compact = text.re_search(r"^\d{8}$")
    dashed = text.substr(0, 4) + "-" + text.substr(4, 2) + "-" + text.substr(6, 2)
    plain = text.re_extract(PLAIN_DATE, 1).re_replace("[/.]", "-")
    return compact.ifelse(dashed, plain).try_cast("date")


def as_number(table: Table, name: str, form: CsvFormat, where: str) -> Value:
    """Numbers of a column (float64), null where unreadable."""
    column = require(table, name, where)
    kind = column.type()
    if kind.is_string():
        text = column.strip()
        if form.decimal == ",":
            text = text.replace(".", "").replace(",", ".")
        return text.try_cast("float64")
    if not kind.is_numeric():
        raise wrong_type(where, name, kind, "a number")
    return column.cast("float64")


def as_flag(column: Column) -> Value:
    """Whether a cell says yes: true, t, 1, yes or y in any case; all else and empty is no."""
    if column.type().is_boolean():
        return column.fill_null(False)
    text = key_column(column).lower()
    # Written out: the engine turns a list of values into a join, which takes longer.
    said: Any = functools.reduce(operator.or_, (text == word for word in YES))
    return said.fill_null(False)


def as_found(table: Table, name: str | None) -> Value:
    """A cell as its file has it, for the quarantine; null where the column is typed."""
    if name is None or not table[name].type().is_string():
        return ibis.null("string")
    return table[name]
