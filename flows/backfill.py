"""Backfill flow: score past dates with the scorer that was champion at the time."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from campaigns.audience_files import AUDIENCE_SCHEMA
from features.calendar import day_date, day_number
from features.errors import UserError
from features.storage import scores_store
from features.storage.fault_injection import boundary
from features.storage.output_lock import exclusive
from features.storage.runs import PublishedRun, RunRecord, run_folder, write_parquet
from features.table.feature_store import Archive
from flows.score import clean_up
from flows.services.console import step, warn
from flows.services.prefect_artifacts import show_table
from flows.services.progress_bars import progress
from flows.services.steps import flow, task
from flows.services.workspace import Workspace, new_run_id
from models.evaluation.workers import worker_pool
from models.registry import registry
from models.registry.champion_history import champion_at, champion_terms
from models.registry.registry import SCORER
from models.registry.version import Version
from models.serving.backfill import score_day
from models.serving.score import ScoreStamp


@dataclass(frozen=True)
class DueDates:
    """A date to score and the scorer version to use."""

    day: dt.date
    version: Version
    run_id: str


def date_grid(first: dt.date, last: dt.date, every_days: int) -> list[dt.date]:
    """Dates from first to last at a fixed interval in days.

    Raises
    ------
    UserError
        Where the last comes before the first.
    """
    if last < first:
        raise UserError("--to", found=str(last), expected=f"{first} (--from) or later")
    return [first + dt.timedelta(n) for n in range(0, (last - first).days + 1, every_days)]


def due_dates(
    archive: Archive,
    versions: Sequence[Version],
    days: Sequence[dt.date],
    *,
    given: int | None,
    published: Sequence[PublishedRun],
) -> list[DueDates]:
    """Dates that are not scored yet, each with its scorer version.

    A date with scores that a run published at the time is left as it is, and so is one that the
    same version has already filled in.

    Raises
    ------
    UserError
        For a date outside of the history, one before the first champion, or no such version.
    """
    there = {run.snapshot_at: run for run in published if run.status == "published"}
    found = []
    for day in days:
        _check_day(archive, day)
        version = _version(versions, given, day, archive.builder.config.timezone)
        before = there.get(day)
        if before is None or (
            before.kind == "backfill" and before.scorer_version != str(version.version)
        ):
            found.append(DueDates(day, version, new_run_id("backfill")))
    return found


def _check_day(archive: Archive, day: dt.date) -> None:
    span = archive.builder.span
    first, last = day_date(span.first + 1), day_date(span.last_snapshot)
    if not first <= day <= last:
        raise UserError(
            "--from, --to",
            found=str(day),
            expected=f"dates from {first} to {last}: the day after the first event to that after "
            "the last",
        )


def _version(
    versions: Sequence[Version], given: int | None, day: dt.date, timezone: str
) -> Version:
    """The requested version, or the champion at the end of that local day."""
    end = dt.datetime.combine(day + dt.timedelta(1), dt.time(), ZoneInfo(timezone))
    wanted = given if given is not None else champion_at(versions, end)
    for version in versions:
        if version.version == wanted:
            return version
    if given is not None:
        numbers = ", ".join(str(v.version) for v in versions) or "none"
        raise UserError("--version", found=str(given), expected=f"one of: {numbers}")
    known = champion_terms(versions)
    raise UserError(
        f"{SCORER}@champion at {day}",
        found=f"the first champion began on {known[0][0]:%Y-%m-%d}" if known else "no champion",
        expected="a date at which some version was champion",
        hint="name one with --version (stagecast models lists them)",
    )


@task(name="score past dates")
def score_past(output: str, days: list[str], version: int | None, count: int) -> dict[str, Any]:
    """Score the due dates in worker processes; publish each date once it is complete."""
    space = Workspace(Path(output))
    archive, tracking = space.archive(), space.tracking()
    todo = due_dates(
        archive,
        registry.versions(tracking, SCORER),
        [dt.date.fromisoformat(day) for day in days],
        given=version,
        published=scores_store.published_runs(space.output),
    )
    step(f"{len(todo)} of {len(days)} dates to score; the others have scores")
    _warn_of_hindsight(todo)
    rows = []
    with worker_pool(archive, count) as submit, progress("dates scored", len(todo)) as advance:
        running = {}
        for one in todo:
            folder, at = run_folder(space.output, one.run_id), day_number(one.day)
            stamp = ScoreStamp(one.run_id, dt.datetime.now(dt.UTC))
            future = submit(score_day, tracking, one.version.version, at, stamp, folder)
            running[future] = (one, stamp)
        for future in as_completed(running):
            one, stamp = running.pop(future)
            customers = future.result()
            _publish(space, archive, one, stamp)
            rows.append((str(one.day), one.version.version, customers))
            advance()
    columns = ("snapshot_at", "scorer version", "customers")
    show_table("backfill", columns, sorted(rows), about="Dates scored by this run")
    return {"dates": len(days), "scored": len(rows), "rows": sum(row[2] for row in rows)}


def _publish(space: Workspace, archive: Archive, one: DueDates, stamp: ScoreStamp) -> None:
    folder = run_folder(space.output, one.run_id)
    audience = write_parquet(folder / "audience.parquet", AUDIENCE_SCHEMA.empty_table())
    meta = {
        "run_id": one.run_id,
        "dataset": archive.builder.config.name,
        "snapshot_at": str(one.day),
        "scorer_version": str(one.version.version),
        "mlflow_run_id": one.version.run_id,
        "started_at": stamp.scored_at.isoformat(),
    }
    (folder / "run.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")
    boundary("date scored")
    record = RunRecord.model_validate(
        {**meta, "kind": "backfill", "finished_at": dt.datetime.now(dt.UTC)}
    )
    scores_store.publish_run(
        space.output, record, scores=[folder / "scores" / "scores.parquet"], audience=audience
    )
    boundary("date published")


def _warn_of_hindsight(todo: Sequence[DueDates]) -> None:
    """Warn if a version scores dates that it was trained on."""
    early = [one.day for one in todo if one.version.tags.get("trained_at", "") > str(one.day)]
    if early:
        warn(
            f"{len(early)} dates from {min(early)} lie before the training of their version: "
            "it knows what came after, so these scores measure nothing"
        )


@flow(name="backfill")
def backfill_flow(
    output: str, days: list[str], version: int | None = None, count: int = 2
) -> dict[str, Any]:
    """Fill the history of scores at past dates; after an interruption, run it again to continue."""
    with exclusive(Path(output), "backfill"):
        clean_up(output, "")
        return score_past(output, days, version, count)
