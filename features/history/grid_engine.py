"""Windowed counts and sums straight from event files: one pass, in shards of bounded memory.

This is the cold build, which stores no tally. DuckDB decodes the files on all threads and hands
over plain columns; `features.history.shards` deals them out by customer, and
`features.history.grid`
makes every window of every snapshot of a shard from one set of running sums.
"""

from __future__ import annotations

import datetime
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import ibis
import ibis.expr.datatypes as dt
import numpy as np
import pyarrow as pa
from ibis.expr.types import Table

from features.arrays import Array
from features.calendar import day_date, local_days
from features.contracts import CUSTOMER, SNAPSHOT
from features.errors import UserError
from features.history.grid import Grid, Rows, Windowed
from features.history.shards import Deal, Held, Plan
from features.sources.duckdb_connection import connect
from features.sources.files import require_column, unreadable_table

GIB = 1 << 30
DAY_US = 86_400_000_000
BATCH = 1 << 20  # events handed over at a time
MOST_SPREAD = 16  # places by id for each customer, where ids are numbers


@dataclass(frozen=True)
class EventFiles:
    """Parquet files of events, and which column is which.

    Attributes
    ----------
    files
        Paths.
    types
        Event types that get columns, in their order; other events are left out.
    customer_id, event_type, occurred_at, value
        Names of columns; `value` in major units. `occurred_at` is a timestamp, in UTC where it
        has no zone.
    known_at
        Column with the moment an event became known; None where that is when it occurred.
    timezone
        Zone whose midnights begin the days.
    minor_units
        Decimal places of the amounts.
    """

    files: Sequence[Path]
    types: tuple[str, ...]
    customer_id: str = "customer_id"
    event_type: str = "event_type"
    occurred_at: str = "occurred_at"
    value: str = "value"
    known_at: str | None = None
    timezone: str = "UTC"
    minor_units: int = 2


@dataclass(frozen=True)
class Shard:
    """Windowed facts of some customers at all snapshots.

    Attributes
    ----------
    customers
        Their ids, rising.
    facts
        Counts and sums, axes (snapshot, window, type, customer).
    grid, types
        What the axes mean.
    """

    customers: pa.Array
    facts: Windowed
    grid: Grid
    types: tuple[str, ...]

    def frame(self, number: int) -> pa.Table:
        """Features of one snapshot, by its number: one row a customer with an event before it.

        Columns: customer_id, snapshot_at (date), ``<type>__count_<window>`` (events) and
        ``<type>__sum_<window>`` (integer minor units), both int64; never null.
        """
        facts, columns = self.facts, {CUSTOMER: self.customers}
        stamp = pa.scalar(day_date(self.grid.snapshots[number]), pa.date32())
        columns[SNAPSHOT] = pa.repeat(stamp, len(self.customers))
        for kind, name in enumerate(self.types):
            for window, days in enumerate(self.grid.windows):
                said = "all" if days is None else f"{days}d"
                columns[f"{name}__count_{said}"] = pa.array(facts.counts[number, window, kind])
                columns[f"{name}__sum_{said}"] = pa.array(facts.sums[number, window, kind])
        exists = facts.exists[number]
        table = pa.table(columns)
        return table if exists.all() else table.filter(pa.array(exists))


def windowed_features(
    events: EventFiles,
    grid: Grid,
    *,
    memory: int = 4 * GIB,
    threads: int = 2,
    spill: Path | None = None,
    progress: Callable[[int], None] = lambda rows: None,
) -> Iterator[Shard]:
    """Windowed counts and sums of every customer at every snapshot of a grid.

    Parameters
    ----------
    events
        The event files.
    grid
        Snapshots and windows.
    memory
        Bytes to stay within, beside what the caller keeps.
    threads
        Processors to use; the result does not depend on it.
    spill
        Folder for what does not fit in memory, by default the system's own; emptied at the end.
    progress
        Told of the events read since the last call.

    Yields
    ------
    Shard
        By rising customer id; every customer of the files is in one of them.

    Raises
    ------
    UserError
        Where a file or column is missing, and where amounts are too large to be summed.
    """
    kinds = len(events.types)
    with tempfile.TemporaryDirectory(dir=spill, prefix="stagecast-") as name:
        folder = Path(name)
        connection = _connection(memory // 3, threads, folder)
        try:
            customers, rows = _customers(connection, events)
            size = {"kinds": kinds, "customers": len(customers)}
            plan = Plan.of(grid, **size, rows=rows, memory=memory, threads=threads)
            files = [
                folder / f"shard-{number}" if plan.spilled else None
                for number in range(-(-len(customers) // plan.block))
            ]
            deal = Deal(grid, **size, block=plan.block, held=[Held(file) for file in files])
            for batch in _batches(connection, events, customers, grid.snapshots[-1]):
                deal.add(batch)
                progress(len(batch.day))
        finally:
            connection.disconnect()
        yield from _worked(deal, customers, events.types, threads)


def _worked(
    deal: Deal, customers: pa.Array, types: tuple[str, ...], threads: int
) -> Iterator[Shard]:
    """Shards in order; no more are under way than there are threads."""

    def work(number: int) -> Shard:
        size = deal.size(number)
        facts = deal.held[number].facts(deal.grid, customers=size, kinds=deal.kinds)
        return Shard(customers.slice(number * deal.block, size), facts, deal.grid, types)

    waiting: deque[Future[Shard]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for number in range(len(deal.held)):
            waiting.append(pool.submit(work, number))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _connection(memory: int, threads: int, spill: Path) -> Any:
    return connect(spill / "duckdb", memory=memory, threads=threads, ordered=False)


def _opened(connection: Any, events: EventFiles) -> Table:
    wanted = [events.customer_id, events.event_type, events.occurred_at, events.value]
    wanted += [events.known_at] if events.known_at is not None else []
    try:
        table = connection.read_parquet([str(file) for file in events.files], union_by_name=True)
    except duckdb.Error as error:
        raise unreadable_table(Path(events.files[0]).name, error) from error
    return table.select(*(require_column(table, column, "events") for column in wanted))


def _customers(connection: Any, events: EventFiles) -> tuple[pa.Array, int]:
    """Customer ids, rising, and the number of events."""
    table = _opened(connection, events)
    named = table.select(id=table[events.customer_id])
    named = named.filter(named.id.notnull())
    counted = named.group_by("id").agg(n=named.count())
    found = counted.order_by("id").to_pyarrow().combine_chunks()
    if found.num_rows == 0:
        raise UserError("events", found="no customer", expected="at least one event")
    return found["id"].combine_chunks(), int(pa.compute.sum(found["n"]).as_py())


def _numbers_by_id(customers: pa.Array) -> Array | None:
    """Number of every id from the least to the largest; None where that would be a long list."""
    if not pa.types.is_integer(customers.type):
        return None
    ids = customers.to_numpy().astype(np.int64)
    span = int(ids[-1]) - int(ids[0]) + 1
    if span > MOST_SPREAD * len(ids):
        return None
    numbers = np.zeros(span, dtype=np.int32)
    numbers[ids - ids[0]] = np.arange(len(ids), dtype=np.int32)
    return numbers


def _numbered(connection: Any, table: Table, customers: pa.Array, events: EventFiles) -> Table:
    """The events with the numbers of their customers, by a join."""
    numbers = pa.array(np.arange(len(customers), dtype=np.int32))
    ids = connection.create_table(
        "customers", pa.table({"id": customers, "number": numbers}), temp=True
    )
    return table.inner_join(ids, table[events.customer_id] == ids.id)


def _batches(
    connection: Any, events: EventFiles, customers: pa.Array, before: int
) -> Iterator[Rows]:
    """The events of the wanted types on the days before one, in no certain order."""
    table, by_id = _opened(connection, events), _numbers_by_id(customers)
    if by_id is None:
        joined = _numbered(connection, table, customers, events)
    else:  # looking a number up is quicker than a join
        joined = table.filter(table[events.customer_id].notnull())
        joined = joined.mutate(number=joined[events.customer_id].cast("int64"))
    least = 0 if by_id is None else int(customers[0].as_py())
    moment = joined[events.occurred_at]
    if events.known_at is not None:  # empty: known when it occurred
        joined = joined.mutate(**{events.known_at: joined[events.known_at].fill_null(moment)})
    amount = (joined[events.value].fill_null(0) * 10**events.minor_units).round()
    chosen = joined.filter(moment < _midnight(before, events.timezone, moment.type())).select(
        customer=joined.number,
        # The engine finds a text's place in a list once for each text, not for each event.
        kind=ibis.array(list(events.types)).index(joined[events.event_type]).fill_null(-1),
        day=_day(moment, events),
        amount=amount.cast("int64"),
        **({"known": _day(joined[events.known_at], events)} if events.known_at else {}),
    )
    for batch in chosen.to_pyarrow_batches(chunk_size=BATCH):
        columns = {name: batch[name].to_numpy() for name in batch.schema.names}
        days = {n: _local(columns[n], events) for n in ("day", "known") if n in columns}
        known = np.maximum(days["known"], days["day"]) if "known" in days else None
        kind, customer = columns["kind"].astype(np.int8), columns["customer"]
        if by_id is not None:
            customer = by_id[customer - least]
        rows = Rows(customer, kind, days["day"], columns["amount"], known)
        yield rows if kind.min(initial=0) >= 0 else rows.where(np.flatnonzero(kind >= 0))


def _midnight(day: int, zone: str, kind: Any) -> Any:
    """The moment at which a local day begins, of the type of a column of moments."""
    date = day_date(day)
    if kind.is_date():
        return ibis.literal(date)
    at = datetime.datetime.combine(date, datetime.time(), ZoneInfo(zone)).astimezone(datetime.UTC)
    return ibis.literal(at if kind.timezone is not None else at.replace(tzinfo=None), type=kind)


def _day(moment: Any, events: EventFiles) -> Any:
    """Day number in UTC, or the microseconds from which the local day is found."""
    if moment.type().is_date():
        return moment.epoch_days().cast("int32")
    if events.timezone == "UTC":
        # Not through `date()`: of an instant with a zone the engine would ask its calendar.
        return (_epoch_us(moment) // DAY_US).cast("int32")
    return _epoch_us(moment)


def _local(values: Any, events: EventFiles) -> Any:
    if values.dtype == np.int64:  # microseconds
        return local_days(values, events.timezone).astype(np.int32)
    return values


@ibis.udf.scalar.builtin(name="epoch_us")  # type: ignore[untyped-decorator, unused-ignore]
def _epoch_us(moment: dt.timestamp) -> dt.int64:
    """Microseconds since 1970-01-01 UTC."""
