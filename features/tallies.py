"""Events -> tallies: one row a customer, day and event type, written once in Ibis."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
from ibis.expr.types import Table

from features.config import Config
from features.connection import connect
from features.erased import NOBODY, Erased
from features.errors import UserError
from features.ledger import CannotExtend, grows
from features.numbers import Numbers, Texts
from features.orders import NEGATIVE as NEGATIVE
from features.orders import (
    NOTHING_SEEN,
    ORDER_COLUMNS,
    Seen,
    counted_once,
    orders_of,
    refuse_earlier,
    signed,
    stored_orders,
)
from features.quarantine import ReadReport
from features.sessions import session_tally
from features.source_config import EventSource
from features.sources import ATTRIBUTE, read_identities, read_source
from features.timeline import day_date
from features.told import Told, unheard


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


def daily_tally(counted: Table) -> Table:
    """Tally of counted orders by customer, event type, day and the day they became known."""
    return counted.group_by(_DAILY_KEYS).agg(
        count=counted["count"].sum(),
        value=counted.value.sum().fill_null(0).cast("int64"),
        largest=counted.value.max().fill_null(0).cast("int64"),
        latest=_last_value(counted, counted.value).fill_null(0).cast("int64"),
        first_at=counted.first_at.min(),
        last_at=counted.last_at.max(),
    )


def attribute_tally(events: Table, numbers: Numbers | Texts, attributes: list[str]) -> Table | None:
    """Tally of each declared attribute's choices; null where the source declares none."""
    declared = [a for a in attributes if f"{ATTRIBUTE}{a}" in events.columns]
    if not declared:
        return None
    # One GROUP BY over all attributes, on numbers: texts would be hashed and copied ten times.
    places, columns = numbers.places("attribute"), [f"{ATTRIBUTE}{a}" for a in declared]
    parts = []
    for attribute, column in zip(declared, columns, strict=True):
        place = ibis.literal(places[attribute], numbers.kind)
        lines = events.select(*_EVENT_KEYS, attribute=place, choice=events[column])
        parts.append(lines.filter(lines.choice.notnull()))
    lines = ibis.union(*parts, distinct=False) if len(parts) > 1 else parts[0]
    lines = numbers.put(lines, "choice")
    return lines.group_by(_ATTRIBUTE_KEYS).agg(count=lines.count().cast("int64"))


@dataclass(frozen=True)
class _Read:
    """One source, read and noted, and not tallied yet.

    Attributes
    ----------
    events
        Its events, from `features.sources.read_source`.
    before
        What is stored of the orders that have new lines; None where of none.
    number
        Position in the whole config.
    source
        The source.
    """

    events: Table
    before: Table | None
    number: int
    source: EventSource

    def orders_like(self, name: str) -> bool:
        """Whether later files will need what this source has in a column."""
        has = {"order_id": self.source.columns.order_id, "event_key": self.source.event_id}[name]
        return has is not None and grows(self.source)


def _note(numbers: Numbers, read: _Read, attributes: list[str]) -> None:
    """Note all texts of a source."""
    numbers.note("customer", read.events.customer_id)
    numbers.note("event_type", pa.array([NEGATIVE]), read.events.event_type)
    if read.before is not None:
        numbers.note("customer", read.before.customer)
    for attribute in attributes:
        column = f"{ATTRIBUTE}{attribute}"
        if column in read.events.columns:
            numbers.note("attribute", pa.array([attribute]))
            numbers.note("choice", read.events[column])


def _shard(numbers: Numbers, table: Table, name: str, lo: int, hi: int) -> Table:
    """The rows of the customers with numbers from `lo` to before `hi`, in numbers."""
    table = numbers.put(
        table.rename({"customer": name}) if name != "customer" else table, "customer"
    )
    if hi - lo < numbers.size("customer"):
        table = table.filter((table.customer >= lo) & (table.customer < hi))
    return numbers.put(table, "event_type")


@dataclass
class _Tallied:
    """What each shard of customers gives."""

    daily: list[pa.Table] = field(default_factory=list)
    attributes: list[pa.Table] = field(default_factory=list)
    orders: list[pa.Table] = field(default_factory=list)


def _tally_shard(
    numbers: Numbers, reads: list[_Read], config: Config, lo: int, hi: int, into: _Tallied
) -> None:
    """Tally the customers with numbers from `lo` to before `hi`, of all sources."""
    daily, chosen = [], []
    for read in reads:
        events = _shard(numbers, read.events, "customer_id", lo, hi)
        orders, before = signed(orders_of(events), numbers, config), read.before
        if before is not None:
            before = _shard(numbers, before, "customer", lo, hi)
            refuse_earlier(orders, before)
        daily.append(daily_tally(counted_once(orders, before)))
        attributes = attribute_tally(events, numbers, [*config.attributes(), "channel"])
        if attributes is not None:
            chosen.append(attributes)
        if read.orders_like("order_id"):
            named = orders.filter(orders.order_id.notnull()).select(*ORDER_COLUMNS)
            kept = numbers.texts(named, ("customer", "event_type")).to_pyarrow()
            into.orders.append(_of_source(kept, read.number))
    into.daily.append(numbers.sorted(merged(daily), _DAILY_KEYS))
    if chosen:
        found = numbers.sorted(merged_attributes(chosen), _ATTRIBUTE_KEYS)
        into.attributes.append(found.cast(ATTRIBUTE_SCHEMA))


def _of_source(rows: pa.Table, number: int) -> pa.Table:
    return rows.append_column("source", pa.repeat(pa.scalar(number, pa.int32()), rows.num_rows))


def _blocks(numbers: Numbers, rows: int, config: Config) -> list[tuple[int, int]]:
    """Runs of customer numbers, so many that what is grouped and sorted fits in memory."""
    size = numbers.size("customer")
    each = ROW_BYTES * (1 + len(config.attributes()) / 4)
    shards = min(max(math.ceil(rows * each / config.memory_bytes), 1), max(size, 1))
    cuts = [round(size * n / shards) for n in range(shards + 1)]
    return list(itertools.pairwise(cuts))


def _refuse_seen(connection: Any, events: Table, seen: Seen, source: int) -> None:
    """Stop where new files hold event ids of old ones: which copy counts depends on both."""
    if not seen.event_ids:
        return
    ids = connection.read_parquet(list(seen.event_ids))
    ids = ids.filter(ids.source == seen.number(source))
    again = int(events.semi_join(ids, "event_key").count().execute())
    if again:
        raise CannotExtend(f"{again} event ids of the new files were there before")


def tally(
    config: Config,
    *,
    latest: int,
    quarantine: Path,
    temporary: Path | None = None,
    seen: Seen = NOTHING_SEEN,
    told: Told = unheard,
    erased: Erased = NOBODY,
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
    told
        Told how far it has come: what is counted, how many are done, and of how many.
    erased
        Who asked to be erased.

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
    refuse_future(config, latest)
    connection = connect(
        temporary,
        memory=int(config.memory_bytes * ENGINE_SHARE),
        threads=config.threads,
        ordered=False,
    )
    numbers, reads, ids = Numbers(connection), [], []
    links, reports = read_identities(connection, config, latest=latest, quarantine=quarantine)
    for place, source in enumerate(config.sources):
        events, report = read_source(
            connection,
            place,
            config,
            latest=latest,
            quarantine=quarantine,
            links=links,
            erased=erased,
        )
        _refuse_seen(connection, events, seen, place)
        before = stored_orders(connection, events, seen, place)
        reads.append(_Read(events, before, seen.number(place), source))
        _note(numbers, reads[-1], [*config.attributes(), "channel"])
        if reads[-1].orders_like("event_key"):
            ids.append(_of_source(events.select("event_key").to_pyarrow(), seen.number(place)))
        reports.append(report)
        told("sources read", place + 1, len(config.sources))
    numbers.rank()
    made = _Tallied()
    blocks = _blocks(numbers, sum(report.rows for report in reports), config)
    for number, (lo, hi) in enumerate(blocks, 1):
        _tally_shard(numbers, reads, config, lo, hi, made)
        told("shards of customers tallied", number, len(blocks))
    tallies = Tallies(
        pa.concat_tables(made.daily),
        pa.concat_tables([ATTRIBUTE_SCHEMA.empty_table(), *made.attributes]),
        session_tally(connection, config),
        *(pa.concat_tables(some) if some else None for some in (made.orders, ids)),
    )
    if tallies.daily.num_rows == 0:
        raise nothing_left(reports)
    return tallies, reports


def nothing_left(reports: list[ReadReport]) -> UserError:
    """The message where no event of any source counts."""
    ignored = "; ".join(f"{r.source}: {reason}: {n}" for r in reports
                        for reason, n in {**r.quarantined, **r.ignored}.items())  # fmt: skip
    return UserError(
        "sources",
        found=f"no usable events ({ignored})",
        expected="at least one event that counts",
        mend="check `data_through`, `ignored_event_types` and the machine flag",
    )


def refuse_future(config: Config, latest: int) -> None:
    """Stop where the config says that days are known in full which have not been yet."""
    if config.data_through is not None and config.data_through > day_date(latest):
        raise UserError(
            "data_through",
            found=str(config.data_through),
            expected=f"at most {day_date(latest)}: no later day can be known in full",
        )


ENGINE_SHARE = 0.5  # of the memory; the rest is for what comes out of the engine
ROW_BYTES = 1_000  # that a row may need while it is grouped and sorted
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


def merged(parts: list[Table]) -> Table:
    """One tally of several sources: the facts merge, that is what makes them tallies."""
    if len(parts) == 1:
        return parts[0]
    together = ibis.union(*parts, distinct=False)
    return together.group_by(_DAILY_KEYS).agg(
        count=together["count"].sum(),
        value=together.value.sum().cast("int64"),
        largest=together.largest.max(),
        latest=_last_value(together, together.latest),
        first_at=together.first_at.min(),
        last_at=together.last_at.max(),
    )


def merged_attributes(parts: list[Table]) -> Table:
    """Likewise one attribute tally of several sources."""
    if len(parts) == 1:
        return parts[0]
    together = ibis.union(*parts, distinct=False)
    return together.group_by(_ATTRIBUTE_KEYS).agg(count=together["count"].sum().cast("int64"))
