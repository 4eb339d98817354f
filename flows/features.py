"""Features flow: sources -> tallies -> one feature file per snapshot."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.calendar import day_date
from features.sources.near_twins import near_twins_among
from features.storage.output_lock import exclusive
from features.table.feature_store import Archive
from flows.services import spark_steps
from flows.services.console import step, warn
from flows.services.data_guards import apply_guards
from flows.services.data_warnings import warn_of_twins
from flows.services.prefect_summaries import show_sources
from flows.services.progress_bars import progress
from flows.services.steps import flow, task
from flows.services.update_aggregates import refresh_tallies
from flows.services.workspace import Workspace

if TYPE_CHECKING:
    from features.spark.spark_build import SparkArchive


def tally_sources(output: str) -> dict[str, Any]:
    """Read new source data, quarantine invalid rows, store tallies; return how much was read."""
    space = Workspace(Path(output))
    config = space.config()
    if config.notice:
        step(config.notice)
    read_counts = refresh_tallies(space, config)
    apply_guards(space, config)
    return asdict(read_counts)


def describe_tallies(archive: Archive) -> dict[str, int]:
    """Print what stored tallies hold, and warn of what they cannot tell; return the counts."""
    builder = archive.builder
    for limitation in builder.taxonomy.not_observable(builder.history.there):
        warn(f"stages: {limitation}")
    warn_of_twins(near_twins_among(builder.history.customers))
    if builder.recorded is not None:
        step(f"stage history: {len(builder.recorded.code):,} records")
    show_sources(archive)
    row_count = sum(count.rows for count in archive.source_counts())
    customers = len(builder.history.customers)
    step(f"{row_count:,} rows, {customers:,} customers, to {day_date(builder.span.through)}")
    return {"rows": row_count, "customers": customers}


@task(name="read and tally")
def read_and_tally(output: str) -> dict[str, Any]:
    """Run `tally_sources` as a task; return its counts."""
    return tally_sources(output)


@task(name="build features")
def build_features(output: str) -> dict[str, int]:
    """Build and store the features of every snapshot that later steps need; return counts."""
    space = Workspace(Path(output))
    archive: Archive | SparkArchive
    if space.config().engine == "spark":
        archive = spark_steps.open_spark_archive(space)
        counts = spark_steps.describe_tallies(archive)
    else:
        archive = space.archive()
        counts = describe_tallies(archive)
    snapshot_days = archive.builder.needed_days()
    with progress(f"features at {len(snapshot_days)} snapshots", len(snapshot_days)) as advance:
        return counts | {"snapshots": archive.ensure(snapshot_days, lambda _: advance())}


@flow(name="features")
def features_flow(output: str) -> dict[str, Any]:
    """Tally the sources and build point-in-time features of all snapshots."""
    with exclusive(Path(output), "features"):
        counts = read_and_tally(output) | build_features(output)
    step(f"features of {counts['snapshots']} snapshots stored")
    return counts
