"""Steps that run on Spark if the config sets ``engine: spark``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.aggregates import segments
from features.aggregates.manifest import Manifest
from features.calendar import day_date
from features.config.config import Config
from features.sources.erasure_list import ErasureList
from features.sources.read_report import ReadReport
from features.storage.runs import run_folder
from features.table.feature_store import TALLIES, source_counts
from flows.services.console import step
from flows.services.data_warnings import warn_of_twins
from flows.services.workspace import Workspace

if TYPE_CHECKING:
    from features.spark.spark import Cluster
    from features.spark.spark_build import SparkArchive
    from models.registry.registry import Loaded
    from models.serving.score import PublishedScores, ScoreStamp


def start_spark(space: Workspace, config: Config) -> Cluster:
    """The Spark session of this process."""
    from features.spark.spark import cluster

    return cluster(config, space.output / "spill" / "spark")


def open_spark_archive(space: Workspace) -> SparkArchive:
    """Open stored tallies and features as distributed Spark tables."""
    from features.spark.spark_build import open_on_spark

    config = space.config()
    return open_on_spark(start_spark(space, config), space.output, config)


def tally_sources(
    space: Workspace, config: Config, manifest: Manifest, folder: Path
) -> tuple[list[ReadReport], tuple[str, ...]]:
    """Tally all sources on Spark into a folder; return the reports and the event types present."""
    from features.spark.spark_tally import tally_on_spark

    segment_folder = folder / segments.segment_name(0)
    stored = tally_on_spark(
        start_spark(space, config),
        config,
        latest=manifest.latest,
        quarantine=space.output / "quarantine",
        temporary=space.output / "spill",
        into=segment_folder,
        erased=ErasureList.load(space.output),
    )
    segments.write_segment_sums(segment_folder)
    return stored.reports, stored.event_types


def describe_tallies(archive: SparkArchive) -> dict[str, int]:
    """Print and return the numbers of stored rows and customers."""
    from features.sources.near_twins import near_twins
    from features.spark.spark import collected

    files = segments.table_files(archive.folder / TALLIES, "daily")
    daily_ids = archive.cluster.named("daily_ids", archive.cluster.parquet(files))
    frame = archive.cluster.frame(near_twins(daily_ids.customer_id))
    warn_of_twins(int(collected(frame)[0]["twins"]))
    row_count = sum(count.rows for count in source_counts(archive.folder))
    through = day_date(archive.builder.span.through)
    step(f"{row_count:,} rows, {archive.customers:,} customers, to {through}, on Spark")
    return {"rows": row_count, "customers": archive.customers}


def score_run(
    space: Workspace,
    archive: SparkArchive,
    loaded: Loaded,
    snapshot_day: int,
    stamp: ScoreStamp,
    previous: PublishedScores | None,
) -> tuple[int, dict[str, Any]]:
    """Score all customers into a run's folder; return the row count and the context to store."""
    from models.registry import registry
    from models.serving.event_scoring import context_facts
    from models.serving.spark_scoring import score_on_spark

    version = loaded.version
    scored = score_on_spark(
        loaded,
        registry.artifacts(space.tracking(), version.name, version.version),
        archive,
        snapshot_day,
        stamp,
        into=run_folder(space.output, stamp.run_id) / "scores",
        previous=previous,
    )
    facts = context_facts(scored.everybody, archive.builder.config)
    return scored.customers, {**scored.context, **facts}
