"""Steps that run on Spark where the config says ``engine: spark``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from features import archive as archives
from features import segments
from features.archive import RECORDS, SourceCount, source_counts
from features.config import Config
from features.erased import Erased
from features.ledger import Manifest
from features.quarantine import ReadReport
from features.runs import run_folder
from features.stage_records import write_records
from features.timeline import day_date
from flows.console import step
from flows.workspace import Workspace

if TYPE_CHECKING:
    from features.spark import Cluster
    from features.spark_build import SparkArchive
    from models.registry import Loaded
    from models.scoring import Before, Stamp


def started(space: Workspace, config: Config) -> Cluster:
    """The Spark session of this process."""
    from features.spark import cluster

    return cluster(config, space.output / "spill" / "spark")


def opened(space: Workspace) -> SparkArchive:
    """Stored tallies and features that no single machine has to hold."""
    from features.spark_build import open_on_spark

    config = space.config()
    return open_on_spark(started(space, config), space.output, config)


def tally(
    space: Workspace, config: Config, now: Manifest, records: pa.Table | None
) -> tuple[list[ReadReport], Manifest]:
    """Tally all sources on Spark and store the result in place of what was stored."""
    from features.spark_tally import tally_on_spark

    running = started(space, config)
    with archives.replacing(space.output) as fresh:
        stored = tally_on_spark(
            running,
            config,
            latest=now.latest,
            quarantine=space.output / "quarantine",
            temporary=space.output / "spill",
            into=fresh.folder / segments.name_of(0),
            erased=Erased.load(space.output),
        )
        if records is not None:
            write_records(records, fresh.folder / RECORDS)
        known = replace(now, reports=of_sources(stored.reports, config))
        fresh.counts = [SourceCount.of(report) for report in stored.reports]
        fresh.manifest = replace(known, event_types=stored.event_types)
    return stored.reports, known


def of_sources(reports: Sequence[ReadReport], config: Config) -> tuple[ReadReport, ...]:
    """Reports of the event sources; that of identities, where there is one, comes before them."""
    return tuple(reports[-len(config.sources) :])


def told(space: Workspace) -> dict[str, Any]:
    """Counts of what is stored, as the features step tells them."""
    archive = opened(space)
    rows = sum(count.rows for count in source_counts(archive.folder))
    through = day_date(archive.builder.span.through)
    step(f"{rows:,} rows, {archive.customers:,} customers, to {through}, on Spark")
    return {"rows": rows, "customers": archive.customers}


def score(
    space: Workspace,
    archive: SparkArchive,
    loaded: Loaded,
    at: int,
    stamp: Stamp,
    before: Before | None,
) -> tuple[int, dict[str, Any]]:
    """Score everyone into a run's folder; the number of rows, and the context to store."""
    from models import registry
    from models.event_scoring import facts_to_store
    from models.spark_scoring import score_on_spark

    version = loaded.version
    scored = score_on_spark(
        loaded,
        registry.artifacts(space.tracking(), version.name, version.version),
        archive,
        at,
        stamp,
        into=run_folder(space.output, stamp.run_id) / "scores",
        before=before,
    )
    facts = facts_to_store(scored.everybody, archive.builder.config)
    return scored.customers, {**scored.context, **facts}
