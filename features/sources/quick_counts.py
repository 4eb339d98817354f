"""Samples of a source's customers, and quick counts over all of its rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import ibis
from ibis.expr.types import Table, Value

from features.calendar import day_number
from features.config.config import Config
from features.config.sources import EventSource, TimeColumn
from features.contracts import LEFT_OUT
from features.errors import Problems
from features.sources.column_parsing import parse_moment
from features.sources.duckdb_connection import connect
from features.sources.event_values import fill_from_columns
from features.sources.events import engine_errors, open_table
from features.sources.locations import describe_location


def copy_sample(source: EventSource, share: int, path: Path) -> None:
    """Write all rows of one customer in `share` to a parquet file, as they are written.

    Customers are drawn by a hash of their id, so that every source keeps the same ones.

    Raises
    ------
    UserError
        If the source cannot be read.
    """
    with engine_errors(describe_location(source.events)):
        table = open_table(
            connect(ordered=False), source.events, source, source.mapped(), keys=source.keys()
        )
        customer_id = source.columns.customer_id
        customer = table[customer_id or str(source.columns.anonymous_id)]
        if customer_id in source.fill_from:
            problems = Problems()
            customer = fill_from_columns(table, source, "sources", problems)[customer_id]
            problems.refuse()
        moment = table[source.columns.occurred_at.column]
        # Guests have no id: their rows are drawn one by one.
        guest = customer.isnull() & (moment.cast("string").hash() % share == 0)
        drawn = (customer.cast("string").hash() % share == 0) | guest
        mapped = [column for column in table.columns if column in source.mapped()]
        table.filter(drawn).select(mapped).to_parquet(path)


@dataclass(frozen=True)
class RowCounts:
    """What the rows of a source add up to.

    Attributes
    ----------
    orders, customers
        Purchases, and who made them.
    revenue
        Purchases less refunds, minor units.
    others
        Events that are no purchases.
    first_day, last_day
        Day numbers of the first and the last event.
    """

    orders: int
    customers: int
    revenue: int
    others: int
    first_day: int
    last_day: int


def count_rows(source: EventSource, config: Config, *, latest: int) -> RowCounts | None:
    """Count a source in one quick pass over its rows; None where that cannot be done.

    Only plain cells are read: dates that begin with the year, numbers with a point, ids and words
    as they are written. Compare with the tallies of a sample before you trust the result.

    Parameters
    ----------
    source, config
        The source, and the config that it belongs to.
    latest
        Day number after which no event is plausible.

    Raises
    ------
    UserError
        If the source cannot be read.
    """
    columns = source.columns
    keys = source.fill_within_order or source.event_id or columns.anonymous_id or source.only
    depends = keys or source.fill_from or columns.is_machine
    if depends or columns.customer_id is None or columns.value is None:
        return None
    if columns.value_times or columns.value_less or source.value_scale != 1:
        return None
    with engine_errors(describe_location(source.events)):
        table = open_table(connect(ordered=False), source.events, source, keys=source.keys())
        order_id = columns.order_id
        rows = table.select(
            customer=table[columns.customer_id],
            order=ibis.null("string") if order_id is None else table[order_id],
            kind=_types(table, source),
            cell=table[columns.value],
            amount=table[columns.value].try_cast("float64"),
            day=_day(table, columns.occurred_at, config),
        )
        return _counts(rows, config, latest)


def _types(table: Table, source: EventSource) -> Value:
    """Event types by words in any case, in the spellings of the sample."""
    kind = source.event_type
    if isinstance(kind, str):
        return ibis.literal(kind)
    written = table[kind.column]
    branches = [(written == word, ibis.literal(name)) for word, name in kind.words.items()]
    return ibis.cases(*branches, else_=written) if branches else written


def _counts(rows: Table, config: Config, latest: int) -> RowCounts | None:
    roles = config.role_types()
    last = latest if config.data_through is None else day_number(config.data_through)
    ignored = sorted({*config.ignored_event_types, LEFT_OUT})
    rows = rows.filter(
        rows.customer.notnull()
        & rows.day.between(day_number(config.earliest), last)
        & rows.kind.notnull()
        & ~rows.kind.isin(ignored)
    )
    is_purchase = rows.kind.isin(list(roles.get("purchase", ())))
    is_refund = rows.kind.isin(list(roles.get("refund", ())))
    bought = is_purchase & ~(rows.amount < 0).fill_null(False)
    minor_units = (rows.amount * 10**config.minor_units).round()
    sums = rows.aggregate(
        named=rows.order.nunique(where=bought),
        unnamed=(bought & rows.order.isnull()).sum(),
        customers=rows.customer.nunique(where=bought),
        spent=minor_units.sum(where=is_purchase),
        returned=minor_units.abs().sum(where=is_refund),
        others=(~bought).sum(),
        unread=(rows.cell.notnull() & rows.amount.isnull()).sum(),
        first=rows.day.min(),
        last=rows.day.max(),
    )
    (cells,) = sums.to_pyarrow().to_pylist()
    if cells["first"] is None or cells["unread"]:
        return None
    counts = {name: int(value or 0) for name, value in cells.items()}
    return RowCounts(
        orders=counts["named"] + counts["unnamed"],
        customers=counts["customers"],
        revenue=counts["spent"] - counts["returned"],
        others=counts["others"],
        first_day=counts["first"],
        last_day=counts["last"],
    )


def _day(table: Table, spec: TimeColumn, config: Config) -> Value:
    """Day numbers of a time column; the quick way for dates and clocks of the business's zone."""
    column = table[spec.column]
    own_clock = spec.as_ == "local_date" or spec.zone == config.timezone
    if column.type().is_string() and own_clock and spec.format is None:
        return column.substr(0, 10).try_cast("date").epoch_days()
    return parse_moment(table, spec, config.timezone, "columns")[1].date().epoch_days()
