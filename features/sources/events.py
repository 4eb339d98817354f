"""Read source tables as standard events: map columns, check rows, quarantine bad ones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import ibis
from ibis.expr.types import Column, Table, Value

from features import datasets
from features.config.config import Config
from features.config.sources import (
    DatasetTable,
    EventSource,
    Formatted,
    Location,
    Lookup,
    TimeColumn,
    UrlTable,
)
from features.errors import Problems, UserError
from features.sources.column_parsing import parse_flag, parse_moment, raw_text
from features.sources.duckdb_connection import connect as connect
from features.sources.erased_rows import mark_erased
from features.sources.erasure_list import NO_ERASURES, ErasureList
from features.sources.event_values import (
    amount_columns,
    event_type_column,
    fill_from_columns,
    fill_within_orders,
)
from features.sources.files import read_file, require_column, unreadable_table
from features.sources.identity_resolution import apply_links, link_events
from features.sources.key_columns import (
    key_column,
    may_round,
    rounded_cells,
    text_column,
    with_keys,
)
from features.sources.locations import describe_location, distinct_files
from features.sources.lookup_keys import with_named_key, with_unique_key
from features.sources.nested_columns import add_list_sums, add_nested_columns
from features.sources.order_facts import order_facts, refund_facts
from features.sources.quarantine import (
    refuse_if_rounded,
    refuse_if_too_bad,
    refuse_unknown_types,
    staged_report,
)
from features.sources.read_report import ReadReport
from features.sources.remote_tables import copy_remote_table
from features.sources.row_reasons import (
    bad_row_reason,
    left_out_reason,
    mark_duplicates,
    with_positions,
)
from features.sources.sampling import current_sampling

# Event columns that join tables; other text is only trimmed.
_KEYS = ("customer_id", "anonymous_id", "order_id", "session_id", "event_id", "product_id")
# Prefix of declared attributes in standard events, so that no name collides.
ATTRIBUTE = "attribute."


@contextmanager
def engine_errors(name: str) -> Iterator[None]:
    """Turn the engine's errors about a table into one `UserError`."""
    try:
        yield
    except duckdb.Error as error:
        raise unreadable_table(name, error) from error


def open_table(
    connection: Any,
    location: Location,
    source: Formatted,
    columns: Collection[str] | None = None,
    *,
    keys: Collection[str] = (),
) -> Table:
    """Open the table at a location, lazily where the format allows.

    `columns` limits what is read from a database, and names sums over lists. Columns of `keys`
    keep every digit, whatever types the files declare.

    Raises
    ------
    UserError
        If the file is missing, unreadable or of an unknown kind.
    """
    sampling = current_sampling()
    max_rows = None if sampling is None else sampling.rows
    if isinstance(location, DatasetTable):
        arrow_table = datasets.table(location.dataset, location.table, most_rows=max_rows)
        name = f"{location.dataset}_{location.table}"
        # The engine reads Arrow's memory where it lies; a copy would cost more than the check.
        connection.con.register(name, arrow_table)
        table = connection.table(name)
        if sampling is not None:  # the first rows are all that was loaded
            sampling.note_cut(arrow_table.num_rows, describe_location(location))
        return table
    elif isinstance(location, UrlTable):
        table = copy_remote_table(connection, location, columns, most_rows=max_rows)
    else:
        table = add_nested_columns(read_file(connection, location, source.csv, keys=keys))
        table = add_list_sums(table, columns or ())
        if sampling is None or sampling.fits(distinct_files(location)):
            return table
    if sampling is None:
        return table
    with engine_errors(describe_location(location)):
        return sampling.head(connection, table, describe_location(location))


def join_lookups(connection: Any, source: EventSource, source_rows: Table | None = None) -> Table:
    """A source's rows (default: all there are) with the columns of its lookups.

    Raises
    ------
    UserError
        Where the shared column is missing, holds ids that have lost digits, or a lookup has one
        twice (rows would multiply).
    """
    table = source_rows
    if table is None:
        table = open_table(connection, source.events, source, source.mapped(), keys=source.keys())
    problems = Problems()
    for lookup in source.lookups:
        with problems.collect():
            table = _join_lookup(connection, table, lookup, source)
    problems.refuse()
    return table


def _join_lookup(connection: Any, table: Table, lookup: Lookup, source: EventSource) -> Table:
    """Add the columns of one lookup (see `join_lookups`)."""
    form = source if lookup.csv is None else source.model_copy(update={"csv": lookup.csv})
    lookup_table = open_table(connection, lookup.table, form, keys=source.keys())
    lookup_table = with_named_key(table, lookup_table, lookup)
    lookup_name = f"lookup {describe_location(lookup.table)}"
    if not (table[lookup.key].type().is_integer() and lookup_table[lookup.key].type().is_integer()):
        table = table.mutate(**{lookup.key: key_column(table[lookup.key])})
        with engine_errors(describe_location(lookup.table)):
            lookup_table = with_keys(lookup_table, [lookup.key], lookup_name)
    lookup_table = lookup_table.filter(lookup_table[lookup.key].notnull())
    with engine_errors(describe_location(lookup.table)):
        lookup_table = with_unique_key(lookup_table, lookup.key, lookup_name)
    new_columns = [n for n in lookup_table.columns if n == lookup.key or n not in table.columns]
    return table.left_join(lookup_table.select(new_columns), lookup.key).drop(f"{lookup.key}_right")


def standardise(
    table: Table, source: EventSource, config: Config, problems: Problems | None = None
) -> Table:
    """Map a source's rows to the standard event columns; unreadable cells are null.

    `problems` collects errors of columns, which are then null; without it they are raised.

    Returns
    -------
    Table
        customer_id, event_type, at (instant), day, known_day (local day numbers), amount
        (major units), order_id, session_id, is_machine, event_key (declared event id),
        anonymous_id, the attributes behind `ATTRIBUTE`, the source's column that holds a rounded
        id (`rounded`), and the text of cells that had to be read (``*_text``).

    Raises
    ------
    UserError
        For missing columns and wrong types, all in one error.
    """
    columns, config_place = source.columns, f"sources: {describe_location(source.events)}: columns"
    collected = problems if problems is not None else Problems()
    table = fill_within_orders(table, source, config_place, collected)
    table = fill_from_columns(table, source, config_place, collected)

    def moment(time_column: TimeColumn, config_key: str) -> tuple[Value, Value]:
        with collected.collect():
            return parse_moment(table, time_column, config.timezone, f"{config_place}.{config_key}")
        return ibis.null("timestamp('UTC')"), ibis.null("timestamp")

    def cells(
        column_name: str | None, config_key: str, column_type: str, parse: Callable[[Column], Value]
    ) -> Value:
        if column_name is not None:
            with collected.collect():
                return parse(require_column(table, column_name, f"{config_place}.{config_key}"))
        return ibis.null(column_type)

    def optional(column_name: str | None, config_key: str) -> Value:
        is_key = config_key in _KEYS
        return cells(column_name, config_key, "string", key_column if is_key else text_column)

    def text_of(column_name: str | None) -> Value:
        return raw_text(table, column_name if column_name in table.columns else None)

    instant, wall_clock = moment(columns.occurred_at, "occurred_at")
    known_clock = (
        wall_clock if columns.known_at is None else moment(columns.known_at, "known_at")[1]
    )
    event_type = event_type_column(table, source, config_place, collected)
    amount, amount_filled = amount_columns(table, source, config_place, collected)
    machine_events = cells(columns.is_machine, "is_machine", "boolean", parse_flag).fill_null(False)
    attribute_columns = {
        attribute: column_name
        for attribute, column_name in columns.attributes.items()
        if attribute not in config.sensitive
    }
    if columns.channel is not None and "channel" not in config.sensitive:
        attribute_columns["channel"] = columns.channel
    standard = dict(
        anonymous_id=optional(columns.anonymous_id, "anonymous_id"),
        customer_id=optional(columns.customer_id, "customer_id"),
        event_type=event_type,
        at=instant,
        day=wall_clock.date().epoch_days().cast("int32"),
        known_day=ibis.greatest(wall_clock, known_clock).date().epoch_days().cast("int32"),
        known_missing=known_clock.isnull(),
        amount=amount,
        amount_given=amount_filled,
        order_id=optional(columns.order_id, "order_id"),
        session_id=optional(columns.session_id, "session_id"),
        is_machine=machine_events,
        event_key=optional(source.event_id, "event_id"),
        rounded=_rounded_id_column(table, source),
        **{
            f"{ATTRIBUTE}{attribute}": optional(column, attribute)
            for attribute, column in attribute_columns.items()
        },
    )
    if problems is None:
        collected.refuse()
    standard["occurred_at_text"] = text_of(columns.occurred_at.column)
    standard["known_at_text"] = text_of(columns.known_at.column if columns.known_at else None)
    standard["value_text"] = text_of(columns.value)
    return table.select(**standard)


def _rounded_id_column(table: Table, source: EventSource) -> Value:
    """Return the name of the column whose id has lost digits (see `rounded_cells`), or null."""
    columns, no_column = source.columns, ibis.null("string")
    id_columns = [columns.customer_id, columns.anonymous_id, columns.order_id, columns.session_id,
             source.event_id, columns.attributes.get("product_id"),
             *(lookup.key for lookup in source.lookups)]  # fmt: skip
    present = [name for name in dict.fromkeys(id_columns) if name in table.columns]
    uncertain_columns = [column_name for column_name in present if may_round(table[column_name])]
    branches = [
        (rounded_cells(table[column_name]), ibis.literal(column_name))
        for column_name in uncertain_columns
    ]
    return ibis.cases(*branches, else_=no_column) if branches else no_column


def staged_table_name(number: int) -> str:
    """Return the engine's name for the table of a source's rows."""
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
    erased: ErasureList = NO_ERASURES,
) -> tuple[Table, ReadReport]:
    """Read one source as checked standard events, staged in a file.

    Parameters
    ----------
    connection
        From `connect`.
    number
        Position of the source in the config.
    config
        The data set.
    latest
        Day number after which no event is plausible (the day the run started).
    quarantine
        Folder for bad rows: ``source_<number>.parquet`` with their reasons.
    staged
        Folder for the file of all rows; it must exist as long as the events are used.
    links
        From `read_identities`: customers of anonymous ids.
    erased
        Erased customers, whose rows are neither used nor quarantined.

    Returns
    -------
    Table
        customer_id, event_type, at, day, known_day, value (integer minor units or null), order_id,
        event_key (the declared event id), and the attributes with prefix `ATTRIBUTE`; one row per
        event line, and one per event that a link made known later (`link_events`).
    ReadReport
        The counts.

    Raises
    ------
    UserError
        For a missing file or column, a wrong type, an empty table, unknown event types, and
        where the share of bad rows exceeds ``quarantine.max_share``.
    """
    source = config.sources[number]
    source_name = describe_location(source.events)
    with engine_errors(source_name):
        standard_rows = standardise(join_lookups(connection, source), source, config)
        standard_rows = with_positions(standard_rows, source)
        judged_rows = judge_rows(
            standard_rows, source, config, latest=latest, links=links, erased=erased
        )
        staged_file = staged / f"{staged_table_name(number)}.parquet"
        judged_rows.to_parquet(staged_file, compression="lz4_raw")
        staged_rows = connection.read_parquet(staged_file, table_name=staged_table_name(number))
    report = inspect_rows(
        staged_rows, source_name, config, quarantine / f"source_{number}.parquet", Table.to_parquet
    )
    events = usable_events(staged_rows, source, config, links)
    with engine_errors(source_name):
        facts = refund_facts(events, config)
        if source.columns.order_id is not None:
            facts |= order_facts(events)
    return events, replace(report, facts=facts)


def judge_rows(
    standard_rows: Table,
    source: EventSource,
    config: Config,
    *,
    latest: int,
    links: Table | None,
    erased: ErasureList = NO_ERASURES,
) -> Table:
    """Add why a standard row is bad (`reason`) or left out (`ignored`); both null: it counts."""
    # Without anonymous ids skip the join: the engine would compare every row with every link.
    linked_rows = apply_links(
        standard_rows, links if source.columns.anonymous_id is not None else None
    )
    linked_rows = linked_rows.mutate(reason=bad_row_reason(linked_rows, source, config, latest))
    if source.event_id is not None:
        linked_rows = mark_duplicates(linked_rows)
    return mark_erased(linked_rows.mutate(ignored=left_out_reason(linked_rows, config)), erased)


def inspect_rows(
    staged: Table,
    source_name: str,
    config: Config,
    quarantine_file: Path,
    set_aside: Callable[[Table, Path], None],
) -> ReadReport:
    """Report on judged rows, and write the bad ones to the quarantine.

    Raises
    ------
    UserError
        As `read_source`.
    """
    row_count = int(staged.count().execute())
    if row_count == 0:
        raise UserError(
            f"sources: {source_name}",
            found="an empty table",
            expected="at least one event",
            hint="check the export that writes it",
        )
    report = staged_report(staged, source_name, row_count)
    refuse_if_rounded(report)
    if report.bad:
        quarantine_file.parent.mkdir(parents=True, exist_ok=True)
        set_aside(staged.filter(staged.reason.notnull()), quarantine_file)
    refuse_if_too_bad(report, config, quarantine_file)
    refuse_unknown_types(staged, config, source_name)
    return report


def usable_events(staged: Table, source: EventSource, config: Config, links: Table | None) -> Table:
    """Select the events that count among judged rows, as `read_source` returns them."""
    usable_rows = staged.filter(staged.reason.isnull() & staged.ignored.isnull())
    minor_units = (usable_rows.amount * 10**config.minor_units).round().cast("int64")
    event_columns = ["customer_id", "event_type", "at", "day", "known_day", "order_id", "event_key"]
    event_columns += [column for column in usable_rows.columns if column.startswith(ATTRIBUTE)]
    events = usable_rows.mutate(value=minor_units).select([*event_columns, "value"])
    if links is not None and source.columns.anonymous_id is not None:
        events = events.union(link_events(usable_rows).select(events.columns))
    return events
