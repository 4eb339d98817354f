"""What the features step stores for the steps after it: tallies and one feature file a snapshot."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from features.aggregates import segments
from features.aggregates.manifest import MANIFEST, Manifest
from features.aggregates.tallies import Tallies
from features.calendar import Span, day_date, day_number
from features.config.config import Config
from features.contracts import CUSTOMER, ROLES, SNAPSHOT
from features.errors import UserError
from features.history.history import roles_of
from features.lifecycle.crm_stage_history import stored_records, write_records
from features.sources.read_report import ReadReport
from features.storage.atomic_write import (
    finish_replacement,
    new_folder_of,
    remove_path,
    remove_replacement_leftovers,
    replace_folder,
)
from features.storage.check_sums import has_sums, refuse_changed
from features.storage.fault_injection import boundary
from features.table.families.feature import FeatureSpec
from features.table.prediction_targets import TaskName
from features.table.snapshot_builder import Builder, spec_of
from features.table.snapshot_files import write_snapshot

FOLDER = "features"
_BUILDING = threading.Lock()
TALLIES = "tallies"
WHOLE = f"{TALLIES}/{MANIFEST}"  # written last
_TEXTS = {"customer_id": "str", "event_type": "str"}
RECORDS = "stage_history.parquet"  # only where the stage history is the truth


@dataclass(frozen=True)
class SourceCount:
    """Rows of one source: read, set aside and left out, with reasons."""

    source: str
    rows: int
    quarantined: dict[str, int]
    ignored: dict[str, int]

    @classmethod
    def of(cls, report: ReadReport) -> SourceCount:
        """What a report counts."""
        return cls(report.source, report.rows, dict(report.quarantined), dict(report.ignored))


@dataclass(frozen=True)
class Archive:
    """The folder ``OUTPUT/features`` of one data set.

    Attributes
    ----------
    folder
        Holds ``tallies/`` and ``snapshots/snapshot_at=DATE/features.parquet``.
    builder
        Builds what is not stored yet.
    """

    folder: Path
    builder: Builder

    def features(self, at: int) -> pd.DataFrame:
        """Feature frame of a snapshot: read where stored, else built and stored."""
        return self.delayed(at, 0)

    def inputs(self, task: TaskName, at: int) -> pd.DataFrame:
        """Feature frame that a task's model learns from and is tested on at a snapshot."""
        return self.delayed(at, self.builder.targets[task].delay_days)

    def delayed(self, at: int, delay: int) -> pd.DataFrame:
        """Feature frame of a snapshot from data that run some days behind, stored alike."""
        path = self.path(at, delay)
        with _BUILDING:  # two tasks may ask for one snapshot; it is built once
            if not has_sums(path):
                columns = self.builder.columns(at, delay=delay)
                write_snapshot(columns, path)
                return pd.DataFrame(columns)
        return read_features(path)

    def path(self, at: int, delay: int = 0) -> Path:
        """File of a snapshot's features."""
        return feature_file(self.folder, at, delay)

    def stored(self) -> list[int]:
        """Day numbers of the snapshots stored."""
        names = [p.parent.name for p in self.folder.glob("snapshots/*/features.parquet")]
        return sorted(day_number(dt.date.fromisoformat(n.split("=", 1)[1])) for n in names)

    def daily(self, first: int, at: int, customers: Sequence[str] | None = None) -> pd.DataFrame:
        """Tallies of the days ``[first, at)`` that were known before `at`, of some or all.

        Returns
        -------
        DataFrame
            customer_id, event_type, day (number), count (events; purchases: orders).
        """
        filters: list[tuple[str, str, Any]] = [
            ("day", ">=", first),
            ("day", "<", at),
            ("known_day", "<", at),
        ]
        if customers is not None:
            filters.append(("customer_id", "in", list(customers)))
        columns = ["customer_id", "event_type", "day", "count"]
        segment_rows = [
            pd.read_parquet(path, columns=columns, filters=filters)
            for path in segments.table_files(self.folder / TALLIES, "daily")
        ]
        rows = pd.concat([part.astype(_TEXTS) for part in segment_rows], ignore_index=True)
        # An order learned in parts has parts of which some only change its value.
        return rows[rows["count"] != 0].reset_index(drop=True)

    def ensure(self, days: Iterable[int], done: Callable[[int], None]) -> int:
        """Build and store the snapshots that are missing; tells each finished day."""
        count = 0
        # One snapshot is written while the next is built; no more than these two are in memory.
        with _BUILDING, ThreadPoolExecutor(max_workers=1) as writer:
            writing: Future[None] | None = None
            for at in days:
                path = self.path(at)
                if has_sums(path):
                    refuse_changed(path)
                else:
                    columns = self.builder.columns(at)
                    if writing is not None:
                        writing.result()
                    writing = writer.submit(write_snapshot, columns, path)
                done(at)
                count += 1
            if writing is not None:
                writing.result()
        return count

    def source_counts(self) -> list[SourceCount]:
        """What the reading step counted, one a source."""
        return source_counts(self.folder)


def read_features(path: Path, customers: Sequence[str] | None = None) -> pd.DataFrame:
    """Stored feature frame of a snapshot, in the order of ids; of some customers or all."""
    refuse_changed(path)
    filters = None if customers is None else [(CUSTOMER, "in", list(customers))]
    frame = pd.read_parquet(path, filters=filters)
    frame[SNAPSHOT] = frame[SNAPSHOT].astype("datetime64[s]")
    if path.is_dir():  # written by several machines or processes, each its own customers
        frame = frame.sort_values(CUSTOMER, ignore_index=True)
    return frame


def source_counts(folder: Path) -> list[SourceCount]:
    """What the reading step counted and left in ``OUTPUT/features``, one a source."""
    text = (folder / "sources.json").read_text(encoding="utf-8")
    return [SourceCount(**row) for row in json.loads(text)]


def feature_file(folder: Path, at: int, delay: int = 0) -> Path:
    """Where the features of a snapshot lie in ``OUTPUT/features``: a file, or a folder of files."""
    name = f"features_{delay}_days_late.parquet" if delay else "features.parquet"
    return folder / "snapshots" / f"snapshot_at={day_date(at)}" / name


def store(
    output: Path,
    config: Config,
    tallies: Tallies,
    counts: list[SourceCount],
    records: pa.Table | None = None,
    *,
    manifest: Manifest | None = None,
) -> Archive:
    """Replace what was stored by tallies in memory; old snapshots go: they may be outdated."""
    builder = Builder.from_tallies(config, tallies, records)
    with replacing(output) as fresh:
        segments.write_segment(fresh.folder, segments.segment_name(0), tallies)
        if records is not None:
            write_records(records, fresh.folder / RECORDS)
        known_manifest = manifest or Manifest(recipe="", latest=0, files=(), others={})
        fresh.counts = counts
        fresh.manifest = replace(known_manifest, event_types=_event_types(tallies))
    return Archive(output / FOLDER, builder)


@dataclass
class Fresh:
    """Tallies in the making.

    Attributes
    ----------
    folder
        For their one segment.
    counts, manifest
        To be told before they take the place of others.
    """

    folder: Path
    counts: list[SourceCount] = field(default_factory=list)
    manifest: Manifest | None = None


@contextmanager
def replacing(output: Path) -> Iterator[Fresh]:
    """Room for fresh tallies, which replace all that was stored at the end, snapshots too."""
    folder = output / FOLDER
    fresh = new_folder_of(folder)
    shutil.rmtree(fresh, ignore_errors=True)
    fresh_tallies = Fresh(fresh / TALLIES)
    yield fresh_tallies
    assert fresh_tallies.manifest is not None
    _write_counts(fresh, fresh_tallies.counts)
    boundary("tallies written")
    replace(fresh_tallies.manifest, segments=(segments.segment_name(0),)).save(fresh / TALLIES)
    replace_folder(folder, whole=WHOLE)


def extend(
    output: Path, tallies: Tallies, manifest: Manifest, counts: Sequence[SourceCount]
) -> int:
    """Add the tallies of new files to what is stored; gives the snapshots removed.

    Snapshots stay that knew nothing of what is new; the others are built anew when asked for.

    Parameters
    ----------
    output
        The output folder.
    tallies
        Of the new files only.
    manifest
        The files as they are now, with the reports of all of them and the stored segments.
    counts
        Rows of all of them.
    """
    folder = output / FOLDER
    name = segments.next_segment_name(manifest)
    segments.write_segment(folder / TALLIES, name, tallies)
    boundary("segment written")
    types = tuple(sorted({*manifest.event_types, *_event_types(tallies)}))
    grown = replace(manifest, segments=(*manifest.segments, name), event_types=types)
    if len(grown.segments) > segments.MAX_SEGMENTS:
        grown = replace(grown, segments=(segments.merge_segments(folder / TALLIES, grown),))
    # First the snapshots go: killed here, the old tallies build them again as they were.
    last_unchanged = 0 if types != manifest.event_types else _first_learned(tallies)
    removed = drop_snapshots(folder, after=last_unchanged)
    boundary("snapshots dropped")
    _write_counts(folder, counts)
    boundary("counts written")
    grown.save(folder / TALLIES)
    boundary("manifest written")
    segments.remove_unlisted(folder / TALLIES, grown)
    return removed


def _write_counts(folder: Path, counts: Sequence[SourceCount]) -> None:
    text = json.dumps([asdict(c) for c in counts], indent=1)
    (folder / "sources.json").write_text(text, encoding="utf-8")


def _event_types(tallies: Tallies) -> tuple[str, ...]:
    return tuple(sorted(tallies.daily["event_type"].unique().to_pylist()))


def _first_learned(tallies: Tallies) -> int:
    """First day on which anything in the tallies became known."""
    days = [tallies.daily[name].to_numpy() for name in ("day", "known_day")]
    return int(np.maximum(*days).min())


def drop_snapshots(folder: Path, *, after: int) -> int:
    """Remove the stored snapshots later than a day; gives how many there were."""
    snapshot_folders = list(folder.glob("snapshots/snapshot_at=*"))
    outdated = [
        place
        for place in snapshot_folders
        if day_number(dt.date.fromisoformat(place.name.split("=", 1)[1])) > after
    ]
    for place in outdated:
        shutil.rmtree(place)
    return len(outdated)


def clear_partial(output: Path) -> None:
    """Remove what killed runs left unfinished, or replaced; the caller holds the folder."""
    remove_replacement_leftovers(output / FOLDER, whole=WHOLE)
    for place in (output / FOLDER / "snapshots").glob("*/*.partial"):
        remove_path(place)


def stored_manifest(output: Path) -> Manifest | None:
    """What the stored tallies hold; None where there are none, or of an earlier version."""
    folder = finish_replacement(output / FOLDER, whole=WHOLE)
    return Manifest.load(folder / TALLIES)


def open_archive(output: Path, config: Config) -> Archive:
    """The stored tallies of an output folder, ready to build from.

    Raises
    ------
    UserError
        Where the features step has not run, or did so in an earlier version.
    """
    tallies = read_tallies(output)
    records = stored_records(output / FOLDER / TALLIES / RECORDS)
    return Archive(output / FOLDER, Builder.from_tallies(config, tallies, records))


def read_tallies(output: Path) -> Tallies:
    """The stored tallies of an output folder (errors as `open_archive`)."""
    return segments.read_segments(output / FOLDER / TALLIES, required_manifest(output).segments)


def read_days(output: Path, event_types: Sequence[str]) -> Tallies:
    """The stored days of some event types, without choices (errors as `open_archive`)."""
    names = required_manifest(output).segments
    return segments.read_event_types(output / FOLDER / TALLIES, names, event_types)


def required_manifest(output: Path) -> Manifest:
    """What the stored tallies hold (errors as `open_archive`)."""
    manifest = stored_manifest(output)
    if manifest is None:
        raise UserError(
            str(output / FOLDER),
            found="no stored tallies of this version",
            expected="what `stagecast features` stores",
            hint="run `stagecast features` (or `stagecast run`) with this output folder first",
        )
    return manifest


def roles_there(config: Config, manifest: Manifest) -> tuple[str, ...]:
    """Roles that have events, in the order of `ROLES`."""
    present_roles = roles_of(config.role_types(), manifest.event_types)
    return tuple(role for role in ROLES if role in present_roles)


def stored_spec(output: Path, config: Config) -> FeatureSpec:
    """The features that the stored tallies allow, which are not read."""
    return spec_of(config, roles_there(config, required_manifest(output)))


def outlined(
    config: Config,
    manifest: Manifest,
    daily: Any,
    first_row: Callable[[Any], Mapping[str, Any]],
) -> Builder:
    """Builder without customers of stored tallies, which are counted and not read.

    Parameters
    ----------
    config, manifest
        The data set, and what is stored of it.
    daily
        The table of that name, on any engine.
    first_row
        Gives the one row of an aggregate of it.
    """
    present_roles = roles_of(config.role_types(), manifest.event_types)
    has_role = daily.event_type.isin(
        sorted({name for names in present_roles.values() for name in names})
    )
    day_range = first_row(
        daily.agg(first=daily.day.min(where=has_role), last=daily.day.max(where=has_role))
    )
    data_through = config.data_through
    last_day = day_range["last"] if data_through is None else day_number(data_through)
    return Builder.outline(
        config, roles_there(config, manifest), Span(day_range["first"], last_day)
    )
