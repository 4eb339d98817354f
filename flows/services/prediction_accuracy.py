"""Predictions of published runs against what came: compared as soon as their labels mature."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd
import pyarrow.parquet as pq

from features.calendar import day_number
from features.storage import scores_store
from features.storage.result_tables import PREDICTION_ACCURACY, read_results, write_results
from features.storage.runs import PublishedRun
from features.table.feature_store import Archive
from features.table.prediction_targets import TaskName
from flows.services.workspace import Workspace
from models.monitoring.performance import tasks_matured
from models.monitoring.realised_accuracy import (
    ACCURACY_COLUMNS,
    compared_predictions,
    realised_accuracy,
)

_HORIZONS: Mapping[str, str] = MappingProxyType(
    {"churn": "churn_horizon_days", "clv": "clv_horizon_days"}
)
_MOST_RUNS = 8  # compared at once, the latest first; the others follow at the next runs


def update_prediction_accuracy(space: Workspace) -> pd.DataFrame:
    """Compare the published runs that have matured since the last time; store and return all rows.

    Returns
    -------
    DataFrame
        As `models.monitoring.realised_accuracy.realised_accuracy`, with snapshot_at, run_id,
        scorer_version and horizon_days; in order of the snapshots.
    """
    archive = space.archive()
    stored_rows = read_results(space.output, PREDICTION_ACCURACY)
    runs = scores_store.published_runs(space.output)
    # A run that another one of its snapshot has replaced no longer counts.
    superseded = {run.run_id for run in runs if run.status == "superseded"}
    known_rows = stored_rows[~stored_rows["run_id"].isin(superseded)]
    known_predictions = known_rows.groupby("run_id")["prediction"].agg(frozenset).to_dict()
    parts, compared_runs = [known_rows], 0
    for run in sorted(runs, key=lambda run: run.snapshot_at, reverse=True):
        # A backfill predicted nothing: its scorer may have known what came after.
        if run.status != "published" or run.kind != "score":
            continue
        compared = known_predictions.get(run.run_id, frozenset())
        pending: list[TaskName] = [
            name
            for name in tasks_matured(archive.builder, day_number(run.snapshot_at))
            if (predictions := compared_predictions(name))
            and not predictions & compared
            and _has_horizon(space, run, name, archive.builder.horizon(name))
        ]
        if pending and compared_runs < _MOST_RUNS:
            parts += [_accuracy(space, archive, run, name) for name in pending]
            compared_runs += 1
    filled_parts = [part for part in parts if len(part)]
    if not filled_parts:
        return known_rows
    rows = pd.concat(filled_parts, ignore_index=True)
    rows = rows.sort_values(["snapshot_at", "run_id"], kind="stable", ignore_index=True)
    write_results(space.output, PREDICTION_ACCURACY, rows)
    return read_results(space.output, PREDICTION_ACCURACY)


def _has_horizon(space: Workspace, run: PublishedRun, name: TaskName, horizon_days: int) -> bool:
    """False if the run predicted for another horizon than the one of the present labels."""
    column, file = _HORIZONS.get(name), space.output / run.score_files[0]
    if column is None or column not in pq.read_schema(file).names:
        return True
    predicted = pd.read_parquet(file, columns=[column])[column].dropna()
    return predicted.empty or bool(predicted.iloc[0] == horizon_days)


def _accuracy(
    space: Workspace, archive: Archive, run: PublishedRun, name: TaskName
) -> pd.DataFrame:
    """Rows of one run and task."""
    files = [space.output / file for file in run.score_files]
    present = set(pq.read_schema(files[0]).names)
    columns = [column for column in ACCURACY_COLUMNS if column in present]
    scores = pd.concat([pd.read_parquet(file, columns=columns) for file in files])
    labels = archive.builder.labels(name, day_number(run.snapshot_at))
    return realised_accuracy(name, scores, labels).assign(
        snapshot_at=pd.Timestamp(run.snapshot_at),
        run_id=run.run_id,
        scorer_version=run.scorer_version,
        horizon_days=archive.builder.horizon(name),
    )
