"""Stored tallies in segments: what the first reading gave, and what each later one added.

Tallies are mergeable, so a segment is only ever added; the kernel merges the rows of a day. A
segment counts from the moment the manifest names it.
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

from features.aggregates.daily_aggregates import Tallies
from features.aggregates.expressions import ATTRIBUTE_SCHEMA
from features.aggregates.manifest import Manifest
from features.aggregates.orders import Seen
from features.storage.check_sums import note_sums, refuse_changed
from features.storage.fault_injection import boundary

TABLES = ("daily", "attributes", "sessions", "orders", "event_ids")
MOST = 64  # segments are put together once there are more


def name_of(number: int) -> str:
    """Folder of a segment."""
    return f"segment-{number:05d}"


def next_name(manifest: Manifest) -> str:
    """A name that no segment has had."""
    numbers = [int(name.rsplit("-", 1)[1]) for name in manifest.segments]
    return name_of(max(numbers, default=-1) + 1)


class Writer:
    """Writes the tables of a segment, each as many rows at a time as it is given.

    Attributes
    ----------
    event_types
        Those with events so far.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.event_types: set[str] = set()
        self._open: dict[str, pq.ParquetWriter] = {}

    def add(self, table: str, rows: pa.Table) -> None:
        """Some rows of one of the `TABLES`, in the order in which they are to stand."""
        rows = rows.unify_dictionaries()
        if table not in self._open:
            file = self.folder / f"{table}.parquet"
            self._open[table] = pq.ParquetWriter(file, rows.schema, compression="zstd")
        self._open[table].write_table(rows)
        if table == "daily":
            self.event_types |= set(rows["event_type"].unique().to_pylist())

    def close(self) -> None:
        """Finish all files."""
        for each in self._open.values():
            each.close()


@contextmanager
def writing(folder: Path, name: str) -> Iterator[Writer]:
    """Write a segment aside and rename it into its place; what was there was never named."""
    partial, place = folder / f"{name}.partial", folder / name
    for old in (partial, place):
        shutil.rmtree(old, ignore_errors=True)
    partial.mkdir(parents=True)
    with closing(Writer(partial)) as writer:
        yield writer
    note_segment(partial)
    boundary("segment aside")
    os.replace(partial, place)


def note_segment(place: Path) -> None:
    """Write the check sums of all tables of a segment."""
    for table in place.glob("*.parquet"):
        note_sums(table)


def write(folder: Path, name: str, tallies: Tallies) -> None:
    """Write a segment of tallies that are in memory."""
    with writing(folder, name) as writer:
        for table in TABLES:
            rows: pa.Table | None = getattr(tallies, table)
            if rows is not None:
                writer.add(table, rows)


def read(folder: Path, names: Sequence[str]) -> Tallies:
    """All segments together, without what only later files need."""
    daily, attributes = (_read(folder, names, table) for table in ("daily", "attributes"))
    sessions = [name for name in names if (folder / name / "sessions.parquet").exists()]
    return Tallies(daily, attributes, _read(folder, sessions, "sessions") if sessions else None)


def read_days(folder: Path, names: Sequence[str], event_types: Sequence[str]) -> Tallies:
    """The days of some event types, without what customers chose."""
    asked = pc.field("event_type").isin(list(event_types))
    return Tallies(_read(folder, names, "daily", asked), ATTRIBUTE_SCHEMA.empty_table())


def read_some(folder: Path, names: Sequence[str], first: str, end: str | None) -> Tallies:
    """Tallies of the customers with ids from `first` to before `end` (None: to the last)."""
    return Tallies(
        *(
            _together(
                [
                    _stretch(path, first, end)
                    for name in names
                    for path in parts(folder / name / f"{table}.parquet")
                ]
            )
            for table in ("daily", "attributes")
        )
    )


def parts(path: Path) -> list[Path]:
    """Files of a table of a segment: one, or as many as several machines wrote."""
    return sorted(path.glob("*.parquet")) if path.is_dir() else [path]


def _stretch(path: Path, first: str, end: str | None) -> pa.Table:
    """Rows of a stretch of customers, from the row groups that may hold any of them."""
    refuse_changed(path)
    with pq.ParquetFile(path) as file:
        column, groups = file.schema_arrow.get_field_index("customer_id"), []
        for number in range(file.metadata.num_row_groups):
            known = file.metadata.row_group(number).column(column).statistics
            outside = known is not None and known.has_min_max
            outside = outside and (known.max < first or (end is not None and known.min >= end))
            groups += [] if outside else [number]
        rows = file.read_row_groups(groups)
    asked = pc.field("customer_id") >= first
    return rows.filter(asked if end is None else asked & (pc.field("customer_id") < end))


def files(folder: Path, table: str) -> list[Path]:
    """Files of a table in all segments that count."""
    manifest = Manifest.load(folder)
    names = manifest.segments if manifest is not None else ()
    paths = [folder / name / f"{table}.parquet" for name in names]
    for path in paths:
        refuse_changed(path)
    return paths


def _read(folder: Path, names: Sequence[str], table: str, asked: Any = None) -> pa.Table:
    paths = [folder / name / f"{table}.parquet" for name in names]
    for path in paths:
        refuse_changed(path)
    return _together([pq.read_table(path, filters=asked) for path in paths])


def _together(parts: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables([part.cast(_like(part.schema, parts[0].schema)) for part in parts])


def _like(schema: pa.Schema, first: pa.Schema) -> pa.Schema:
    """Texts as the first segment has them: engines differ in whether a dictionary stands behind."""
    return pa.schema([first.field(name) for name in schema.names])


def seen(folder: Path, manifest: Manifest, sources: tuple[int, ...]) -> Seen:
    """What the stored segments know of orders and event ids."""

    def there(table: str) -> tuple[str, ...]:
        paths = [folder / name / f"{table}.parquet" for name in manifest.segments]
        stored = [path for path in paths if path.exists()]
        for path in stored:
            refuse_changed(path)
        return tuple(map(str, stored))

    return Seen(there("orders"), there("event_ids"), sources)


def put_together(folder: Path, manifest: Manifest) -> str:
    """Write all segments of a manifest as one new segment; its name."""
    name = next_name(manifest)
    tables = {}
    for table in TABLES:
        there = [n for n in manifest.segments if (folder / n / f"{table}.parquet").exists()]
        tables[table] = _read(folder, there, table) if there else None
    write(folder, name, Tallies(**tables))
    return name


def drop_unnamed(folder: Path, manifest: Manifest) -> None:
    """Remove segments that a killed run left, or that were put together."""
    for place in folder.glob("segment-*"):
        if place.name not in manifest.segments:
            shutil.rmtree(place, ignore_errors=True)
