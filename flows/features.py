"""Features flow: sources -> tallies -> one feature file per snapshot."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from features.calendar import day_date
from features.sources.near_twins import near_twins_among
from features.storage.output_lock import exclusive
from flows.services import spark_steps
from flows.services.console import step, warn
from flows.services.data_guards import apply_guards
from flows.services.data_warnings import warn_of_twins
from flows.services.prefect_summaries import show_sources
from flows.services.progress_bars import progress
from flows.services.steps import flow, task
from flows.services.update_aggregates import refresh_tallies
from flows.services.workspace import Workspace


def tally_sources(output: str) -> dict[str, Any]:
    """Read new source data, quarantine invalid rows, store tallies; return counts."""
    space = Workspace(Path(output))
    config = space.config()
    if config.notice:
        step(config.notice)
    read_counts = refresh_tallies(space, config)
    apply_guards(space, config)
    if config.engine == "spark":
        return spark_steps.feature_counts(space) | asdict(read_counts)
    archive = space.archive()
    builder = archive.builder
    for limitation in builder.taxonomy.not_observable(builder.history.there):
        warn(f"stages: {limitation}")
    warn_of_twins(near_twins_among(builder.history.customers))
    if builder.recorded is not None:
        step(f"stage history: {len(builder.recorded.code):,} records")
    show_sources(archive)
    row_count = sum(count.rows for count in archive.source_counts())
    customers = len(archive.builder.history.customers)
    step(
        f"{row_count:,} rows, {customers:,} customers, to {day_date(archive.builder.span.through)}"
    )
    return {"rows": row_count, "customers": customers, **asdict(read_counts)}


@task(name="read and tally")
def read_and_tally(output: str) -> dict[str, Any]:
    """Run `tally_sources` as a task; return its counts."""
    return tally_sources(output)


@task(name="build features")
def build_features(output: str) -> int:
    """Build and store the features of every snapshot that later steps need."""
    space = Workspace(Path(output))
    archive = (
        spark_steps.open_spark_archive(space)
        if space.config().engine == "spark"
        else space.archive()
    )
    snapshot_days = archive.builder.needed_days()
    with progress(f"features at {len(snapshot_days)} snapshots", len(snapshot_days)) as advance:
        return archive.ensure(snapshot_days, lambda _: advance())


@flow(name="features")
def features_flow(output: str) -> dict[str, Any]:
    """Tally the sources and build point-in-time features of all snapshots."""
    with exclusive(Path(output), "features"):
        counts = read_and_tally(output)
        counts["snapshots"] = build_features(output)
    step(f"features of {counts['snapshots']} snapshots stored")
    return counts
