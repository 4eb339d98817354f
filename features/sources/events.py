"""Source tables -> standard events: read, map, check each row, set bad rows aside with a reason."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import ibis
from ibis.expr.types import Table, Value

from features import datasets
from features.calendar import day_date, day_number
from features.config.config import Config
from features.config.sources import (
    ColumnRef,
    DatasetTable,
    EventSource,
    Formatted,
    Location,
    UrlTable,
)
from features.errors import UserError
from features.sources.column_parsing import as_flag, as_found, as_moment, as_number, as_text
from features.sources.duckdb_connection import connect as connect
from features.sources.erased_rows import without
from features.sources.erasure_list import NOBODY, Erased
from features.sources.files import describe, read_file, require, unreadable
from features.sources.identity_resolution import (
    UNLINKED,
    link_events,
    link_rows,
    linked,
    refuse_chains,
    spans,
)
from features.sources.quarantine import (
    NO_CUSTOMER,
    ReadReport,
    counted,
    refuse_if_too_bad,
    refuse_unknown_types,
)
from features.sources.remote_tables import copied

# Largest amount in minor units that a sum over a long history cannot overflow int64 with.
LARGEST_MINOR = 10**14
# Declared attributes stand behind this in standard events, so that no name can collide.
ATTRIBUTE = "attribute."


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turns the engine's complaints about a table into the one message for its owner."""
    try:
        yield
    except duckdb.Error as error:
        raise unreadable(name, error) from error


def open_table(
    connection: Any,
    location: Location,
    source: Formatted,
    columns: Collection[str] | None = None,
) -> Table:
    """The table at a location, lazily where the format allows.

    Of a table of a database only some columns are asked for, where they are given.

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
        return copied(connection, location, columns)
    return read_file(connection, location, source.csv)


def joined(connection: Any, source: EventSource, rows: Table | None = None) -> Table:
    """A source's rows (default: all there are) with the columns of its lookups.

    Raises
    ------
    UserError
        Where the shared column is missing, or a lookup has it twice (rows would multiply).
    """
    table = rows
    if table is None:
        table = open_table(connection, source.events, source, source.mapped())
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
        if table[lookup.key].type() != right[lookup.key].type():
            table = table.mutate(**{lookup.key: as_text(table[lookup.key])})
            right = right.mutate(**{lookup.key: as_text(right[lookup.key])})
        right = right.filter(right[lookup.key].notnull())
        with reading(describe(lookup.table)):
            once = right.count().execute() == right[lookup.key].nunique().execute()
        if not once:
            raise UserError(
                where, found=f"{lookup.key!r} more than once", expected="one row for every key"
            )
        fresh = [c for c in right.columns if c == lookup.key or c not in table.columns]
        table = table.left_join(right.select(fresh), lookup.key).drop(f"{lookup.key}_right")
    return table


def standardise(table: Table, source: EventSource, config: Config) -> Table:
    """Standard event columns of a source's rows, unreadable cells null, nothing dropped yet.

    Returns
    -------
    Table
        customer_id, event_type, at (instant), day, known_day (local day numbers), amount
        (major units), order_id, session_id, is_machine, event_key (declared event id),
        anonymous_id, the attributes behind `ATTRIBUTE`, and the text of cells that had to be read
        (``*_text``).
    """
    columns, where = source.columns, f"sources: {describe(source.events)}: columns"
    instant, wall = as_moment(table, columns.occurred_at, config.timezone, f"{where}.occurred_at")
    known = wall
    if columns.known_at is not None:
        known = as_moment(table, columns.known_at, config.timezone, f"{where}.known_at")[1]
    none = ibis.null("string")
    if isinstance(source.event_type, ColumnRef):
        event_type = as_text(require(table, source.event_type.column, f"{where}.event_type"))
    else:
        event_type = ibis.literal(source.event_type)
    amount: Value = ibis.null("float64")
    filled: Value = ibis.literal(False)
    if columns.value is not None:
        amount = as_number(table, columns.value, source.csv, f"{where}.value")
        filled = table[columns.value].notnull()
        if columns.value_times is not None:
            amount *= as_number(table, columns.value_times, source.csv, f"{where}.value_times")
    machine: Value = ibis.literal(False)
    if columns.is_machine is not None:
        machine = as_flag(require(table, columns.is_machine, f"{where}.is_machine"))

    def optional(name: str | None, key: str) -> Value:
        return none if name is None else as_text(require(table, name, f"{where}.{key}"))

    kept = [a for a in columns.attributes if a not in config.sensitive]
    named = {a: columns.attributes[a] for a in kept}
    if columns.channel is not None and "channel" not in config.sensitive:
        named["channel"] = columns.channel
    attributes = {f"{ATTRIBUTE}{a}": optional(column, a) for a, column in named.items()}
    return table.select(
        anonymous_id=optional(columns.anonymous_id, "anonymous_id"),
        customer_id=optional(columns.customer_id, "customer_id"),
        event_type=event_type,
        at=instant,
        day=wall.date().epoch_days().cast("int32"),
        known_day=ibis.greatest(wall, known).date().epoch_days().cast("int32"),
        known_missing=known.isnull(),
        amount=amount,
        amount_given=filled,
        order_id=optional(columns.order_id, "order_id"),
        session_id=optional(columns.session_id, "session_id"),
        is_machine=machine,
        event_key=optional(source.event_id, "event_id"),
        occurred_at_text=as_found(table, columns.occurred_at.column),
        known_at_text=as_found(table, columns.known_at.column if columns.known_at else None),
        value_text=as_found(table, columns.value),
        **attributes,
    )


def _reason(events: Table, source: EventSource, config: Config, latest: int) -> Value:
    """Why a row cannot be used, null where it can; the first reason that holds is given."""
    money = [t for role in ("purchase", "refund") for t in config.role_types().get(role, ())]
    e, scale = events, 10**config.minor_units
    finite = e.amount.isnull() | ~(e.amount.isnan() | e.amount.isinf())
    cases: list[tuple[Any, str]] = [
        (e.customer_id.isnull() & e.anonymous_id.isnull(), NO_CUSTOMER),
        (e.event_type.isnull(), "event_type is empty"),
        (e.day.isnull(), "occurred_at is not a readable date or time"),
        (e.known_missing, "known_at is not a readable date or time"),
        (e.day < day_number(config.earliest), f"occurred_at before {config.earliest}"),
        (e.day > latest, f"occurred_at after {day_date(latest)}"),
        (e.known_day > latest, f"known_at after {day_date(latest)}"),
        (~finite, "amount is not finite"),
        (e.amount_given & e.amount.isnull(), "amount is not a number"),
        ((e.amount.abs() * scale) > LARGEST_MINOR, "amount is out of range"),
    ]
    if source.columns.value is not None:
        cases.append((e.event_type.isin(money) & e.amount.isnull(), "purchase without an amount"))
    if source.event_id is not None:
        cases.append((e.event_key.isnull(), "event_id is empty"))
    return ibis.cases(*cases, else_=ibis.null("string"))


def _copies_marked(events: Table) -> Table:
    """Adds the reason "duplicate event_id" to every usable row but the first known of its id.

    A row of nobody known gives way, or a link to come would decide which row counts today.
    """
    order = [
        events.reason.notnull(),
        events.customer_id.isnull(),
        events.known_day,
        *(events[name] for name in ("at", "customer_id", "event_type", "amount", "order_id")),
    ]
    copy = ibis.row_number().over(ibis.window(group_by=events.event_key, order_by=order))
    marked = events.mutate(copy=copy)
    repeated = marked.event_key.notnull() & (marked.copy > 0)
    said = repeated.ifelse("duplicate event_id", ibis.null("string"))
    return marked.mutate(reason=marked.reason.coalesce(said)).drop("copy")


def _left_out(events: Table, config: Config) -> Value:
    """Why a good row is left out on purpose, null where it counts."""
    cases: list[tuple[Any, Any]] = [
        (events.reason.notnull(), ibis.null("string")),
        (events.is_machine, "machine event"),
    ]
    if config.ignored_event_types:
        cases.append((events.event_type.isin(config.ignored_event_types), "ignored event type"))
    if config.data_through is not None:
        cases.append((events.day > day_number(config.data_through), "after data_through"))
    cases.append((events.customer_id.isnull(), UNLINKED))
    return ibis.cases(*cases, else_=ibis.null("string"))


def staged_name(number: int) -> str:
    """What the engine calls the table of a source's rows."""
    return f"staged_{number}"


def read_source(
    connection: Any,
    number: int,
    config: Config,
    *,
    latest: int,
    quarantine: Path,
    staged: Path,
    links: Table | None = None,
    erased: Erased = NOBODY,
) -> tuple[Table, ReadReport]:
    """One source as checked standard events, which lie in a file meanwhile.

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
    staged
        Folder for the file of all rows, which must stay as long as the events are used.
    links
        From `read_identities`: whom anonymous ids belong to.
    erased
        Who asked to be erased: their rows are neither kept nor set aside.

    Returns
    -------
    Table
        customer_id, event_type, at, day, known_day, value (integer minor units, null where no
        amount), order_id, event_key (the declared event id), and the attributes behind
        `ATTRIBUTE`; one row an event line, and another for each that a link made known later
        (`features.sources.identity_resolution.link_events`).
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
    with reading(name):
        rows = standardise(joined(connection, source), source, config)
        raw = judged(rows, source, config, latest=latest, links=links, erased=erased)
        file = staged / f"{staged_name(number)}.parquet"
        raw.to_parquet(file, compression="lz4_raw")
        lines = connection.read_parquet(file, table_name=staged_name(number))
    report = inspected(lines, name, config, quarantine / f"source_{number}.parquet", _set_aside)
    return usable(lines, source, config, links), report


def judged(
    rows: Table,
    source: EventSource,
    config: Config,
    *,
    latest: int,
    links: Table | None,
    erased: Erased = NOBODY,
) -> Table:
    """Standard rows with why each is bad (`reason`) or left out (`ignored`); null: it counts."""
    # Without visitors nobody is to be linked: the engine would compare every row with every link.
    raw = linked(rows, links if source.columns.anonymous_id is not None else None)
    raw = raw.mutate(reason=_reason(raw, source, config, latest))
    if source.event_id is not None:
        raw = _copies_marked(raw)
    return without(raw.mutate(ignored=_left_out(raw, config)), erased)


def inspected(
    staged: Table, name: str, config: Config, aside: Path, set_aside: Callable[[Table, Path], None]
) -> ReadReport:
    """Report of judged rows; the bad ones are set aside in a file.

    Raises
    ------
    UserError
        As `read_source`.
    """
    rows = int(staged.count().execute())
    if rows == 0:
        raise UserError(
            f"sources: {name}",
            found="an empty table",
            expected="at least one event",
            mend="check the export that writes it",
        )
    report = counted(staged, name, rows)
    if report.bad:
        aside.parent.mkdir(parents=True, exist_ok=True)
        set_aside(staged.filter(staged.reason.notnull()), aside)
    refuse_if_too_bad(report, config, aside)
    refuse_unknown_types(staged, config, name)
    return report


def _set_aside(bad: Table, aside: Path) -> None:
    bad.to_parquet(aside)


def usable(staged: Table, source: EventSource, config: Config, links: Table | None) -> Table:
    """The events that count among judged rows, as `read_source` gives them."""
    good = staged.filter(staged.reason.isnull() & staged.ignored.isnull())
    minor = (good.amount * 10**config.minor_units).round().cast("int64")
    kept = ["customer_id", "event_type", "at", "day", "known_day", "order_id", "event_key"]
    kept += [column for column in good.columns if column.startswith(ATTRIBUTE)]
    events = good.mutate(value=minor).select([*kept, "value"])
    if links is not None and source.columns.anonymous_id is not None:
        events = events.union(link_events(good).select(events.columns))
    return events


def read_identities(
    connection: Any, config: Config, *, latest: int, quarantine: Path, name: str = "links"
) -> tuple[Table | None, list[ReadReport]]:
    """Whom anonymous ids belong to, and from when; None where the config names no such table.

    Returns
    -------
    Table
        See `features.sources.identity_resolution.spans`.
    list of ReadReport
        One, or none; bad rows lie in ``identities.parquet`` in the quarantine folder.

    Raises
    ------
    UserError
        As `read_source`, and where a link leads to another anonymous id.
    """
    block = config.identities
    if block is None:
        return None, []
    what = describe(block.table)
    with reading(what):
        rows = link_rows(open_table(connection, block.table, block), block, config, latest)
        staged = connection.create_table(f"staged_{name}", rows, temp=True, overwrite=True)
    report = counted(staged, what, int(staged.count().execute()))
    aside = quarantine / "identities.parquet"
    if report.bad:
        quarantine.mkdir(parents=True, exist_ok=True)
        staged.filter(staged.reason.notnull()).to_parquet(aside)
    refuse_if_too_bad(report, config, aside)
    good = staged.filter(staged.reason.isnull())
    refuse_chains(good, what)
    links = connection.create_table(name, spans(good), temp=True, overwrite=True)
    return links, [report]
