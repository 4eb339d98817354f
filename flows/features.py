"""Features flow: sources -> tallies -> feature files, one a snapshot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow, task

from features import archive as archives
from features.archive import SourceCount
from features.locks import exclusive
from features.stage_records import read_records
from features.tallies import tally
from features.timeline import day_date
from flows.console import progress, step, warn
from flows.workspace import Workspace, fingerprint, today


@task(name="read and tally", retries=0)
def read_and_tally(output: str) -> dict[str, Any]:
    """Read every source, set bad rows aside, store tallies; returns counts."""
    space = Workspace(Path(output))
    config = space.config()
    step(f"reading {len(config.sources)} source(s) of {config.name}")
    if config.notice:
        step(f"[dim]{config.notice}[/]")
    aside, records, found = space.output / "quarantine", None, []
    if config.stage.truth == "history":
        records, report = read_records(config, latest=today(), quarantine=aside)
        found.append(report)
    tallies, reports = tally(
        config, latest=today(), quarantine=aside, temporary=space.output / "spill"
    )
    counts = [SourceCount(r.source, r.rows, r.quarantined, r.ignored) for r in reports]
    archive = archives.store(space.output, config, tallies, counts, records)
    (archive.folder / "fingerprint").write_text(fingerprint(config), encoding="utf-8")
    for each in [*reports, *found]:
        for reason, rows in each.quarantined.items():
            warn(f"{each.source}: {rows} rows set aside: {reason} (see {space.output}/quarantine)")
    builder = archive.builder
    for said in builder.taxonomy.not_observable(builder.history.there):
        warn(f"stages: {said}")
    if archive.builder.recorded is not None:
        step(f"stage history: {len(archive.builder.recorded.code):,} records")
    rows = sum(count.rows for count in counts)
    customers = len(archive.builder.history.customers)
    step(f"{rows:,} rows, {customers:,} customers, to {day_date(archive.builder.span.through)}")
    return {"rows": rows, "customers": customers}


@task(name="build features")
def build_features(output: str) -> int:
    """Build and store the feature files of every snapshot that later steps ask for."""
    archive = Workspace(Path(output)).archive()
    days = archive.builder.needed_days()
    with progress(f"features at {len(days)} snapshots", len(days)) as advance:
        return archive.ensure(days, lambda _: advance())


@flow(name="features")
def features_flow(output: str) -> dict[str, Any]:
    """Tally the sources and build point-in-time features for the grid of snapshots."""
    with exclusive(Path(output), "features"):
        counts = read_and_tally(output)
        counts["snapshots"] = build_features(output)
    step(f"features of {counts['snapshots']} snapshots stored")
    return counts
