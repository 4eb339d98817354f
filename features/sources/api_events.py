"""Raw events of a few customers from a request, in the contract's column names."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from features.config.config import Config, StagesFile
from features.config.sources import ColumnRef, Columns, EventSource, TimeColumn
from features.contracts import EVENT_COLUMNS
from features.errors import UserError

Row = Mapping[str, Any]
_REQUIRED = ("customer_id", "event_type", "occurred_at")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_PLACE = "events"
# Columns that a data set may lack; only mapped ones are read.
_OPTIONAL = ("value", "order_id", "session_id", "channel", "is_machine")


def parse_events(text: str) -> list[dict[str, Any]]:
    """Parse JSON lines, one JSON array, or CSV with a header; the format is detected.

    Raises
    ------
    UserError
        Naming the line, without repeating its content.
    """
    begins = text.lstrip("\ufeff \t\r\n")[:1]
    if begins == "[":
        return plain_events(_json(text, "the array"))
    if begins == "{":
        numbered_lines = (
            (number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()
        )
        return [
            _event(_json(line, f"line {number}"), f"line {number}")
            for number, line in numbered_lines
        ]
    return _csv_rows(text.removeprefix("\ufeff"))


def plain_events(items: Iterable[Any]) -> list[dict[str, Any]]:
    """Events of parsed JSON, each an object; nested ``attributes`` are flattened.

    Raises
    ------
    UserError
        Naming the item, without repeating its content.
    """
    return [_event(item, f"item {number}") for number, item in enumerate(items, 1)]


def _json(text: str, event_place: str) -> Any:
    try:
        return json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{_PLACE}: {event_place}",
            found=f"broken JSON ({str(error).split(':')[0]})",
            expected='one event a line: {"customer_id": ..., "event_type": ..., ...}',
        ) from error


def _event(event: Any, event_place: str) -> dict[str, Any]:
    """Return one JSON event with its nested ``attributes`` flattened."""
    if not isinstance(event, dict):
        raise UserError(
            f"{_PLACE}: {event_place}",
            found=_kind(event),
            expected="an object, one event",
        )
    nested = event.get("attributes") or {}
    if not isinstance(nested, dict):
        raise UserError(
            f"{_PLACE}: {event_place}: attributes",
            found=_kind(nested),
            expected="an object of names and values",
        )
    return {**{key: value for key, value in event.items() if key != "attributes"}, **nested}


def _csv_rows(text: str) -> list[dict[str, Any]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [column.strip() for column in next(reader, [])]
        numbered_rows = [(reader.line_num, cells) for cells in reader if cells]
    except csv.Error as error:
        raise UserError(
            f"{_PLACE}: line {reader.line_num}",
            found=f"broken CSV ({error})",
            expected="comma separated cells below a header line",
        ) from error
    if len(set(header)) < len(header):
        raise UserError(f"{_PLACE}: header", found="a column twice", expected="unique names")
    for number, cells in numbered_rows:
        if len(cells) != len(header):
            raise UserError(
                f"{_PLACE}: line {number}",
                found=f"{len(cells)} cells",
                expected=f"{len(header)} cells, as the header has",
            )
    return [dict(zip(header, cells, strict=True)) for _, cells in numbered_rows]


def write_events(rows: Iterable[Row], config: Config, path: Path) -> Config:
    """Write events as parquet, and return a config that reads them like a batch source.

    Parameters
    ----------
    rows
        Events: customer_id, event_type, occurred_at (ISO time with its offset, or a local date),
        and optionally known_at, value, order_id, session_id, channel, is_machine, event_id and the
        declared attributes. An empty text, null and a missing column mean the same.
    config
        Of the data set.
    path
        Parquet file to write.

    Returns
    -------
    Config
        The config with this file as its only source and no tolerated bad rows.

    Raises
    ------
    UserError
        For no events, an unknown column, a missing cell, a time without an offset, or a cell that
        is no text, number or boolean; it names the event without its content.
    """
    return write_checked(checked_events(rows, config), config, path)


def checked_events(rows: Iterable[Row], config: Config) -> list[dict[str, str]]:
    """Events with the columns that the data set can use, as texts; moments in UTC.

    Raises
    ------
    UserError
        As `write_events`.
    """
    checked = list(_checked(rows, config, set(readable_columns(config))))
    if not checked:
        raise UserError(_PLACE, found="no events", expected="all events of a customer, one a line")
    return checked


def write_checked(checked: Sequence[Mapping[str, str]], config: Config, path: Path) -> Config:
    """As `write_events`, of events from `checked_events`."""
    allowed = readable_columns(config)
    # As in the batch, a purchase without an amount is refused if the sources have amounts.
    used_columns = {column for event in checked for column in event} | {"value"} & set(allowed)
    # Parquet instead of CSV: every cell is read back unchanged.
    schema = pa.schema([(column, pa.string()) for column in allowed if column in used_columns])
    pq.write_table(pa.Table.from_pylist(list(checked), schema=schema), path)
    mapped_columns = {
        column: column for column in allowed if column in used_columns and column not in _OWN
    }
    columns = Columns.model_validate(
        {
            "occurred_at": TimeColumn(column="occurred_at"),
            "known_at": TimeColumn(column="known_at"),
            **mapped_columns,
        }
    )
    source = EventSource(
        events=str(path),
        columns=columns,
        event_type=ColumnRef(column="event_type"),
        event_id="event_id" if "event_id" in used_columns else None,
    )
    strict = config.quarantine.model_copy(update={"max_share": 0.0})
    return config.model_copy(
        # The snapshot itself cuts later days, so `data_through` must not.
        update={"sources": (source,), "quarantine": strict, "identities": None,
                "data_through": None}
    )  # fmt: skip


_OWN = ("event_type", "occurred_at", "known_at", "event_id")


def readable_columns(config: Config) -> list[str]:
    """Return the event columns that this data set can use."""
    mapped = {
        column
        for source in config.sources
        for column in _OPTIONAL
        if getattr(source.columns, column) is not None
    } - set(config.sensitive)
    mapped_optional = (optional for optional in _OPTIONAL if optional in mapped)
    return [*_REQUIRED, "known_at", "event_id", *mapped_optional, *config.attributes()]


def _checked(rows: Iterable[Row], config: Config, allowed: set[str]) -> Iterator[dict[str, str]]:
    # Columns that the batch never reads are accepted and ignored.
    unread_columns = (set(EVENT_COLUMNS) | set(config.sensitive)) - allowed - {"anonymous_id"}
    checked_keys: set[tuple[str, ...]] = set()  # events of one request mostly have the same
    for number, event in enumerate(rows, 1):
        keys = tuple(event)
        if keys not in checked_keys:
            _refuse_unknown(keys, number, allowed, unread_columns)
            checked_keys.add(keys)
        event_cells = {column: _cell(value, number, column) for column, value in event.items()}
        for column in _REQUIRED:
            if not event_cells.get(column):
                raise UserError(_place(number, column), found="nothing", expected="a value")
        for column in ("occurred_at", "known_at"):
            if event_cells.get(column):
                event_cells[column] = _instant(event_cells[column], config, number, column)
        if not event_cells.get("known_at"):
            event_cells["known_at"] = event_cells["occurred_at"]
        yield {
            column: cell_text
            for column, cell_text in event_cells.items()
            if cell_text and column in allowed
        }


def _place(number: int, column: str) -> str:
    return f"{_PLACE}: event {number}: {column}"


def _refuse_unknown(
    keys: tuple[str, ...], number: int, allowed: set[str], unread_columns: set[str]
) -> None:
    unknown_columns = sorted(str(column) for column in set(keys) - allowed - unread_columns)
    if unknown_columns:
        raise UserError(
            f"{_PLACE}: event {number}: column {unknown_columns[0]!r}",
            found="a column that this data set does not have",
            expected=f"of: {', '.join(sorted(allowed))}",
            hint=_hint(unknown_columns[0]),
        )


def _cell(value: Any, number: int, column: str) -> str:
    """A cell as text; the place of an error is only put together where there is one."""
    if type(value) is str:
        if value.isascii() and "\0" not in value:
            return value.strip()
        return _stored_text(value, _place(number, column))
    if type(value) is int or (type(value) is float and not value.is_integer() and value == value):
        return str(value)
    return _text(value, _place(number, column))


def _hint(column: str) -> str:
    if column == "anonymous_id":
        return (
            "give the visitor's events the customer_id they are linked to, and as known_at the "
            "later of their own moment and the link's"
        )
    return "leave the column out, or map it in a source of the config and run again"


def _stored_text(text: str, cell_place: str) -> str:
    """A text without outer spaces, if every store can hold it."""
    if "\0" in text or (not text.isascii() and not _encodes(text)):
        raise UserError(
            cell_place, found="signs that no text has", expected="a text without NUL, in Unicode"
        )
    return text.strip()


def _encodes(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # half of a pair of surrogates
        return False
    return True


def _text(value: Any, cell_place: str) -> str:
    value = value.item() if hasattr(value, "item") else value  # a frame's own numbers
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dt.datetime | dt.date):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, str | int | float):
        return _stored_text(str(value), cell_place)
    raise UserError(cell_place, found=_kind(value), expected="a text, a number, true or false")


def _kind(value: Any) -> str:
    """What a value of JSON is called there."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    default = "a number" if isinstance(value, int | float) else f"a {type(value).__name__}"
    return "null" if value is None else names.get(type(value), default)


def _instant(text: str, config: Config, number: int, column: str) -> str:
    """Convert to an ISO time in UTC; a date alone is a local date of the config's zone."""
    try:
        if _DATE.fullmatch(text):
            moment = dt.datetime.combine(dt.date.fromisoformat(text), dt.time(), config.zone)
        else:
            moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise UserError(
            _place(number, column),
            found="no readable time",
            expected="a time like 2024-05-01T14:30:00+02:00",
        ) from None
    if moment.tzinfo is None:
        raise UserError(
            _place(number, column),
            found="a time without its offset",
            expected="a time like 2024-05-01T14:30:00+02:00 (or ...Z), or a date alone",
            hint="write the offset that the clock had",
        )
    try:
        moment = moment.astimezone(dt.UTC)
    except OverflowError:
        raise UserError(
            _place(number, column), found="no usable time", expected="a time of our age"
        ) from None
    return f"{moment.replace(tzinfo=None).isoformat(' ', 'microseconds')}+00"


def feature_definition_hash(config: Config) -> str:
    """Return the hash of the config keys that define how events become features."""
    config_keys = {"timezone", "roles", "ignored_event_types", "sensitive", "refunds",
            "minor_units", "earliest", "activity_days", "windows", "stages"}  # fmt: skip
    content = config.model_dump(mode="json", by_alias=True, include=config_keys)
    content["periods"] = [config.transition.periods, config.transition.period_days]
    if isinstance(config.stages, StagesFile):
        content["taxonomy"] = Path(config.stages.file).read_text(encoding="utf-8")
        del content["stages"]["file"]
    content["columns"] = readable_columns(config)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
