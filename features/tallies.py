"""Events -> tallies: one row a customer, day and event type, written once in Ibis."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
from ibis.expr.types import Table

from features.config import Config
from features.connection import connect
from features.errors import UserError
from features.ledger import CannotExtend, grows
from features.numbers import Numbers
from features.orders import NEGATIVE as NEGATIVE
from features.orders import (
    NOTHING_SEEN,
    ORDER_COLUMNS,
    Seen,
    counted_once,
    orders_of,
    signed,
    stored_orders,
)
from features.quarantine import ReadReport
from features.sessions import session_tally
from features.sources import ATTRIBUTE, read_identities, read_source
from features.timeline import day_date


@dataclass(frozen=True)
class Tallies:
    """Mergeable facts of all customers; the only input of features, stages and labels.

    Attributes
    ----------
    daily
        Sorted by customer_id, event_type, day: customer_id, event_type, day, known_day,
        count (purchases: orders), value (sum, integer minor units), largest (value of one
        event), latest (value of the last event), first_at, last_at. ``known_day > day`` marks
        what was learned late; an order learned in parts has its parts as events.
    attributes
        Sorted alike: customer_id, event_type, attribute, choice, day, known_day, count (lines).
    sessions
        See `features.sessions.session_tally`; nothing but traffic is measured by it.
    orders
        Of sources that grow by new files, what is known of every named order: source, and the
        columns of `ORDER_COLUMNS`; a line that comes later needs it.
    event_ids
        Likewise source and event_key, where the source declares an event id.
    """

    daily: pa.Table
    attributes: pa.Table
    sessions: pa.Table | None = None
    orders: pa.Table | None = None
    event_ids: pa.Table | None = None


def _last_value(rows: Table, value: Any) -> Any:
    """Value of the row of the last moment; of several at one moment the largest."""
    amount = value.fill_null(0)
    return amount.argmax(ibis.struct({"at": rows.last_at, "amount": amount}))


def _daily(counted: Table) -> Table:
    """Tally of counted orders by customer, event type, day and the day they became known."""
    return counted.group_by(_DAILY_KEYS).agg(
        count=counted["count"].sum(),
        value=counted.value.sum().fill_null(0).cast("int64"),
        largest=counted.value.max().fill_null(0).cast("int64"),
        latest=_last_value(counted, counted.value).fill_null(0).cast("int64"),
        first_at=counted.first_at.min(),
        last_at=counted.last_at.max(),
    )


def attribute_tally(events: Table, numbers: Numbers, attributes: list[str]) -> Table | None:
    """Tally of each declared attribute's choices; null where the source declares none."""
    declared = [a for a in attributes if f"{ATTRIBUTE}{a}" in events.columns]
    if not declared:
        return None
    columns = [f"{ATTRIBUTE}{attribute}" for attribute in declared]
    numbers.note("attribute", pa.array(declared))
    numbers.note("choice", *(events[column] for column in columns))
    # One GROUP BY over all attributes, on numbers: texts would be hashed and copied ten times.
    places = numbers.places("attribute")
    parts = []
    for attribute, column in zip(declared, columns, strict=True):
        place = ibis.literal(places[attribute], "int32")
        lines = events.select(*_EVENT_KEYS, attribute=place, choice=events[column])
        parts.append(lines.filter(lines.choice.notnull()))
    lines = ibis.union(*parts, distinct=False) if len(parts) > 1 else parts[0]
    lines = numbers.put(lines, "choice")
    return lines.group_by(_ATTRIBUTE_KEYS).agg(count=lines.count().cast("int64"))


@dataclass
class _Parts:
    """What each source gives."""

    daily: list[Table] = field(default_factory=list)
    attributes: list[Table] = field(default_factory=list)
    orders: list[pa.Table] = field(default_factory=list)
    event_ids: list[pa.Table] = field(default_factory=list)
    reports: list[ReadReport] = field(default_factory=list)


def _tally_source(
    connection: Any,
    numbers: Numbers,
    events: Table,
    config: Config,
    number: int,
    seen: Seen,
    parts: _Parts,
) -> None:
    """Tally one source's events, and keep what its later files will need."""
    numbers.note("customer", events.customer_id)
    numbers.note("event_type", pa.array([NEGATIVE]), events.event_type)
    events = numbers.put(events.rename(customer="customer_id"), "customer")
    events = numbers.put(events, "event_type")
    orders = signed(orders_of(events), numbers, config)
    before = stored_orders(connection, numbers, orders, seen, number)
    parts.daily.append(_daily(counted_once(orders, before)))
    attributes = attribute_tally(events, numbers, [*config.attributes(), "channel"])
    if attributes is not None:
        parts.attributes.append(attributes)
    source = config.sources[number]
    if not grows(source):
        return
    place = pa.scalar(seen.number(number), pa.int32())
    if source.columns.order_id is not None:
        named = orders.filter(orders.order_id.notnull()).select(*ORDER_COLUMNS)
        kept = numbers.texts(named, ("customer", "event_type")).to_pyarrow()
        parts.orders.append(kept.append_column("source", pa.repeat(place, kept.num_rows)))
    if source.event_id is not None:
        kept = events.select("event_key").to_pyarrow()
        parts.event_ids.append(kept.append_column("source", pa.repeat(place, kept.num_rows)))


def _refuse_seen(connection: Any, events: Table, seen: Seen, source: int) -> None:
    """Stop where new files hold event ids of old ones: which copy counts depends on both."""
    if not seen.event_ids:
        return
    ids = connection.read_parquet(list(seen.event_ids))
    ids = ids.filter(ids.source == seen.number(source))
    again = int(events.semi_join(ids, "event_key").count().execute())
    if again:
        raise CannotExtend(f"{again} event ids of the new files were there before")


def _together(parts: list[pa.Table]) -> pa.Table | None:
    return pa.concat_tables(parts) if parts else None


def tally(
    config: Config,
    *,
    latest: int,
    quarantine: Path,
    temporary: Path | None = None,
    seen: Seen = NOTHING_SEEN,
) -> tuple[Tallies, list[ReadReport]]:
    """Read every source of a config and tally it.

    Parameters
    ----------
    config
        The data set.
    latest
        Day number after which no event can be genuine.
    quarantine
        Folder for the rows set aside.
    temporary
        Folder to spill to.
    seen
        What was stored of earlier files of the same sources, to which these are added.

    Returns
    -------
    Tallies
        Of all sources together.
    list of ReadReport
        Of the identities where there are any, and one a source.

    Raises
    ------
    UserError
        As `read_source`, for negative amounts under ``refunds: reject``, for a ``data_through``
        in the future, and where no event is left to tally.
    CannotExtend
        Where what is stored would change.
    """
    _refuse_future(config, latest)
    connection = connect(
        temporary, memory=config.memory_bytes, threads=config.threads, ordered=False
    )
    numbers = Numbers(connection)
    links, reports = read_identities(connection, config, latest=latest, quarantine=quarantine)
    parts = _Parts(reports=reports)
    for number in range(len(config.sources)):
        events, report = read_source(
            connection, number, config, latest=latest, quarantine=quarantine, links=links
        )
        _refuse_seen(connection, events, seen, number)
        _tally_source(connection, numbers, events, config, number, seen, parts)
        parts.reports.append(report)
    tallies = Tallies(
        _merged(parts.daily, numbers),
        _attributes(parts.attributes, numbers),
        session_tally(connection, config),
        *(_together(some) for some in (parts.orders, parts.event_ids)),
    )
    reports = parts.reports
    if tallies.daily.num_rows == 0:
        ignored = "; ".join(f"{r.source}: {reason}: {n}" for r in reports
                            for reason, n in {**r.quarantined, **r.ignored}.items())  # fmt: skip
        raise UserError(
            "sources",
            found=f"no usable events ({ignored})",
            expected="at least one event that counts",
            mend="check `data_through`, `ignored_event_types` and the machine flag",
        )
    return tallies, reports


def _refuse_future(config: Config, latest: int) -> None:
    if config.data_through is not None and config.data_through > day_date(latest):
        raise UserError(
            "data_through",
            found=str(config.data_through),
            expected=f"at most {day_date(latest)}: no later day can be known in full",
        )


_EVENT_KEYS = ["customer", "event_type", "day", "known_day"]
_DAILY_KEYS = _EVENT_KEYS
_ATTRIBUTE_KEYS = ["customer", "event_type", "attribute", "choice", "day", "known_day"]
TEXT = pa.dictionary(pa.int32(), pa.string())
ATTRIBUTE_SCHEMA = pa.schema(
    [
        ("customer_id", TEXT),
        ("event_type", TEXT),
        ("attribute", TEXT),
        ("choice", TEXT),
        ("day", pa.int32()),
        ("known_day", pa.int32()),
        ("count", pa.int64()),
    ]
)


def _merged(parts: list[Table], numbers: Numbers) -> pa.Table:
    """One tally of several sources: the facts merge, that is what makes them tallies."""
    merged = parts[0]
    if len(parts) > 1:
        together = ibis.union(*parts, distinct=False)
        merged = together.group_by(_DAILY_KEYS).agg(
            count=together["count"].sum(),
            value=together.value.sum().cast("int64"),
            largest=together.largest.max(),
            latest=_last_value(together, together.latest),
            first_at=together.first_at.min(),
            last_at=together.last_at.max(),
        )
    return numbers.sorted(merged, _DAILY_KEYS)


def _attributes(parts: list[Table], numbers: Numbers) -> pa.Table:
    if not parts:
        return ATTRIBUTE_SCHEMA.empty_table()
    merged = parts[0]
    if len(parts) > 1:
        together = ibis.union(*parts, distinct=False)
        merged = together.group_by(_ATTRIBUTE_KEYS).agg(count=together["count"].sum().cast("int64"))
    return numbers.sorted(merged, _ATTRIBUTE_KEYS).cast(ATTRIBUTE_SCHEMA)
