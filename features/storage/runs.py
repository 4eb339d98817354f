"""Published runs: their records, and the marker file in each run's folder."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from features.errors import UserError
from features.storage.disk import sync as sync
from features.storage.fault_injection import boundary as boundary

RUNS_FOLDER = "runs"
MARKER_FILE = "published.json"
_RUN_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,120}$")

RUNS_SCHEMA = pa.schema(
    [
        ("sequence", pa.int64()),
        ("run_id", pa.string()),
        ("status", pa.string()),
        ("is_current", pa.bool_()),
        ("dataset", pa.string()),
        ("kind", pa.string()),
        ("snapshot_at", pa.date32()),
        ("scorer_version", pa.string()),
        ("mlflow_run_id", pa.string()),
        ("customers", pa.int64()),
        ("members", pa.int64()),
        ("started_at", pa.timestamp("us")),
        ("finished_at", pa.timestamp("us")),
        ("score_files", pa.list_(pa.string())),
        ("audience_file", pa.string()),
    ]
)


class RunRecord(BaseModel):
    """The record of a run that a flow publishes.

    Attributes
    ----------
    run_id
        Letters, digits, dot, dash, underscore; also the name of the folder under ``runs/``.
    dataset
        The config's name; one output folder holds one data set.
    snapshot_at
        The date all scores of the run are as of.
    scorer_version, mlflow_run_id
        Version of the scorer, and its MLflow run (null if none).
    started_at, finished_at
        UTC times from the flow (this module reads no clock).
    kind
        ``backfill`` runs enter the history but never become the current run.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_id: str
    dataset: str
    snapshot_at: dt.date
    scorer_version: str
    started_at: dt.datetime
    finished_at: dt.datetime
    mlflow_run_id: str | None = None
    kind: Literal["score", "backfill"] = "score"

    @field_validator("run_id")
    @classmethod
    def _safe_name(cls, run_id: str) -> str:
        if not _RUN_ID.match(run_id):
            raise ValueError("a run id is letters, digits, dot, dash and underscore")
        return run_id

    @field_validator("started_at", "finished_at")
    @classmethod
    def _utc(cls, moment: dt.datetime) -> dt.datetime:
        return moment.astimezone(dt.UTC).replace(tzinfo=None) if moment.tzinfo else moment


class PublishedRun(RunRecord):
    """A run in the store.

    Attributes
    ----------
    sequence
        Number of the publication; larger is later.
    status
        ``published``; ``superseded`` by a later run of the same snapshot; ``files_missing`` if its
        files were removed and no later run replaced it (a gap in the history).
    is_current
        True if ``customer_scores`` and ``audience_members`` hold this run.
    customers, members
        Rows of its scores; rows of its audience that are not ``removed``.
    score_files, audience_file
        Paths relative to the output folder.
    """

    sequence: int
    customers: int
    members: int
    score_files: tuple[str, ...]
    audience_file: str
    status: Literal["published", "superseded", "files_missing"] = "published"
    is_current: bool = False


def run_folder(output: Path, run_id: str) -> Path:
    """Return a run's folder under the output folder."""
    return output / RUNS_FOLDER / run_id


def write_parquet(path: Path, table: pa.Table) -> Path:
    """Write a table atomically; a column of nulls only is written as text.

    A column without a type would otherwise be read back as integers.
    """
    fields = [
        pa.field(field.name, pa.string()) if pa.types.is_null(field.type) else field
        for field in table.schema
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.tmp")
    pq.write_table(table.cast(pa.schema(fields)), unfinished)
    sync(unfinished)
    os.replace(unfinished, path)
    sync(path.parent)
    return path


def next_sequence(runs: Sequence[PublishedRun]) -> int:
    """Return the number of the next publication."""
    return max((run.sequence for run in runs), default=0) + 1


def arrange_runs(
    output: Path, runs: Sequence[PublishedRun], *, stored_sequences: Collection[int] = ()
) -> list[PublishedRun]:
    """Return the runs with their current ``status`` and ``is_current``.

    Runs whose rows the store itself holds (`stored_sequences`, by sequence) need no files.
    """
    ordered = sorted(runs, key=lambda run: run.sequence)
    complete = {
        run.sequence
        for run in ordered
        if run.sequence in stored_sequences or _has_files(output, run)
    }
    latest = {run.snapshot_at: run.sequence for run in ordered if run.sequence in complete}
    arranged_runs = []
    for run in ordered:
        latest_sequence = latest.get(run.snapshot_at, 0)
        status = "published" if latest_sequence == run.sequence else "superseded"
        # The store drops rows of superseded runs; their files may be on another machine.
        if run.sequence not in complete and latest_sequence < run.sequence:
            status = "files_missing"
        arranged_runs.append(run.model_copy(update={"status": status, "is_current": False}))
    usable_positions = [
        position for position, run in enumerate(arranged_runs) if run.sequence in complete
    ]
    scored_positions = [
        position for position in usable_positions if arranged_runs[position].kind == "score"
    ]
    if usable_positions:
        current = (scored_positions or usable_positions)[-1]
        arranged_runs[current] = arranged_runs[current].model_copy(update={"is_current": True})
    return arranged_runs


def _has_files(output: Path, run: PublishedRun) -> bool:
    return all((output / file).is_file() for file in (*run.score_files, run.audience_file))


def write_marker(output: Path, run: PublishedRun) -> None:
    """Write a run's record into its folder, atomically."""
    folder = run_folder(output, run.run_id)
    content: dict[str, Any] = run.model_dump(mode="json", exclude={"status", "is_current"})
    text = json.dumps(content, indent=2) + "\n"
    marker = folder / MARKER_FILE
    if marker.exists() and marker.read_text(encoding="utf-8") == text:
        return
    unfinished = folder / f"{MARKER_FILE}.tmp"
    unfinished.write_text(text, encoding="utf-8")
    sync(unfinished)
    os.replace(unfinished, marker)
    sync(folder)


def runs_with_markers(output: Path) -> list[PublishedRun]:
    """Return the runs with a marker file in their folder."""
    marked_runs = []
    for marker in sorted((output / RUNS_FOLDER).glob(f"*/{MARKER_FILE}")):
        try:
            run = PublishedRun.model_validate_json(marker.read_text(encoding="utf-8"))
        except ValidationError as error:
            raise UserError(
                str(marker),
                found="a file that does not describe a published run",
                expected="what stagecast wrote there",
                hint="remove the file if the run may be forgotten",
            ) from error
        if run.run_id == marker.parent.name:
            marked_runs.append(run)
    return marked_runs
