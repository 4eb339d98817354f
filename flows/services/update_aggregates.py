"""Update the stored tallies: add new event files, or read all sources again."""

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
from features.lifecycle.crm_stage_history import declared, stage_records, write_records
from features.lifecycle.crm_stage_reading import read_records
from features.lifecycle.taxonomy_parser import load_taxonomy
from features.sources.erasure_list import ErasureList
from features.sources.locations import duplicate_files, existing_files
from features.sources.read_report import ReadReport
from features.table import feature_store
from features.table.build_fingerprint import drop_outdated
from features.table.feature_store import SourceCount
from flows.services import spark_steps
from flows.services.console import step, warn
from flows.services.erased_again import scrub_quarantine, without_erased_records
from flows.services.progress_bars import progress_bars
from flows.services.workspace import Workspace, latest_event_day, tally_fingerprint, tally_recipe


@dataclass(frozen=True)
class ReadCounts:
    """Amount of data read from the event files.

    Attributes
    ----------
    how
        ``all``, ``added`` (new files only) or ``nothing``.
    rows_read
        Rows of the files that were read.
    bytes_read, bytes_there
        Size of the files that were read, and of all event files; 0 for sources without files.
    """

    how: str
    rows_read: int
    bytes_read: int
    bytes_there: int


def refresh_tallies(space: Workspace, config: Config) -> ReadCounts:
    """Update the stored tallies from the sources; print what is read and why.

    Raises
    ------
    UserError
        As `features.aggregates.daily_aggregates.tally`.
    """
    _warn_of_copies(config)
    feature_store.clear_partial(space.output)
    stored = feature_store.stored_manifest(space.output)
    current = current_manifest(config, tally_recipe(config), latest_event_day())
    change = compare_files(config, stored, current)
    read_counts = None
    if stored is not None and change.kind == "none":
        step("no new event files: the stored tallies are up to date")
        read_counts = ReadCounts("nothing", 0, 0, current.bytes)
    if change.kind == "added" and config.engine == "spark":
        change = replace(change, kind="rebuild", reason="Spark tallies new files with the old ones")
    if stored is not None and change.kind == "added":
        try:
            read_counts = _extend(space, stored, current, change)
        except (CannotExtend, UserError) as error:
            # Read all files again: together they may be valid where the new file alone is not.
            change = replace(change, reason=str(error).splitlines()[0])
    if read_counts is None:
        if stored is not None:
            step(f"reading all sources again: {change.reason}")
        read_counts = _rebuild(space, config, current)
    drop_outdated_snapshots(space, config)
    fingerprint_file = space.output / feature_store.FOLDER / "fingerprint"
    fingerprint_file.write_text(tally_fingerprint(config), encoding="utf-8")
    step(f"read {_size(read_counts.bytes_read)} of {_size(read_counts.bytes_there)} of event files")
    return read_counts


def drop_outdated_snapshots(space: Workspace, config: Config) -> None:
    """Delete stored snapshots that were built with other features or settings."""
    if dropped := drop_outdated(space.output, config):
        step(f"{dropped} stored snapshots have other features or settings: they are built again")


def _warn_of_copies(config: Config) -> None:
    """Warn of files with equal content: their rows count once."""
    for source in config.sources:
        if isinstance(source.events, str | tuple):
            for copy, original in duplicate_files(existing_files(source.events)).items():
                message = f"{Path(copy).name} has the content of {Path(original).name}"
                warn(f"{message}: delivered twice, counted once")


def _rebuild(space: Workspace, config: Config, current: Manifest) -> ReadCounts:
    step(f"reading {len(config.sources)} source(s) of {config.name}")
    quarantine, records, record_reports = space.output / "quarantine", None, []
    if config.stage.truth == "history":
        records, report = read_records(config, latest=current.latest, quarantine=quarantine)
        record_reports.append(report)
        records = without_erased_records(space.output, records)
    if records is not None:  # raise for invalid records before stored tallies are replaced
        stage_records(records, declared(config), load_taxonomy(config), np.zeros(0, dtype=str))
    with feature_store.replacing(space.output) as replacement:
        tally_step = spark_steps.tally_sources if config.engine == "spark" else _tally
        reports, types = tally_step(space, config, current, replacement.folder)
        if records is not None:
            write_records(records, replacement.folder / feature_store.RECORDS)
        # The report of identities, if any, comes before those of the sources.
        source_reports = tuple(reports[-len(config.sources) :])
        manifest = replace(current, reports=source_reports, event_types=types)
        replacement.counts = [SourceCount.of(report) for report in reports]
        replacement.manifest = manifest
    scrub_quarantine(space.output)
    _warn([*reports, *record_reports], quarantine)
    rows = sum(report.rows for report in manifest.reports)
    return ReadCounts("all", rows, current.bytes, current.bytes)


def _tally(
    space: Workspace, config: Config, current: Manifest, folder: Path
) -> tuple[list[ReadReport], tuple[str, ...]]:
    """Tally all sources into a folder; return the reports and the event types present."""
    with (
        segments.writing_segment(folder, segments.segment_name(0)) as writer,
        progress_bars() as update_bar,
    ):
        reports = tally_into(
            writer,
            config,
            latest=current.latest,
            quarantine=space.output / "quarantine",
            temporary=space.output / "spill",
            progress=update_bar,
            erased=ErasureList.load(space.output),
        )
    return reports, tuple(sorted(writer.event_types))


def _warn(reports: Sequence[ReadReport], quarantine: Path) -> None:
    for report in reports:
        for reason, rows in report.quarantined.items():
            warn(f"{report.source}: {rows} rows set aside: {reason} (see {quarantine})")


def _extend(space: Workspace, stored: Manifest, current: Manifest, change: Change) -> ReadCounts:
    assert change.config is not None
    assert change.earlier is not None
    folder = space.output / feature_store.FOLDER / feature_store.TALLIES
    segment_name = segments.next_segment_name(stored)
    with progress_bars() as update_bar:
        tallies, reports = tally(
            change.config,
            latest=current.latest,
            quarantine=space.output / "quarantine" / segment_name,
            temporary=space.output / "spill",
            stored=segments.stored_orders_of(folder, stored, change.numbers),
            previous=PreviousRead(change.earlier, stored.latest),
            progress=update_bar,
            erased=ErasureList.load(space.output),
        )
    scrub_quarantine(space.output)
    link_reports, source_reports = reports[: -len(change.numbers)], reports[-len(change.numbers) :]
    merged_reports = add_reports(stored.reports, source_reports, change.numbers)
    extended = replace(
        current, segments=stored.segments, event_types=stored.event_types, reports=merged_reports
    )
    _warn(reports, space.output / "quarantine" / segment_name)
    counts = [SourceCount.of(report) for report in (*link_reports, *merged_reports)]
    removed = feature_store.extend(space.output, tallies, extended, counts)
    event_files = [file for source in change.config.sources for file in source.events]
    step(f"added {len(event_files)} new event file(s); {removed} stored snapshots are built again")
    bytes_read = sum(Path(str(file)).stat().st_size for file in event_files)
    return ReadCounts("added", sum(report.rows for report in reports), bytes_read, current.bytes)


def _size(byte_count: int) -> str:
    return f"{byte_count / 10**6:,.1f} MB"
