"""Score flow: score all customers at the last snapshot with the registered champion."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from features.calendar import day_date
from features.lifecycle.definition_changes import rules_mark
from features.storage import scores_store
from features.storage.fault_injection import boundary
from features.storage.output_lock import exclusive
from features.storage.retention import apply_retention
from features.storage.runs import run_folder, write_parquet
from features.table.customer_partitions import Blocks, open_blocks, too_large
from features.table.feature_store import Archive
from features.table.product_margins import margin_shares
from flows.services import spark_steps
from flows.services.console import step
from flows.services.progress_bars import progress_bars
from flows.services.steps import flow, task
from flows.services.update_aggregates import refresh_tallies
from flows.services.workspace import Workspace, new_run_id
from flows.target import target_flow
from models.registry.registry import Loaded
from models.serving.block_scoring import score_by_blocks
from models.serving.event_scoring import context_facts, population_facts
from models.serving.score import PublishedScores, RowFinisher, ScoreStamp, score_snapshot

if TYPE_CHECKING:
    from features.spark.spark_build import SparkArchive


@task(name="clean up")
def clean_up(output: str, run_id: str) -> list[str]:
    """Remove leftovers of killed runs."""
    removed = scores_store.clean_unpublished(Path(output), keep=[run_id])
    if removed:
        step(f"removed what an interrupted run left: {', '.join(removed)}")
    return removed


@task(name="score customers")
def score_customers(output: str, run_id: str) -> dict[str, Any]:
    """Score all customers with ``stagecast-scorer@champion``; write the run's parquet files."""
    space = Workspace(Path(output))
    started = dt.datetime.now(dt.UTC)
    loaded = space.champion()
    archive = open_archive_for_scoring(space)
    builder = archive.builder
    snapshot_day, taxonomy_mark = builder.last_snapshot, rules_mark(builder.taxonomy)
    step(
        f"scoring at {day_date(snapshot_day)} with stagecast-scorer version "
        f"{loaded.version.version}"
    )
    folder, stamp = run_folder(space.output, run_id), ScoreStamp(run_id, started)
    (folder / "scores").mkdir(parents=True, exist_ok=True)
    before = _under_other_rules(space, taxonomy_mark, day_date(snapshot_day))
    if isinstance(archive, Archive | Blocks):
        margins = margin_shares(
            space.output, builder.config, at=snapshot_day, day=day_date(snapshot_day)
        )
        finish = RowFinisher.of(stamp, before, margins)
        customers, context = _scored(archive, loaded, snapshot_day, finish, folder / "scores")
    else:
        customers, context = spark_steps.score_run(
            space, archive, loaded, snapshot_day, stamp, before
        )
    boundary("score file written")
    (folder / "scoring_context.json").write_text(json.dumps(context, indent=1), encoding="utf-8")
    run_meta = {
        "run_id": run_id,
        "dataset": builder.config.name,
        "snapshot_at": str(day_date(snapshot_day)),
        "scorer_version": str(loaded.version.version),
        "part_versions": dict(loaded.scorer.head["part_versions"]),
        "mlflow_run_id": loaded.version.run_id,
        "rules": taxonomy_mark,
        # For intervals of totals; null in parts of earlier versions and without a past origin.
        "total_errors": loaded.scorer.parts["clv"].parameters.get("total_errors"),
        "started_at": started.isoformat(),
    }
    (folder / "run.json").write_text(json.dumps(run_meta, indent=1), encoding="utf-8")
    boundary("run described")
    step(f"scored {customers:,} customers")
    return {**run_meta, "customers": customers}


def _under_other_rules(
    space: Workspace, taxonomy_mark: str, snapshot_date: dt.date
) -> PublishedScores | None:
    """The last published scores if they used other stage rules; else None."""
    runs = [
        run for run in scores_store.published_runs(space.output) if run.snapshot_at <= snapshot_date
    ]
    for run in sorted(runs, key=lambda run: (run.snapshot_at, run.sequence), reverse=True):
        folder = run_folder(space.output, run.run_id)
        meta_file, scores = folder / "run.json", folder / "scores"
        if not meta_file.is_file() or not scores.is_dir():
            continue
        if (
            json.loads(meta_file.read_text(encoding="utf-8")).get("rules", taxonomy_mark)
            != taxonomy_mark
        ):
            return PublishedScores(scores, run.snapshot_at)
    return None


def open_archive_for_scoring(space: Workspace) -> Archive | Blocks | SparkArchive:
    """Open stored tallies: in memory, by blocks of customers if they do not fit, or on Spark."""
    config = space.config()
    if config.engine == "spark":
        return spark_steps.open_spark_archive(space)
    if too_large(space.output, config):
        return open_blocks(space.output, config)
    return space.archive()


def _scored(
    archive: Archive | Blocks, loaded: Loaded, snapshot_day: int, finish: RowFinisher, into: Path
) -> tuple[int, dict[str, Any]]:
    """Score all customers into a folder; return the row count and the context to store."""
    with progress_bars() as update_bar:
        if isinstance(archive, Blocks):
            step(f"more than memory holds: {len(archive)} blocks of customers")
            blocks_result = score_by_blocks(
                loaded, archive, snapshot_day, finish, into=into, progress=update_bar
            )
            block_facts = context_facts(blocks_result.everybody, archive.builder.config)
            return blocks_result.customers, {**blocks_result.context, **block_facts}
        rows, context = score_snapshot(loaded, archive, snapshot_day, finish, progress=update_bar)
    scores_table = pa.Table.from_pandas(rows, preserve_index=False)
    write_parquet(into / "scores.parquet", scores_table)
    return len(rows), context | population_facts(archive.builder, snapshot_day)


@flow(name="score")
def score_flow(output: str, run_id: str) -> dict[str, Any]:
    """Score all customers into a run's folder; nothing is published yet."""
    with exclusive(Path(output), run_id):
        clean_up(output, run_id)
        return score_customers(output, run_id)


@task(name="read new events")
def read_new(output: str) -> dict[str, Any]:
    """Update the stored tallies; of event files, only new ones are read."""
    space = Workspace(Path(output))
    return asdict(refresh_tallies(space, space.config()))


@task(name="apply retention")
def retain(output: str) -> dict[str, int]:
    """Remove runs and exports older than the config's retention time."""
    space = Workspace(Path(output))
    removed = apply_retention(space.output, space.config().retention)
    if any(removed.values()):
        step(f"retention: {removed['runs']} old runs and exports of {removed['exports']} removed")
    return removed


@flow(name="nightly")
def nightly_flow(output: str) -> dict[str, Any]:
    """Read new data, score all customers, plan audiences, and publish both atomically."""
    run_id = new_run_id("score")
    with exclusive(Path(output), run_id):
        Workspace(Path(output)).champion()  # without it, nothing stored may change
        read_new(output)
        result = score_flow(output, run_id) | target_flow(output, run_id)
        return result | {"retention": retain(output)}
