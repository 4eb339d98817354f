"""Tallies stored in segments: the first read, and one addition per later read.

Tallies are mergeable, so segments are only added; the window kernel merges rows of a day. A
segment counts from the moment the manifest lists it.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.aggregates.manifest import Manifest
from features.aggregates.tallies import ATTRIBUTE_SCHEMA, StoredOrders, Tallies
from features.storage.check_sums import refuse_changed, write_sums
from features.storage.fault_injection import boundary

SEGMENT_TABLES = ("daily", "attributes", "sessions", "orders", "event_ids")
MAX_SEGMENTS = 64  # more segments than this are merged


def segment_name(number: int) -> str:
    """Return the folder name of a segment."""
    return f"segment-{number:05d}"


def next_segment_name(manifest: Manifest) -> str:
    """Return an unused segment name."""
    numbers = [int(name.rsplit("-", 1)[1]) for name in manifest.segments]
    return segment_name(max(numbers, default=-1) + 1)


class SegmentWriter:
    """Writes the tables of a segment batch by batch.

    Attributes
    ----------
    event_types
        Event types written so far.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.event_types: set[str] = set()
        self._open: dict[str, pq.ParquetWriter] = {}

    def add(self, table: str, rows: pa.Table) -> None:
        """Append rows to one of the `SEGMENT_TABLES`."""
        rows = rows.unify_dictionaries()
        if table not in self._open:
            file_path = self.folder / f"{table}.parquet"
            self._open[table] = pq.ParquetWriter(file_path, rows.schema, compression="zstd")
        self._open[table].write_table(rows)
        if table == "daily":
            self.event_types |= set(rows["event_type"].unique().to_pylist())

    def close(self) -> None:
        """Finish all files."""
        for writer in self._open.values():
            writer.close()


@contextmanager
def writing_segment(folder: Path, name: str) -> Iterator[SegmentWriter]:
    """Write a segment to a partial folder and rename it; an unlisted old one is replaced."""
    partial, target = folder / f"{name}.partial", folder / name
    for leftover in (partial, target):
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir(parents=True)
    with closing(SegmentWriter(partial)) as writer:
        yield writer
    write_segment_sums(partial)
    boundary("segment aside")
    os.replace(partial, target)


def write_segment_sums(segment: Path) -> None:
    """Write the check sums of a segment's tables."""
    for table in segment.glob("*.parquet"):
        write_sums(table)


def write_segment(folder: Path, name: str, tallies: Tallies) -> None:
    """Write tallies in memory as one segment."""
    with writing_segment(folder, name) as writer:
        for table_name in SEGMENT_TABLES:
            table_rows: pa.Table | None = getattr(tallies, table_name)
            if table_rows is not None:
                writer.add(table_name, table_rows)


def read_segments(folder: Path, names: Sequence[str]) -> Tallies:
    """Read all segments, without the tables that only later files need."""
    daily, attributes = (_read(folder, names, table) for table in ("daily", "attributes"))
    with_sessions = [name for name in names if (folder / name / "sessions.parquet").exists()]
    return Tallies(
        daily, attributes, _read(folder, with_sessions, "sessions") if with_sessions else None
    )


def read_event_types(folder: Path, names: Sequence[str], event_types: Sequence[str]) -> Tallies:
    """Read the daily rows of some event types, without attributes."""
    row_filter = pc.field("event_type").isin(list(event_types))
    return Tallies(_read(folder, names, "daily", row_filter), ATTRIBUTE_SCHEMA.empty_table())


def read_customers(folder: Path, names: Sequence[str], first: str, end: str | None) -> Tallies:
    """Read tallies of customers with `first` <= id < `end` (None: no upper bound)."""
    return Tallies(
        *(
            _concatenated(
                [
                    _customer_rows(path, first, end)
                    for name in names
                    for path in part_files(folder / name / f"{table}.parquet")
                ]
            )
            for table in ("daily", "attributes")
        )
    )


def part_files(path: Path) -> list[Path]:
    """Return the files of a segment's table: one, or several written by a cluster."""
    return sorted(path.glob("*.parquet")) if path.is_dir() else [path]


def _customer_rows(path: Path, first: str, end: str | None) -> pa.Table:
    """Read rows of a range of customers from the row groups that may contain them."""
    refuse_changed(path)
    with pq.ParquetFile(path) as parquet:
        column, row_groups = parquet.schema_arrow.get_field_index("customer_id"), []
        for group_number in range(parquet.metadata.num_row_groups):
            statistics = parquet.metadata.row_group(group_number).column(column).statistics
            is_outside = statistics is not None and statistics.has_min_max
            is_outside = is_outside and (
                statistics.max < first or (end is not None and statistics.min >= end)
            )
            row_groups += [] if is_outside else [group_number]
        candidates = parquet.read_row_groups(row_groups)
    row_filter = pc.field("customer_id") >= first
    return candidates.filter(
        row_filter if end is None else row_filter & (pc.field("customer_id") < end)
    )


def table_files(folder: Path, table: str) -> list[Path]:
    """Return the checked files of a table in all listed segments."""
    manifest = Manifest.load(folder)
    segment_names = manifest.segments if manifest is not None else ()
    paths = [folder / segment / f"{table}.parquet" for segment in segment_names]
    for path in paths:
        refuse_changed(path)
    return paths


def _read(folder: Path, names: Sequence[str], table: str, asked: Any = None) -> pa.Table:
    paths = [folder / segment / f"{table}.parquet" for segment in names]
    for path in paths:
        refuse_changed(path)
    return _concatenated([pq.read_table(path, filters=asked) for path in paths])


def _concatenated(tables: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables(
        [part.cast(_schema_like(part.schema, tables[0].schema)) for part in tables]
    )


def _schema_like(schema: pa.Schema, first: pa.Schema) -> pa.Schema:
    """Return the schema with the first segment's types: engines differ in dictionary encoding."""
    return pa.schema([first.field(name) for name in schema.names])


def stored_orders_of(folder: Path, manifest: Manifest, sources: tuple[int, ...]) -> StoredOrders:
    """Return the stored orders and event ids of all segments."""

    def there(table: str) -> tuple[str, ...]:
        paths = [folder / segment / f"{table}.parquet" for segment in manifest.segments]
        stored = [path for path in paths if path.exists()]
        for path in stored:
            refuse_changed(path)
        return tuple(map(str, stored))

    return StoredOrders(there("orders"), there("event_ids"), sources)


def merge_segments(folder: Path, manifest: Manifest) -> str:
    """Merge all segments of a manifest into a new one; return its name."""
    name = next_segment_name(manifest)
    tables = {}
    for table_name in SEGMENT_TABLES:
        with_table = [
            segment
            for segment in manifest.segments
            if (folder / segment / f"{table_name}.parquet").exists()
        ]
        tables[table_name] = _read(folder, with_table, table_name) if with_table else None
    write_segment(folder, name, Tallies(**tables))
    return name


def remove_unlisted(folder: Path, manifest: Manifest) -> None:
    """Remove segments that the manifest does not list: unfinished or merged ones."""
    for segment in folder.glob("segment-*"):
        if segment.name not in manifest.segments:
            shutil.rmtree(segment, ignore_errors=True)
