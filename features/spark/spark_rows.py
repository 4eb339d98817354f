"""Source rows on Spark: cells are read in the executors, by the code that reads them elsewhere."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from ibis.expr.types import Table

from features.config.config import Config
from features.config.sources import DatasetTable, EventSource, UrlTable
from features.sources.duckdb_connection import connect
from features.sources.events import ATTRIBUTE, join_lookups, open_table, standardise
from features.sources.files import distinct_files
from features.sources.typed_files import _group_by_key_types
from features.spark.spark import BATCH_ROWS, Batches, Cluster

FILE = "file"


def source_rows(cluster: Cluster, source: EventSource, config: Config) -> Any:
    """Standard rows of a source (`features.sources.events.standardise`), as a frame.

    Parquet is read by Spark, and of it the mapped columns only; each other file by one executor;
    a table of a database or of an example data set by the driver, which deals it out.
    """
    schema = _schema(source, config)
    if isinstance(source.events, DatasetTable | UrlTable):
        table = open_table(connect(), source.events, source, source.mapped())
        raw = cluster.rows(table.to_pyarrow())
        return cluster.mapped(raw, _of_batches(source, config), schema)
    names = distinct_files(source.events)
    if Path(names[0]).name.lower().endswith(".parquet"):
        parts = [
            cluster.mapped(raw, _of_batches(source, config), schema)
            for raw in _parquet(cluster, names, source)
        ]
        return functools.reduce(lambda one, other: one.unionAll(other), parts)
    files = cluster.rows(pa.table({FILE: names})).repartition(len(names))
    return cluster.mapped(files, _of_files(source, config), schema)


def _parquet(cluster: Cluster, names: list[str], source: EventSource) -> list[Any]:
    """Mapped columns of parquet files, a frame for all whose keys are of the same types."""
    from pyspark.sql import functions

    frames = [cluster.parquet(files) for files in _group_by_key_types(names, source.keys())]
    kinds = {f.name: f.dataType for frame in reversed(frames) for f in frame.schema.fields}
    needed = [name for name in kinds if name in source.mapped()]

    def column(frame: Any, name: str) -> Any:
        absent = functions.lit(None).cast(kinds[name])
        return frame[f"`{name}`"] if name in frame.columns else absent.alias(name)

    return [frame.select(*(column(frame, name) for name in needed)) for frame in frames]


def _of_batches(source: EventSource, config: Config) -> Callable[[Batches], Iterator[pa.Table]]:
    def read(batches: Batches) -> Iterator[pa.Table]:
        connection = connect(threads=1)
        for batch in batches:
            rows = pa.Table.from_batches([batch])
            if rows.num_rows:
                table = connection.create_table("batch", rows, temp=True, overwrite=True)
                found = standardise(join_lookups(connection, source, table), source, config)
                yield found.to_pyarrow()

    return read


def _of_files(source: EventSource, config: Config) -> Callable[[Batches], Iterator[pa.Table]]:
    def read(batches: Batches) -> Iterator[pa.Table]:
        for batch in batches:
            for name in batch.column(FILE).to_pylist():
                connection = connect(threads=1)
                one = source.model_copy(update={"events": (name,)})
                found: Table = standardise(join_lookups(connection, one), one, config)
                for rows in found.to_pyarrow_batches(chunk_size=BATCH_ROWS):
                    yield pa.Table.from_batches([rows])

    return read


_TYPES = {
    "at": pa.timestamp("us", tz="UTC"),
    "day": pa.int32(),
    "known_day": pa.int32(),
    "known_missing": pa.bool_(),
    "amount": pa.float64(),
    "amount_given": pa.bool_(),
    "is_machine": pa.bool_(),
}
_COLUMNS = ("anonymous_id", "customer_id", "event_type", "at", "day", "known_day", "known_missing",
            "amount", "amount_given", "order_id", "session_id", "is_machine", "event_key",
            "rounded", "occurred_at_text", "known_at_text", "value_text")  # fmt: skip


def _schema(source: EventSource, config: Config) -> pa.Schema:
    """What `standardise` gives of a source."""
    kept = [a for a in source.columns.attributes if a not in config.sensitive]
    if source.columns.channel is not None and "channel" not in config.sensitive:
        kept.append("channel")
    names = [*_COLUMNS, *(f"{ATTRIBUTE}{name}" for name in dict.fromkeys(kept))]
    return pa.schema([(name, _TYPES.get(name, pa.string())) for name in names])
