"""Steps that run on Spark where the config says ``engine: spark``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.aggregates import segments
from features.aggregates.manifest import Manifest
from features.calendar import day_date
from features.config.config import Config
from features.sources.erasure_list import ErasureList
from features.sources.quarantine import ReadReport
from features.storage.runs import run_folder
from features.table.feature_store import TALLIES, source_counts
from flows.services.console import step
from flows.services.data_warnings import warn_of_twins
from flows.services.workspace import Workspace

if TYPE_CHECKING:
    from features.spark.spark import Cluster
    from features.spark.spark_build import SparkArchive
    from models.registry.registry import Loaded
    from models.serving.score import Before, Stamp


def started(space: Workspace, config: Config) -> Cluster:
    """The Spark session of this process."""
    from features.spark.spark import cluster

    return cluster(config, space.output / "spill" / "spark")


def opened(space: Workspace) -> SparkArchive:
    """Stored tallies and features that no single machine has to hold."""
    from features.spark.spark_build import open_on_spark

    config = space.config()
    return open_on_spark(started(space, config), space.output, config)


def tally(
    space: Workspace, config: Config, now: Manifest, folder: Path
) -> tuple[list[ReadReport], tuple[str, ...]]:
    """Tally all sources on Spark into a folder; the reports, and the types that have events."""
    from features.spark.spark_tally import tally_on_spark

    place = folder / segments.segment_name(0)
    stored = tally_on_spark(
        started(space, config),
        config,
        latest=now.latest,
        quarantine=space.output / "quarantine",
        temporary=space.output / "spill",
        into=place,
        erased=ErasureList.load(space.output),
    )
    segments.write_segment_sums(place)
    return stored.reports, stored.event_types


def told(space: Workspace) -> dict[str, Any]:
    """Counts of what is stored, as the features step tells them."""
    from features.sources.near_twins import near_twins
    from features.spark.spark import collected

    archive = opened(space)
    files = segments.table_files(archive.folder / TALLIES, "daily")
    daily = archive.cluster.named("daily_ids", archive.cluster.parquet(files))
    frame = archive.cluster.frame(near_twins(daily.customer_id))
    warn_of_twins(int(collected(frame)[0]["twins"]))
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
    from models.registry import registry
    from models.serving.event_scoring import facts_to_store
    from models.serving.spark_scoring import score_on_spark

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
