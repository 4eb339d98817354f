"""Events -> tallies on Spark: read and mapped in the executors, tallied through Ibis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from ibis.expr.types import Table

from features.aggregates.daily_aggregates import no_events_error, refuse_future
from features.aggregates.dictionary_encoding import PlainTexts
from features.aggregates.expressions import attribute_tally, daily_tally
from features.aggregates.orders import combine_order_lines, count_orders, sign_amounts
from features.aggregates.sessions import session_tally
from features.aggregates.tallies import ATTRIBUTE_SCHEMA
from features.config.config import Config
from features.contracts import CUSTOMER
from features.sources.duckdb_connection import connect
from features.sources.erasure_list import NO_ERASURES, ErasureList
from features.sources.events import inspect_rows, judge_rows, usable_events
from features.sources.identity_links import read_identities
from features.sources.locations import describe_location
from features.sources.read_report import ReadReport
from features.spark.spark import Cluster, collected, user_errors, write_frame
from features.spark.spark_rows import source_rows


@dataclass(frozen=True)
class StoredTally:
    """What was written of a tally.

    Attributes
    ----------
    reports
        Of the identities where there are any, and one a source.
    event_types
        Those with events, rising.
    """

    reports: list[ReadReport]
    event_types: tuple[str, ...]


def tally_on_spark(
    cluster: Cluster,
    config: Config,
    *,
    latest: int,
    quarantine: Path,
    temporary: Path,
    into: Path,
    erased: ErasureList = NO_ERASURES,
) -> StoredTally:
    """Read every source of a config and write its tallies as parquet.

    Parameters
    ----------
    cluster
        From `features.spark.spark.cluster`.
    config, latest, quarantine, temporary, erased
        As `features.aggregates.daily_aggregates.tally`.
    into
        Folder of the segment: ``daily.parquet``, ``attributes.parquet`` and, where sources have
        sessions, ``sessions.parquet``, with the columns of
        `features.aggregates.daily_aggregates.Tallies`.

    Raises
    ------
    UserError
        As `features.aggregates.daily_aggregates.tally`.
    """
    refuse_future(config, latest)
    with user_errors():
        links, reports = _links(cluster, config, latest, quarantine, temporary)
        texts, counted_orders, sources, persisted = PlainTexts(), [], [], []
        for number in range(len(config.sources)):
            staged, report = _staged(cluster, number, config, latest, quarantine, links, erased)
            persisted.append(staged)
            reports.append(report)
            judged = cluster.backend.table(f"staged_{number}")
            usable = usable_events(judged, config.sources[number], config, links)
            events = usable.rename(customer="customer_id")
            counted_orders.append(
                count_orders(sign_amounts(combine_order_lines(events), texts, config))
            )
            sources.append(events)
        into.mkdir(parents=True, exist_ok=True)
        _write(cluster, daily_tally(counted_orders), into / "daily.parquet")
        choices = attribute_tally(sources, texts, [*config.attributes(), "channel"])
        if choices is not None:
            _write(cluster, choices, into / "attributes.parquet")
        else:
            empty_attributes = ATTRIBUTE_SCHEMA.empty_table().cast(_plain(ATTRIBUTE_SCHEMA))
            pq.write_table(empty_attributes, into / "attributes.parquet")
        sessions = session_tally(cluster.backend, config)
        if sessions is not None:
            pq.write_table(sessions, into / "sessions.parquet")
        for frame in persisted:
            frame.unpersist()
        type_rows = cluster.parquet([into / "daily.parquet"]).select("event_type").distinct()
        event_types = sorted(row["event_type"] for row in collected(type_rows))
    if not event_types:
        raise no_events_error(reports)
    return StoredTally(reports, tuple(event_types))


def _links(
    cluster: Cluster, config: Config, latest: int, quarantine: Path, temporary: Path
) -> tuple[Table | None, list[ReadReport]]:
    """The spans that `read_identities` gives, read on this machine and dealt out."""
    connection = connect(temporary, memory=config.memory_bytes, threads=config.threads)
    links, reports = read_identities(connection, config, latest=latest, quarantine=quarantine)
    if links is None:
        return None, reports
    temporary.mkdir(parents=True, exist_ok=True)
    links.to_parquet(temporary / "links.parquet")
    return cluster.named("links", cluster.parquet([temporary / "links.parquet"])), reports


def _staged(
    cluster: Cluster,
    number: int,
    config: Config,
    latest: int,
    quarantine: Path,
    links: Table | None,
    erased: ErasureList,
) -> tuple[Any, ReadReport]:
    """Judged rows of a source, kept by the executors as ``staged_<number>``, and their report."""
    source = config.sources[number]
    standard_rows = cluster.named(f"rows_{number}", source_rows(cluster, source, config))
    judged_rows = judge_rows(
        standard_rows, source, config, latest=latest, links=links, erased=erased
    )
    frame = cluster.frame(judged_rows).persist()
    staged = cluster.named(f"staged_{number}", frame)
    set_aside: Callable[[Table, Path], None] = partial(_set_aside, cluster)
    quarantine_file = quarantine / f"source_{number}.parquet"
    return frame, inspect_rows(
        staged, describe_location(source.events), config, quarantine_file, set_aside
    )


def _set_aside(cluster: Cluster, bad: Table, aside: Path) -> None:
    write_frame(cluster.frame(bad), aside)


def _write(cluster: Cluster, table: Table, path: Path) -> None:
    write_frame(cluster.frame(table.rename({CUSTOMER: "customer"})), path)


def _plain(schema: pa.Schema) -> pa.Schema:
    """The schema with texts instead of dictionaries."""
    texts = [
        pa.field(each.name, pa.string()) if pa.types.is_dictionary(each.type) else each
        for each in schema
    ]
    return pa.schema(texts)
