"""Stored tallies brought up to date: new event files are added, anything else is read anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from features.aggregates import segments
from features.aggregates.daily_aggregates import tally, tally_into
from features.aggregates.incremental import PreviousRead
from features.aggregates.manifest import (
    CannotExtend,
    Change,
    Manifest,
    add_reports,
    compare_files,
    current_manifest,
)
from features.config.config import Config
from features.errors import UserError
from features.lifecycle.crm_stage_history import (
    declared,
    read_records,
    stage_records,
    write_records,
)
from features.lifecycle.taxonomy_parser import load_taxonomy
from features.sources.erasure_list import ErasureList
from features.sources.files import duplicate_files, existing_files
from features.sources.quarantine import ReadReport
from features.table import feature_store
from features.table.build_fingerprint import drop_outdated
from features.table.feature_store import SourceCount
from flows.services import spark_steps
from flows.services.console import step, warn
from flows.services.privacy import scrub_quarantine, without_erased
from flows.services.progress_bars import showing
from flows.services.workspace import Workspace, fingerprint, recipe, today


@dataclass(frozen=True)
class Read:
    """What was read of the event files.

    Attributes
    ----------
    how
        ``all``, ``added`` (new files only) or ``nothing``.
    rows_read
        Rows of the files that were read.
    bytes_read, bytes_there
        Size of the event files that were read, and of all there are; 0 where they are no files.
    """

    how: str
    rows_read: int
    bytes_read: int
    bytes_there: int


def refresh(space: Workspace, config: Config) -> Read:
    """Bring the stored tallies up to date with the sources; says what it reads and why.

    Raises
    ------
    UserError
        As `features.aggregates.daily_aggregates.tally`.
    """
    _warn_of_copies(config)
    feature_store.clear_partial(space.output)
    stored = feature_store.stored_manifest(space.output)
    now = current_manifest(config, recipe(config), today())
    change = compare_files(config, stored, now)
    read = None
    if stored is not None and change.kind == "none":
        step("no new event files: the stored tallies are kept")
        read = Read("nothing", 0, 0, now.bytes)
    if change.kind == "added" and config.engine == "spark":
        change = replace(change, kind="rebuild", reason="Spark tallies new files with the old ones")
    if stored is not None and change.kind == "added":
        try:
            read = _extend(space, stored, now, change)
        except (CannotExtend, UserError) as why:
            # Told, and then decided on all rows: what one new file breaks, all of them may not.
            change = replace(change, reason=str(why).splitlines()[0])
    if read is None:
        if stored is not None:
            step(f"reading everything anew: {change.reason}")
        read = _rebuild(space, config, now)
    current_snapshots(space, config)
    mark = space.output / feature_store.FOLDER / "fingerprint"
    mark.write_text(fingerprint(config), encoding="utf-8")
    step(f"read {_size(read.bytes_read)} of {_size(read.bytes_there)} of event files")
    return read


def current_snapshots(space: Workspace, config: Config) -> None:
    """Leave no stored snapshot that other features or settings have built; says so."""
    if dropped := drop_outdated(space.output, config):
        step(f"{dropped} stored snapshots are of other features or settings: built anew")


def _warn_of_copies(config: Config) -> None:
    """Name the files that came twice: their rows count once."""
    for source in config.sources:
        if isinstance(source.events, str | tuple):
            for again, first in duplicate_files(existing_files(source.events)).items():
                told = f"{Path(again).name} has the content of {Path(first).name}"
                warn(f"{told}: delivered twice, counted once")


def _rebuild(space: Workspace, config: Config, now: Manifest) -> Read:
    step(f"reading {len(config.sources)} source(s) of {config.name}")
    aside, records, found = space.output / "quarantine", None, []
    if config.stage.truth == "history":
        records, report = read_records(config, latest=now.latest, quarantine=aside)
        found.append(report)
        records = without_erased(space.output, records)
    if records is not None:  # what is wrong with them must not cost what is stored
        stage_records(records, declared(config), load_taxonomy(config), np.zeros(0, dtype=str))
    with feature_store.replacing(space.output) as fresh:
        tallied = spark_steps.tally if config.engine == "spark" else _tally
        reports, types = tallied(space, config, now, fresh.folder)
        if records is not None:
            write_records(records, fresh.folder / feature_store.RECORDS)
        # The report of the identities, where there is one, comes before those of the sources.
        known = replace(now, reports=tuple(reports[-len(config.sources) :]), event_types=types)
        fresh.counts = [SourceCount.of(report) for report in reports]
        fresh.manifest = known
    scrub_quarantine(space.output)
    _warn([*reports, *found], aside)
    rows = sum(report.rows for report in known.reports)
    return Read("all", rows, now.bytes, now.bytes)


def _tally(
    space: Workspace, config: Config, now: Manifest, folder: Path
) -> tuple[list[ReadReport], tuple[str, ...]]:
    """Tally all sources into a folder; the reports, and the types that have events."""
    with segments.writing_segment(folder, segments.segment_name(0)) as writer, showing() as told:
        reports = tally_into(
            writer,
            config,
            latest=now.latest,
            quarantine=space.output / "quarantine",
            temporary=space.output / "spill",
            progress=told,
            erased=ErasureList.load(space.output),
        )
    return reports, tuple(sorted(writer.event_types))


def _warn(reports: Sequence[ReadReport], aside: Path) -> None:
    for report in reports:
        for reason, rows in report.quarantined.items():
            warn(f"{report.source}: {rows} rows set aside: {reason} (see {aside})")


def _extend(space: Workspace, stored: Manifest, now: Manifest, change: Change) -> Read:
    assert change.config is not None
    assert change.earlier is not None
    folder = space.output / feature_store.FOLDER / feature_store.TALLIES
    name = segments.next_segment_name(stored)
    with showing() as told:
        tallies, reports = tally(
            change.config,
            latest=now.latest,
            quarantine=space.output / "quarantine" / name,
            temporary=space.output / "spill",
            seen=segments.stored_orders_of(folder, stored, change.numbers),
            then=PreviousRead(change.earlier, stored.latest),
            told=told,
            erased=ErasureList.load(space.output),
        )
    scrub_quarantine(space.output)
    of_links, of_sources = reports[: -len(change.numbers)], reports[-len(change.numbers) :]
    together = add_reports(stored.reports, of_sources, change.numbers)
    grown = replace(now, segments=stored.segments, event_types=stored.event_types, reports=together)
    _warn(reports, space.output / "quarantine" / name)
    counts = [SourceCount.of(report) for report in (*of_links, *together)]
    removed = feature_store.extend(space.output, tallies, grown, counts)
    files = [file for source in change.config.sources for file in source.events]
    step(f"added {len(files)} new event file(s); {removed} stored snapshots to be built anew")
    size = sum(Path(str(file)).stat().st_size for file in files)
    return Read("added", sum(report.rows for report in reports), size, now.bytes)


def _size(size: int) -> str:
    return f"{size / 10**6:,.1f} MB"
