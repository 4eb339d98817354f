"""Build the tallies: one row per customer, day and event type."""

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

from features.aggregates.dictionary_encoding import TextNumbers
from features.aggregates.expressions import (
    ATTRIBUTE_KEYS,
    DAILY_KEYS,
    attribute_tally,
    daily_tally,
    union_all,
)
from features.aggregates.incremental import PreviousRead, open_earlier
from features.aggregates.manifest import CannotExtend, can_grow
from features.aggregates.orders import (
    ORDER_COLUMNS,
    combine_order_lines,
    count_orders,
    refuse_earlier,
    sign_amounts,
    stored_orders,
)
from features.aggregates.partitioning import Shard, partition_events
from features.aggregates.sessions import session_tally
from features.aggregates.tallies import (
    ATTRIBUTE_SCHEMA,
    NEGATIVE_AMOUNT,
    NO_STORED_ORDERS,
    StoredOrders,
    Tallies,
)
from features.calendar import day_date
from features.config.config import Config
from features.config.sources import EventSource
from features.errors import UserError
from features.progress import Told, unheard
from features.sources.duckdb_connection import connect
from features.sources.erasure_list import NO_ERASURES, ErasureList
from features.sources.events import ATTRIBUTE, read_source, staged_table_name
from features.sources.identity_links import read_identities
from features.sources.read_report import ReadReport, sum_reports


@dataclass(frozen=True)
class _NotedSource:
    """One source, read and with its texts noted, before the tally.

    Attributes
    ----------
    table
        The engine's name for its table.
    events
        Its events, from `features.sources.events.read_source`.
    before
        Stored rows of the orders that have new lines; None if there are none.
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
        """Return True if later files will need this source's values of a column."""
        column_names = {
            "order_id": self.source.columns.order_id,
            "event_key": self.source.event_id,
        }[name]
        return column_names is not None and can_grow(self.source)


def _note(numbers: TextNumbers, source: _NotedSource, attributes: list[str]) -> None:
    """Note all texts of a source."""
    numbers.note("customer", source.events.customer_id)
    numbers.note("event_type", pa.array([NEGATIVE_AMOUNT]), source.events.event_type)
    if source.before is not None:
        numbers.note("customer", source.before.customer)
    for attribute in attributes:
        column = f"{ATTRIBUTE}{attribute}"
        if column in source.events.columns:
            numbers.note("attribute", pa.array([attribute]))
            numbers.note("choice", source.events[column])


def _numbered(numbers: TextNumbers, table: Table, name: str) -> Table:
    """Replace customers and event types by their numbers."""
    renamed = table.rename({"customer": name}) if name != "customer" else table
    return numbers.put(numbers.put(renamed, "customer"), "event_type")


class TallySink(Protocol):
    """Receiver of tally rows, in shards of ascending customers."""

    def add(self, table: str, rows: pa.Table) -> None:
        """Add rows to one of the tables of `Tallies`."""


class _TallyCollector:
    """Collects all rows in memory."""

    def __init__(self) -> None:
        self.parts: dict[str, list[pa.Table]] = {}

    def add(self, table: str, rows: pa.Table) -> None:
        self.parts.setdefault(table, []).append(rows)

    def tallies(self) -> Tallies:
        return Tallies(**{name: pa.concat_tables(parts) for name, parts in self.parts.items()})


def _tally_shard(
    numbers: TextNumbers, shard: Shard, sources: list[_NotedSource], config: Config, sink: TallySink
) -> int:
    """Tally one shard of customers over all sources; return the number of daily rows."""
    counted_orders = []
    for source, events in zip(sources, shard.events, strict=True):
        orders, stored = sign_amounts(combine_order_lines(events), numbers, config), source.before
        if stored is not None:
            stored = shard.customers(_numbered(numbers, stored, "customer"))
            refuse_earlier(orders, stored)
        counted_orders.append(count_orders(orders, stored))
        if source.orders_like("order_id"):
            named_orders = orders.filter(orders.order_id.notnull()).select(*ORDER_COLUMNS)
            order_texts = numbers.texts(named_orders, ("customer", "event_type")).to_pyarrow()
            sink.add("orders", _with_source(order_texts, source.number))
    day_rows = numbers.sorted(daily_tally(counted_orders), DAILY_KEYS)
    sink.add("daily", day_rows)
    choices = attribute_tally(list(shard.events), numbers, [*config.attributes(), "channel"])
    if choices is not None:
        choice_rows = numbers.sorted(choices, ATTRIBUTE_KEYS)
        sink.add("attributes", choice_rows.cast(ATTRIBUTE_SCHEMA))
    return int(day_rows.num_rows)


def _with_source(rows: pa.Table, number: int) -> pa.Table:
    return rows.append_column("source", pa.repeat(pa.scalar(number, pa.int32()), rows.num_rows))


def _shards(rows: int, config: Config) -> int:
    """Return how many shards of customers are needed to group and sort within memory."""
    bytes_per_row = _BYTES_PER_ROW * (1 + len(config.attributes()) / 4)
    return max(math.ceil(rows * bytes_per_row / config.memory_bytes), 1)


def _refuse_known_ids(connection: Any, events: Table, stored: StoredOrders, source: int) -> None:
    """Stop if new files repeat stored event ids: which copy counts depends on both."""
    if not stored.event_ids:
        return
    stored_ids = connection.read_parquet(list(stored.event_ids))
    stored_ids = stored_ids.filter(stored_ids.source == stored.number(source))
    repeated = int(events.semi_join(stored_ids, "event_key").count().execute())
    if repeated:
        raise CannotExtend(f"{repeated} event ids of the new files were there before")


def tally(config: Config, **options: Any) -> tuple[Tallies, list[ReadReport]]:
    """Read and tally every source of a config in memory (see `tally_into`)."""
    collector = _TallyCollector()
    reports = tally_into(collector, config, **options)
    return collector.tallies(), reports


def tally_into(
    sink: TallySink,
    config: Config,
    *,
    latest: int,
    quarantine: Path,
    temporary: Path | None = None,
    stored: StoredOrders = NO_STORED_ORDERS,
    previous: PreviousRead | None = None,
    progress: Told = unheard,
    erased: ErasureList = NO_ERASURES,
) -> list[ReadReport]:
    """Read and tally every source of a config.

    Parameters
    ----------
    sink
        Receives the tallies of all sources.
    config
        The data set.
    latest
        Day number after which no event can be genuine.
    quarantine
        Folder for bad rows.
    temporary
        Folder to spill to.
    stored
        Stored orders and event ids of earlier files of the same sources.
    previous
        Inputs of the stored tallies; None if all files are read now.
    progress
        Progress callback: name of the step, steps done, total steps.
    erased
        Who asked to be erased.

    Returns
    -------
    list of ReadReport
        One for the identities, if declared, and one per source.

    Raises
    ------
    UserError
        As `read_source`, for negative amounts under ``refunds: reject``, for a ``data_through``
        in the future, and if no usable event remains.
    CannotExtend
        If stored rows would change.
    """
    refuse_future(config, latest)
    with _spill_folder(temporary) as spill_folder:
        engine = connect(
            spill_folder,
            memory=int(config.memory_bytes * _ENGINE_MEMORY_SHARE),
            threads=config.threads,
            ordered=False,
        )
        read_one = partial(read_source, engine, latest=latest, quarantine=quarantine, erased=erased)
        links, reports = read_identities(engine, config, latest=latest, quarantine=quarantine)
        earlier_files = None
        if previous is not None:
            earlier_files = open_earlier(engine, previous, links, latest=latest, erased=erased,
                                   temporary=spill_folder)  # fmt: skip
        numbers, noted_sources = TextNumbers(engine), []
        for position, source in enumerate(config.sources):
            event_parts = (
                [read_one(position, config, staged=spill_folder, links=links)]
                if source.events != ()
                else []
            )
            relinked = (
                None if earlier_files is None else earlier_files.relinked(stored.number(position))
            )
            event_parts += [] if relinked is None else [relinked]
            if event_parts:
                events = union_all([events for events, _ in event_parts])
                noted_sources.append(
                    _noted_source(engine, numbers, config, position, events, stored, sink)
                )
            part_reports = [report for _, report in event_parts]
            reports.append(sum_reports(part_reports[0].source if event_parts else "", part_reports))
            progress("sources read", position + 1, len(config.sources))
        numbers.rank()
        sessions = (
            session_tally(engine, config)
            if earlier_files is None
            else earlier_files.sessions(config)
        )
        if sessions is not None:
            sink.add("sessions", sessions)
        numbered_events = {
            read_one.table: _numbered(numbers, read_one.events, "customer_id")
            for read_one in noted_sources
        }
        sink.add("attributes", ATTRIBUTE_SCHEMA.empty_table())
        day_count, shards = 0, _shards(sum(report.rows for report in reports), config)
        shard_events = partition_events(
            engine, numbered_events, numbers.size("customer"), shards, spill_folder
        )
        for shard_number, shard in enumerate(shard_events, 1):
            day_count += _tally_shard(numbers, shard, noted_sources, config, sink)
            progress("shards of customers tallied", shard_number, shards)
    if day_count == 0:
        raise no_events_error(reports)
    return reports


@contextmanager
def _spill_folder(temporary: Path | None) -> Iterator[Path]:
    """Create a folder to spill to, after removing those of killed runs."""
    if temporary is not None:
        temporary.mkdir(parents=True, exist_ok=True)
        for leftover in temporary.glob(f"{_SPILL_PREFIX}*"):
            shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_SPILL_PREFIX, dir=temporary) as spill_folder:
        yield Path(spill_folder)


def _noted_source(
    engine: Any,
    numbers: TextNumbers,
    config: Config,
    position: int,
    events: Table,
    stored: StoredOrders,
    sink: TallySink,
) -> _NotedSource:
    """Note the texts of a source, and add the stored rows of its orders."""
    _refuse_known_ids(engine, events, stored, position)
    stored_rows, number = stored_orders(engine, events, stored, position), stored.number(position)
    noted_source = _NotedSource(
        staged_table_name(position), events, stored_rows, number, config.sources[position]
    )
    _note(numbers, noted_source, [*config.attributes(), "channel"])
    if noted_source.orders_like("event_key"):
        sink.add("event_ids", _with_source(events.select("event_key").to_pyarrow(), number))
    return noted_source


def no_events_error(reports: list[ReadReport]) -> UserError:
    """Return the error for sources without any usable event."""
    ignored = "; ".join(
        f"{report.source}: {reason}: {row_count}"
        for report in reports
        for reason, row_count in {**report.quarantined, **report.ignored}.items()
    )
    return UserError(
        "sources",
        found=f"no usable events ({ignored})",
        expected="at least one event that counts",
        hint="check `data_through`, `ignored_event_types` and the machine flag",
    )


def refuse_future(config: Config, latest: int) -> None:
    """Stop if the config's ``data_through`` lies in the future."""
    if config.data_through is not None and config.data_through > day_date(latest):
        raise UserError(
            "data_through",
            found=str(config.data_through),
            expected=f"at most {day_date(latest)}: no later day can be known in full",
        )


_SPILL_PREFIX = "tally-"
_ENGINE_MEMORY_SHARE = 0.5  # of the memory limit; the rest is for results outside the engine
_BYTES_PER_ROW = 300  # per row while it is grouped and sorted
