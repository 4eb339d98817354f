"""Events -> tallies: one row a customer, day and event type, written once in Ibis."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
from ibis.expr.types import Table

from features.aggregates.dictionary_encoding import Numbers
from features.aggregates.expressions import (
    ATTRIBUTE_KEYS,
    ATTRIBUTE_SCHEMA,
    DAILY_KEYS,
    attribute_tally,
    daily_tally,
    together,
)
from features.aggregates.incremental import Then, open_earlier
from features.aggregates.manifest import CannotExtend, grows
from features.aggregates.orders import NEGATIVE as NEGATIVE
from features.aggregates.orders import (
    NOTHING_SEEN,
    ORDER_COLUMNS,
    Seen,
    counted_once,
    orders_of,
    refuse_earlier,
    signed,
    stored_orders,
)
from features.aggregates.partitioning import Shard, dealt
from features.aggregates.sessions import session_tally
from features.calendar import day_date
from features.config.config import Config
from features.config.sources import EventSource
from features.errors import UserError
from features.progress import Told, unheard
from features.sources.duckdb_connection import connect
from features.sources.erasure_list import NO_ERASURES, ErasureList
from features.sources.events import ATTRIBUTE, read_source, staged_table_name
from features.sources.identity_links import read_identities
from features.sources.quarantine import ReadReport, sum_reports


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
        See `features.aggregates.sessions.session_tally`; nothing but traffic is measured by it.
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


@dataclass(frozen=True)
class _Read:
    """One source, read and noted, and not tallied yet.

    Attributes
    ----------
    table
        What the engine calls the table of its rows.
    events
        Its events, from `features.sources.events.read_source`.
    before
        What is stored of the orders that have new lines; None where of none.
    number
        Position in the whole config.
    source
        The source.
    """

    table: str
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


def _in_numbers(numbers: Numbers, table: Table, name: str) -> Table:
    """The rows with numbers in place of the texts of customers and event types."""
    renamed = table.rename({"customer": name}) if name != "customer" else table
    return numbers.put(numbers.put(renamed, "customer"), "event_type")


class Keep(Protocol):
    """Takes what the tallying makes, shard by shard of rising customers."""

    def add(self, table: str, rows: pa.Table) -> None:
        """Some rows of one of the tables of `Tallies`."""


class _InMemory:
    """Keeps all rows, to give them as tallies."""

    def __init__(self) -> None:
        self.parts: dict[str, list[pa.Table]] = {}

    def add(self, table: str, rows: pa.Table) -> None:
        self.parts.setdefault(table, []).append(rows)

    def tallies(self) -> Tallies:
        return Tallies(**{name: pa.concat_tables(parts) for name, parts in self.parts.items()})


def _tally_shard(
    numbers: Numbers, shard: Shard, reads: list[_Read], config: Config, keep: Keep
) -> int:
    """Tally the customers of a shard, of all sources; the number of days that have any."""
    counted = []
    for read, events in zip(reads, shard.events, strict=True):
        orders, before = signed(orders_of(events), numbers, config), read.before
        if before is not None:
            before = shard.customers(_in_numbers(numbers, before, "customer"))
            refuse_earlier(orders, before)
        counted.append(counted_once(orders, before))
        if read.orders_like("order_id"):
            named = orders.filter(orders.order_id.notnull()).select(*ORDER_COLUMNS)
            kept = numbers.texts(named, ("customer", "event_type")).to_pyarrow()
            keep.add("orders", _of_source(kept, read.number))
    days = numbers.sorted(daily_tally(counted), DAILY_KEYS)
    keep.add("daily", days)
    chosen = attribute_tally(list(shard.events), numbers, [*config.attributes(), "channel"])
    if chosen is not None:
        found = numbers.sorted(chosen, ATTRIBUTE_KEYS)
        keep.add("attributes", found.cast(ATTRIBUTE_SCHEMA))
    return int(days.num_rows)


def _of_source(rows: pa.Table, number: int) -> pa.Table:
    return rows.append_column("source", pa.repeat(pa.scalar(number, pa.int32()), rows.num_rows))


def _shards(rows: int, config: Config) -> int:
    """Shards of customers, so many that what is grouped and sorted fits in memory."""
    each = ROW_BYTES * (1 + len(config.attributes()) / 4)
    return max(math.ceil(rows * each / config.memory_bytes), 1)


def _refuse_seen(connection: Any, events: Table, seen: Seen, source: int) -> None:
    """Stop where new files hold event ids of old ones: which copy counts depends on both."""
    if not seen.event_ids:
        return
    ids = connection.read_parquet(list(seen.event_ids))
    ids = ids.filter(ids.source == seen.number(source))
    again = int(events.semi_join(ids, "event_key").count().execute())
    if again:
        raise CannotExtend(f"{again} event ids of the new files were there before")


def tally(config: Config, **how: Any) -> tuple[Tallies, list[ReadReport]]:
    """Read every source of a config and tally it, all in memory (see `tally_into`)."""
    made = _InMemory()
    reports = tally_into(made, config, **how)
    return made.tallies(), reports


def tally_into(
    keep: Keep,
    config: Config,
    *,
    latest: int,
    quarantine: Path,
    temporary: Path | None = None,
    seen: Seen = NOTHING_SEEN,
    then: Then | None = None,
    told: Told = unheard,
    erased: ErasureList = NO_ERASURES,
) -> list[ReadReport]:
    """Read every source of a config and tally it.

    Parameters
    ----------
    keep
        Takes the tallies of all sources together.
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
    then
        What it was made from; null where all files are read.
    told
        Told how far it has come: what is counted, how many are done, and of how many.
    erased
        Who asked to be erased.

    Returns
    -------
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
    with _room(temporary) as room:
        engine = connect(
            room,
            memory=int(config.memory_bytes * ENGINE_SHARE),
            threads=config.threads,
            ordered=False,
        )
        read = partial(read_source, engine, latest=latest, quarantine=quarantine, erased=erased)
        links, reports = read_identities(engine, config, latest=latest, quarantine=quarantine)
        earlier = None
        if then is not None:
            earlier = open_earlier(engine, then, links, latest=latest, erased=erased,
                                   temporary=room)  # fmt: skip
        numbers, reads = Numbers(engine), []
        for place, source in enumerate(config.sources):
            parts = [read(place, config, staged=room, links=links)] if source.events != () else []
            relinked = None if earlier is None else earlier.relinked(seen.number(place))
            parts += [] if relinked is None else [relinked]
            if parts:
                events = together([events for events, _ in parts])
                reads.append(_noted(engine, numbers, config, place, events, seen, keep))
            read_of_it = [report for _, report in parts]
            reports.append(sum_reports(read_of_it[0].source if parts else "", read_of_it))
            told("sources read", place + 1, len(config.sources))
        numbers.rank()
        sessions = session_tally(engine, config) if earlier is None else earlier.sessions(config)
        if sessions is not None:
            keep.add("sessions", sessions)
        counted = {read.table: _in_numbers(numbers, read.events, "customer_id") for read in reads}
        keep.add("attributes", ATTRIBUTE_SCHEMA.empty_table())
        days, shards = 0, _shards(sum(report.rows for report in reports), config)
        dealing = dealt(engine, counted, numbers.size("customer"), shards, room)
        for number, shard in enumerate(dealing, 1):
            days += _tally_shard(numbers, shard, reads, config, keep)
            told("shards of customers tallied", number, shards)
    if days == 0:
        raise nothing_left(reports)
    return reports


@contextmanager
def _room(temporary: Path | None) -> Iterator[Path]:
    """A folder for what does not fit in memory; what a killed run left there goes first."""
    if temporary is not None:
        temporary.mkdir(parents=True, exist_ok=True)
        for left in temporary.glob(f"{ROOM}*"):
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=ROOM, dir=temporary) as room:
        yield Path(room)


def _noted(
    engine: Any,
    numbers: Numbers,
    config: Config,
    place: int,
    events: Table,
    seen: Seen,
    keep: Keep,
) -> _Read:
    """A source whose texts are noted, together with what is stored of its orders."""
    _refuse_seen(engine, events, seen, place)
    before, number = stored_orders(engine, events, seen, place), seen.number(place)
    read = _Read(staged_table_name(place), events, before, number, config.sources[place])
    _note(numbers, read, [*config.attributes(), "channel"])
    if read.orders_like("event_key"):
        keep.add("event_ids", _of_source(events.select("event_key").to_pyarrow(), number))
    return read


def nothing_left(reports: list[ReadReport]) -> UserError:
    """The message where no event of any source counts."""
    ignored = "; ".join(f"{r.source}: {reason}: {n}" for r in reports
                        for reason, n in {**r.quarantined, **r.ignored}.items())  # fmt: skip
    return UserError(
        "sources",
        found=f"no usable events ({ignored})",
        expected="at least one event that counts",
        hint="check `data_through`, `ignored_event_types` and the machine flag",
    )


def refuse_future(config: Config, latest: int) -> None:
    """Stop where the config says that days are known in full which have not been yet."""
    if config.data_through is not None and config.data_through > day_date(latest):
        raise UserError(
            "data_through",
            found=str(config.data_through),
            expected=f"at most {day_date(latest)}: no later day can be known in full",
        )


ROOM = "tally-"
ENGINE_SHARE = 0.5  # of the memory; the rest is for what comes out of the engine
ROW_BYTES = 300  # that a row may need while it is grouped and sorted
