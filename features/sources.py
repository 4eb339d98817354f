"""Source tables -> standard events: read, map, check each row, set bad rows aside with a reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ibis
import ibis.expr.datatypes as dt
from ibis.expr.types import Column, Table, Value

from features import datasets
from features.config import (
    ColumnRef,
    Config,
    DatasetTable,
    EventSource,
    Location,
    TimeColumn,
    UrlTable,
)
from features.errors import UserError
from features.timeline import day_date, day_number

# Largest amount in minor units that a sum over a long history cannot overflow int64 with.
LARGEST_MINOR = 10**14
HAS_OFFSET = r"(?:[zZ]|[+-]\d{2}(?::?\d{2})?)$"


@ibis.udf.scalar.builtin(name="timezone")
def _instant(zone: str, at: dt.timestamp) -> dt.Timestamp("UTC"):  # type: ignore[valid-type]
    """Instant of a wall-clock time in a zone."""


@ibis.udf.scalar.builtin(name="timezone")
def _wall_clock(zone: str, at: dt.Timestamp("UTC")) -> dt.timestamp:  # type: ignore[valid-type]
    """Wall-clock time of an instant in a zone."""


@dataclass(frozen=True)
class ReadReport:
    """What happened to the rows of one source.

    Attributes
    ----------
    source
        The table's name as the config gives it.
    rows
        Rows read.
    quarantined
        Rows set aside, by reason.
    ignored
        Rows left out on purpose (machine events, ignored event types, not yet known), by reason.
    """

    source: str
    rows: int
    quarantined: dict[str, int] = field(default_factory=dict)
    ignored: dict[str, int] = field(default_factory=dict)

    @property
    def bad(self) -> int:
        """Rows set aside."""
        return sum(self.quarantined.values())


def connect(temporary: Path | None = None) -> Any:
    """An embedded DuckDB that spills to `temporary` where memory runs short."""
    connection = ibis.duckdb.connect()
    if temporary is not None:
        temporary.mkdir(parents=True, exist_ok=True)
        connection.raw_sql("SET temp_directory = $folder", parameters={"folder": str(temporary)})
    return connection


def describe(location: Location) -> str:
    """Name of a table for messages; a URL's user, password and query stay out of it."""
    if isinstance(location, DatasetTable):
        return f"{location.dataset}.{location.table}"
    if isinstance(location, UrlTable):
        return f"{location.url.split('://', maxsplit=1)[0]}://... table {location.table}"
    return Path(location).name


def open_table(connection: Any, location: Location, source: EventSource) -> Table:
    """The table at a location, lazily where the format allows.

    Raises
    ------
    UserError
        Where the file is missing, unreadable or of an unknown kind.
    """
    if isinstance(location, DatasetTable):
        arrow = datasets.table(location.dataset, location.table)
        name = f"{location.dataset}_{location.table}"
        return connection.create_table(name, arrow, temp=True, overwrite=True)
    if isinstance(location, UrlTable):
        return _url_table(connection, location)
    return _file_table(connection, Path(location), source)


def _url_table(connection: Any, location: UrlTable) -> Table:
    try:
        remote = ibis.connect(location.url)
        return connection.create_table(
            f"remote_{abs(hash((location.url, location.table)))}",
            remote.table(location.table).to_pyarrow(),
            temp=True,
            overwrite=True,
        )
    except Exception as error:
        raise UserError(
            describe(location),
            found=f"{type(error).__name__}",
            expected="a reachable database and an existing table",
            mend="check the URL, the table name, and that the driver is installed",
        ) from error


def _file_table(connection: Any, path: Path, source: EventSource) -> Table:
    matches = sorted(path.parent.glob(path.name)) if path.parent.is_dir() else []
    if not matches:
        raise UserError(
            f"sources: {path}",
            found="no such file",
            expected="a csv, parquet or json lines file (or a glob of them)",
            mend="check the path; relative paths start at the config's folder",
        )
    names = [str(match) for match in matches]
    suffix = path.name.lower().removesuffix(".gz").rsplit(".", 1)[-1]
    readers: dict[str, Callable[[], Table]] = {
        "csv": lambda: _read_csv(connection, names, source),
        "tsv": lambda: _read_csv(connection, names, source),
        "txt": lambda: _read_csv(connection, names, source),
        "parquet": lambda: connection.read_parquet(names),
        "json": lambda: connection.read_json(names),
        "jsonl": lambda: connection.read_json(names, format="newline_delimited"),
        "ndjson": lambda: connection.read_json(names, format="newline_delimited"),
    }
    if suffix not in readers:
        raise UserError(
            f"sources: {path.name}",
            found=f"a file ending in .{suffix}",
            expected=", ".join(sorted(readers)),
            mend="convert the file, or name it after what it holds",
        )
    try:
        return readers[suffix]()
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"sources: {path.name}",
            found=str(error).splitlines()[0][:300],
            expected=f"a readable {suffix} file",
            mend="check the file's encoding and delimiter (`csv:` block of the source)",
        ) from error


def _read_csv(connection: Any, names: list[str], source: EventSource) -> Table:
    # Everything as text: a guessed type would hide or drop the rows that must be quarantined.
    form = source.csv
    return connection.read_csv(
        names,
        all_varchar=True,
        header=True,
        delim="\t" if names[0].lower().endswith(".tsv") else form.delimiter,
        encoding=form.encoding,
        nullstr="",
    )


def joined(connection: Any, source: EventSource) -> Table:
    """A source's rows with the columns of its lookups.

    Raises
    ------
    UserError
        Where the shared column is missing, or a lookup has it twice (rows would multiply).
    """
    table = open_table(connection, source.events, source)
    for lookup in source.lookups:
        right = open_table(connection, lookup.table, source)
        where = f"lookup {describe(lookup.table)}"
        for side, columns in (("the source", table.columns), ("the lookup", right.columns)):
            if lookup.key not in columns:
                raise UserError(
                    where,
                    found=f"no column {lookup.key!r} in {side}",
                    expected=f"one of: {', '.join(columns)}",
                )
        if right.count().execute() != right[lookup.key].nunique().execute():
            raise UserError(
                where, found=f"{lookup.key!r} more than once", expected="one row for every key"
            )
        fresh = [c for c in right.columns if c == lookup.key or c not in table.columns]
        table = table.left_join(right.select(fresh), lookup.key).drop(f"{lookup.key}_right")
    return table


def _require(table: Table, column: str, where: str) -> Column:
    if column not in table.columns:
        raise UserError(
            where,
            found=f"no column {column!r}",
            expected=f"one of: {', '.join(table.columns)}",
            mend="correct the column name in the config",
        )
    return table[column]


def _moment(table: Table, spec: TimeColumn, zone: str, where: str) -> tuple[Value, Value]:
    """Instant (UTC) and wall-clock time in `zone` of a time column, null where unreadable."""
    column = _require(table, spec.column, where)
    kind = column.type()
    if spec.as_ == "local_date":
        if kind.is_timestamp() or kind.is_date():
            wall = column.date().cast("timestamp") if kind.is_timestamp() else column.cast(
                "timestamp"
            )
        elif kind.is_string():
            wall = _text_date(column).cast("timestamp")
        else:
            raise _wrong_type(where, spec.column, kind, "a date")
        return _instant(zone, wall), wall
    if kind.is_timestamp() and kind.timezone is not None:
        return column, _wall_clock(zone, column)
    if kind.is_timestamp():
        if spec.zone is None:
            raise _no_zone(where, spec.column)
        instant = _instant(spec.zone, column)
    elif kind.is_string():
        text = column.strip()
        explicit = text.re_search(HAS_OFFSET) & (text.length() > 10)
        if spec.zone is None and bool((~explicit & (text.length() > 0)).any().execute()):
            raise _no_zone(where, spec.column)
        naive = text.try_cast("timestamp")
        instant = explicit.ifelse(
            text.try_cast(dt.Timestamp("UTC")), _instant(spec.zone or "UTC", naive)
        )
    else:
        raise _wrong_type(where, spec.column, kind, "a timestamp")
    return instant, _wall_clock(zone, instant)


def _text_date(column: Column) -> Value:
    text = column.strip()
    compact = text.re_search(r"^\d{8}$")
    dashed = text.substr(0, 4) + "-" + text.substr(4, 2) + "-" + text.substr(6, 2)
    return compact.ifelse(dashed, text.substr(0, 10).replace("/", "-")).try_cast("date")


def _no_zone(where: str, column: str) -> UserError:
    return UserError(
        where,
        found=f"instants without a zone in column {column!r}",
        expected="a zone for naive times, or offsets in the data",
        mend=f"write {{column: {column}, zone: UTC}} (or the zone the clock was in), or "
        f"{{column: {column}, as: local_date}} where it is a calendar date",
    )


def _wrong_type(where: str, column: str, kind: object, expected: str) -> UserError:
    return UserError(
        where, found=f"column {column!r} of type {kind}", expected=expected,
        mend="map another column, or convert this one",
    )


def _amount(table: Table, name: str, source: EventSource, where: str) -> Value:
    column = _require(table, name, where)
    kind = column.type()
    if kind.is_string():
        text = column.strip()
        if source.csv.decimal == ",":
            text = text.replace(".", "").replace(",", ".")
        return text.try_cast("float64")
    if not kind.is_numeric():
        raise _wrong_type(where, name, kind, "a number")
    return column.cast("float64")


def _text(column: Column) -> Value:
    return column.cast("string").strip().nullif("")


def standardise(table: Table, source: EventSource, config: Config) -> Table:
    """Standard event columns of a source's rows, unreadable cells null, nothing dropped yet.

    Returns
    -------
    Table
        customer_id, event_type, at (instant), day, known_day (local day numbers), amount
        (major units), order_id, is_machine, event_key (declared event id) and the attributes.
    """
    columns, where = source.columns, f"sources: {describe(source.events)}: columns"
    instant, wall = _moment(table, columns.occurred_at, config.timezone, f"{where}.occurred_at")
    known = wall
    if columns.known_at is not None:
        known = _moment(table, columns.known_at, config.timezone, f"{where}.known_at")[1]
    none = ibis.null("string")
    if isinstance(source.event_type, ColumnRef):
        event_type = _text(_require(table, source.event_type.column, f"{where}.event_type"))
    else:
        event_type = ibis.literal(source.event_type)
    amount: Value = ibis.null("float64")
    filled: Value = ibis.literal(False)
    if columns.value is not None:
        amount = _amount(table, columns.value, source, f"{where}.value")
        filled = table[columns.value].notnull()
    machine: Value = ibis.literal(False)
    if columns.is_machine is not None:
        flag = _text(_require(table, columns.is_machine, f"{where}.is_machine")).lower()
        machine = flag.isin(["true", "t", "1", "yes", "y"]).fill_null(False)

    def optional(name: str | None, key: str) -> Value:
        return none if name is None else _text(_require(table, name, f"{where}.{key}"))

    kept = [a for a in columns.attributes if a not in config.sensitive]
    attributes = {a: optional(columns.attributes[a], a) for a in kept}
    if columns.channel is not None:
        attributes["channel"] = optional(columns.channel, "channel")
    return table.select(
        customer_id=_text(_require(table, columns.customer_id, f"{where}.customer_id")),
        event_type=event_type,
        at=instant,
        day=wall.date().epoch_days().cast("int32"),
        known_day=ibis.greatest(wall, known).date().epoch_days().cast("int32"),
        known_missing=known.isnull(),
        amount=amount,
        amount_given=filled,
        order_id=optional(columns.order_id, "order_id"),
        is_machine=machine,
        event_key=optional(source.event_id, "event_id"),
        **attributes,
    )


def _reason(events: Table, source: EventSource, config: Config, latest: int) -> Value:
    """Why a row cannot be used, null where it can; the first reason that holds is given."""
    money = [
        t for role in ("purchase", "refund") for t in config.role_types().get(role, ())
    ]
    last = min(latest, day_number(config.data_through)) if config.data_through else latest
    e, scale = events, 10**config.minor_units
    finite = e.amount.isnull() | ~(e.amount.isnan() | e.amount.isinf())
    cases: list[tuple[Any, str]] = [
        (e.customer_id.isnull(), "customer_id is empty"),
        (e.event_type.isnull(), "event_type is empty"),
        (e.day.isnull(), "occurred_at is not a readable date or time"),
        (e.known_missing, "known_at is not a readable date or time"),
        (e.day < day_number(config.earliest), f"occurred_at before {config.earliest}"),
        (e.day > last, f"occurred_at after {day_date(last)}"),
        (~finite, "amount is not finite"),
        (e.amount_given & e.amount.isnull(), "amount is not a number"),
        ((e.amount.abs() * scale) > LARGEST_MINOR, "amount is out of range"),
    ]
    if source.columns.value is not None:
        cases.append((e.event_type.isin(money) & e.amount.isnull(), "purchase without an amount"))
    if source.event_id is not None:
        cases += [
            (e.event_key.isnull(), "event_id is empty"),
            (e.copy > 0, "duplicate event_id"),
        ]
    return ibis.cases(*cases, else_=ibis.null("string"))


def read_source(
    connection: Any, number: int, config: Config, *, latest: int, quarantine: Path
) -> tuple[Table, ReadReport]:
    """One source as checked standard events, stored in the connection.

    Parameters
    ----------
    connection
        From `connect`.
    number
        Position of the source in the config.
    config
        The data set.
    latest
        Day number after which no event can be genuine (the day the run was started).
    quarantine
        Folder for the rows set aside: ``source_<number>.parquet`` with their reasons.

    Returns
    -------
    Table
        customer_id, event_type, at, day, known_day, value (integer minor units, null where no
        amount), order_id, and the attributes; one row an event line.
    ReadReport
        The counts.

    Raises
    ------
    UserError
        For a missing file or column, a wrong type, an empty table, unknown event types, and
        where the share of bad rows exceeds ``quarantine.max_share``.
    """
    source = config.sources[number]
    name = describe(source.events)
    raw = standardise(joined(connection, source), source, config)
    if source.event_id is not None:
        order = [raw.day, raw.customer_id, raw.amount]
        raw = raw.mutate(
            copy=ibis.row_number().over(ibis.window(group_by=raw.event_key, order_by=order))
        )
    raw = raw.mutate(reason=_reason(raw, source, config, latest))
    staged = _stored(connection, f"staged_{number}", raw, name)
    rows = int(staged.count().execute())
    if rows == 0:
        raise UserError(
            f"sources: {name}", found="an empty table", expected="at least one event",
            mend="check the export that writes it",
        )
    report = _report(staged, config, name, rows)
    if report.bad:
        quarantine.mkdir(parents=True, exist_ok=True)
        staged.filter(staged.reason.notnull()).to_parquet(quarantine / f"source_{number}.parquet")
    _refuse_if_too_bad(report, config, quarantine)
    _refuse_unknown_types(staged, config, name)
    good = staged.filter(
        staged.reason.isnull()
        & ~staged.is_machine
        & staged.event_type.notin([*config.ignored_event_types, ""])
    )
    minor = (good.amount * 10**config.minor_units).round().cast("int64")
    return good.mutate(value=minor).drop(
        *({"amount", "amount_given", "is_machine", "event_key", "known_missing", "reason", "copy"}
          & set(good.columns))
    ), report


def _stored(connection: Any, table: str, expression: Table, name: str) -> Table:
    try:
        return connection.create_table(table, expression, temp=True, overwrite=True)
    except UserError:
        raise
    except Exception as error:
        raise UserError(
            f"sources: {name}",
            found=str(error).splitlines()[0][:300],
            expected="rows that can be read with the declared columns and types",
            mend="check the file for broken lines, wrong quoting or a wrong encoding",
        ) from error


def _report(staged: Table, config: Config, name: str, rows: int) -> ReadReport:
    reasons = staged.filter(staged.reason.notnull()).reason.value_counts(name="n").execute()
    machine = int((staged.is_machine & staged.reason.isnull()).sum().execute() or 0)
    skipped = int(staged.event_type.isin([*config.ignored_event_types, ""]).sum().execute() or 0)
    ignored = {"machine event": machine, "ignored event type": skipped}
    return ReadReport(
        source=name,
        rows=rows,
        quarantined={str(r): int(n) for r, n in zip(reasons.reason, reasons.n, strict=True)},
        ignored={reason: n for reason, n in ignored.items() if n},
    )


def _refuse_if_too_bad(report: ReadReport, config: Config, quarantine: Path) -> None:
    if report.bad <= config.quarantine.max_share * report.rows:
        return
    listed = "; ".join(
        f"{reason}: {n}" for reason, n in sorted(report.quarantined.items(), key=lambda r: -r[1])
    )
    raise UserError(
        f"sources: {report.source}",
        found=f"{report.bad} bad rows of {report.rows} ({listed})",
        expected=f"at most {config.quarantine.max_share:.1%} bad rows (quarantine.max_share)",
        mend=f"look at them in {quarantine}, mend the export or the config's columns",
    )


def _refuse_unknown_types(staged: Table, config: Config, name: str) -> None:
    known = {t for types in config.role_types().values() for t in types}
    known |= set(config.ignored_event_types)
    there = staged.filter(staged.reason.isnull()).event_type.value_counts(name="n").execute()
    unknown = sorted(set(there.event_type) - known)
    if unknown:
        raise UserError(
            f"sources: {name}: event_type",
            found=f"unknown event types: {', '.join(map(repr, unknown[:10]))}",
            expected=f"types that `roles` maps, or: {', '.join(sorted(known))}",
            mend="map them under `roles`, or list them under `ignored_event_types`",
        )
