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
from features.errors import UserError
from features.sources.duckdb_connection import connect
from features.sources.events import ATTRIBUTE, join_lookups, open_table, standardise
from features.sources.locations import describe_location, distinct_files
from features.sources.typed_files import _group_by_key_types
from features.spark.spark import BATCH_ROWS, Batches, Cluster

_FILE = "file"


def source_rows(cluster: Cluster, source: EventSource, config: Config) -> Any:
    """Standard rows of a source (`features.sources.events.standardise`), as a frame.

    Parquet is read by Spark, and of it the mapped columns only; each other file by one executor;
    a table of a database or of an example data set by the driver, which deals it out.

    Raises
    ------
    UserError
        For `fill_within_order`: no executor sees all lines of an order.
    """
    if source.fill_within_order:
        raise UserError(
            f"sources: {describe_location(source.events)}: fill_within_order",
            found="`engine: spark`",
            expected="`engine: duckdb`, or files whose cells are filled on every line",
        )
    schema = _schema(source, config)
    if isinstance(source.events, DatasetTable | UrlTable):
        table = open_table(connect(), source.events, source, source.mapped())
        raw_rows = cluster.rows(table.to_pyarrow())
        return cluster.mapped(raw_rows, _of_batches(source, config), schema)
    file_names = distinct_files(source.events)
    if Path(file_names[0]).name.lower().endswith(".parquet"):
        part_frames = [
            cluster.mapped(raw_rows, _of_batches(source, config), schema)
            for raw_rows in _parquet(cluster, file_names, source)
        ]
        return functools.reduce(lambda one, other: one.unionAll(other), part_frames)
    file_frame = cluster.rows(pa.table({_FILE: file_names})).repartition(len(file_names))
    return cluster.mapped(file_frame, _of_files(source, config), schema)


def _parquet(cluster: Cluster, names: list[str], source: EventSource) -> list[Any]:
    """Mapped columns of parquet files, a frame for all whose keys are of the same types."""
    from pyspark.sql import functions

    frames = [cluster.parquet(files) for files in _group_by_key_types(names, source.keys())]
    column_types = {f.name: f.dataType for frame in reversed(frames) for f in frame.schema.fields}
    needed = [name for name in column_types if name in source.mapped()]

    def column(frame: Any, name: str) -> Any:
        absent = functions.lit(None).cast(column_types[name])
        return frame[f"`{name}`"] if name in frame.columns else absent.alias(name)

    return [frame.select(*(column(frame, name) for name in needed)) for frame in frames]


def _of_batches(source: EventSource, config: Config) -> Callable[[Batches], Iterator[pa.Table]]:
    def read(batches: Batches) -> Iterator[pa.Table]:
        connection = connect(threads=1)
        for batch in batches:
            batch_rows = pa.Table.from_batches([batch])
            if batch_rows.num_rows:
                batch_table = connection.create_table(
                    "batch", batch_rows, temp=True, overwrite=True
                )
                standard_rows = standardise(
                    join_lookups(connection, source, batch_table), source, config
                )
                yield standard_rows.to_pyarrow()

    return read


def _of_files(source: EventSource, config: Config) -> Callable[[Batches], Iterator[pa.Table]]:
    def read(batches: Batches) -> Iterator[pa.Table]:
        for batch in batches:
            for file_name in batch.column(_FILE).to_pylist():
                connection = connect(threads=1)
                file_source = source.model_copy(update={"events": (file_name,)})
                standard_rows: Table = standardise(
                    join_lookups(connection, file_source), file_source, config
                )
                for rows in standard_rows.to_pyarrow_batches(chunk_size=BATCH_ROWS):
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
    attributes = [
        attribute for attribute in source.columns.attributes if attribute not in config.sensitive
    ]
    if source.columns.channel is not None and "channel" not in config.sensitive:
        attributes.append("channel")
    column_names = [*_COLUMNS, *(f"{ATTRIBUTE}{name}" for name in dict.fromkeys(attributes))]
    return pa.schema([(name, _TYPES.get(name, pa.string())) for name in column_names])
