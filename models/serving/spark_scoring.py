"""Score on Spark: executors build features, sums and predictions of their own customers."""

from __future__ import annotations

import atexit
import datetime as dt
import functools
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from features.contracts import CUSTOMER, SNAPSHOT
from features.lifecycle.definition_changes import caused_by_definition
from features.spark.spark import Batches, collected, shipped_folder, user_errors, write_frame
from features.spark.spark_build import SparkArchive
from features.table.population_statistics import Everybody
from features.table.snapshot_builder import Builder
from models.registry import registry
from models.registry.registry import Loaded
from models.registry.version import Version
from models.scorer.scored_row import scored_names
from models.scorer.scoring_context import add_sums, scorer_context, scorer_sums
from models.serving.score import (
    PublishedScores,
    ScoreStamp,
    scoring_frame,
    stage_late_days,
    stamp_rows,
)
from models.serving.scoring_input import UnstoredFeatures

_STAGE_BEFORE = "stage_before"
_TYPES = {
    "string": pa.string(),
    "double": pa.float64(),
    "bool": pa.bool_(),
    "int64": pa.int64(),
    "date": pa.timestamp("us"),
    "timestamp": pa.timestamp("us"),
}
_STAMPED = {"scorer_version": "string", "run_id": "string", "scored_at": "timestamp"}


@dataclass(frozen=True)
class _SparkScores:
    """Number of scored customers, the scoring context, and the population statistics."""

    customers: int
    context: dict[str, Any]
    everybody: Everybody


def score_on_spark(
    loaded: Loaded,
    artifacts: Path,
    archive: SparkArchive,
    day: int,
    stamp: ScoreStamp,
    *,
    into: Path,
    previous: PublishedScores | None = None,
) -> _SparkScores:
    """Write the rows that `models.serving.score.score_snapshot` would return.

    Parameters
    ----------
    loaded, artifacts
        The scorer, and the folder of its artifacts, which is copied to every executor.
    archive
        Stored tallies.
    day, stamp
        Day number of the snapshot; who scores.
    into
        Folder for the parquet files.
    previous
        Scores last published under earlier rules, to mark stage changes caused by the new rules.
    """
    scorer, cluster = loaded.scorer, archive.cluster
    everybody = archive.everybody(day)
    late_days = stage_late_days(scorer.parts)

    def inputs(builder: Builder) -> pd.DataFrame:
        return scoring_frame(UnstoredFeatures(builder), day, late_days=late_days)

    artifact_name = _ship_to_executors(archive, artifacts)
    schema = _inputs_schema(scorer.head)
    # Persisted: the context needs a pass over all rows before the first is scored.
    frame = archive.rows(inputs, schema, everybody=everybody).persist()
    try:
        with user_errors():
            sums_frame = cluster.mapped(frame, _summer(artifact_name, loaded.version), _SUMS_SCHEMA)
            sums_by_task = [json.loads(row["sums"]) for row in collected(sums_frame)]
            totals: Mapping[str, float] = functools.reduce(add_sums, sums_by_task, {})
            scoring_context = scorer_context(scorer.parts, totals)
            rows = frame if previous is None else _add_stage_before(archive, frame, previous)
            published = None if previous is None else previous.snapshot_at
            predicted = _predictor(artifact_name, loaded.version, scoring_context, stamp, published)
            write_frame(cluster.mapped(rows, predicted, _scores_schema(scorer)), into)
            customers = cluster.parquet([into]).count()
    finally:
        frame.unpersist()
    return _SparkScores(customers, scoring_context, everybody)


_SUMS_SCHEMA = pa.schema([("sums", pa.string())])


def _ship_to_executors(archive: SparkArchive, artifacts: Path) -> str:
    """Copy the artifacts to all executors; return the name of the copy."""
    copy = Path(tempfile.mkdtemp(prefix="stagecast-scorer-"))
    # Executors that join later in the session fetch it too, so delete it when the process ends.
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    shutil.copytree(artifacts, copy, dirs_exist_ok=True)
    archive.cluster.ship(copy)
    return copy.name


@functools.lru_cache(maxsize=2)
def _loaded(name: str, number: int) -> Loaded:
    """The scorer, loaded once per worker process."""
    version = Version(registry.SCORER, number, "", (), {}, "", 0)
    return registry.load_folder(shipped_folder(name), version)


def _summer(name: str, version: Version) -> Callable[[Batches], Iterator[pa.Table]]:
    version_number = version.version

    def summed(batches: Batches) -> Iterator[pa.Table]:
        sums: Mapping[str, float] = {}
        for frame in _frames(batches):
            parts = _loaded(name, version_number).scorer.parts
            sums = add_sums(sums, scorer_sums(parts, frame))
        yield pa.table({"sums": [json.dumps(sums)]})

    return summed


def _predictor(
    name: str,
    version: Version,
    context: Mapping[str, Any],
    stamp: ScoreStamp,
    published: dt.date | None,
) -> Callable[[Batches], Iterator[pa.Table]]:
    version_number = version.version

    def predicted(batches: Batches) -> Iterator[pa.Table]:
        for frame in _frames(batches):
            loaded = _loaded(name, version_number)
            rows = stamp_rows(loaded.predict(frame, context), loaded, stamp)
            if published is not None:
                stage_before = frame[[CUSTOMER, _STAGE_BEFORE]].rename(
                    columns={_STAGE_BEFORE: "stage"}
                )
                rows = caused_by_definition(rows, stage_before, published)
            yield pa.Table.from_pandas(rows, preserve_index=False)

    return predicted


def _frames(batches: Batches) -> Iterator[pd.DataFrame]:
    for batch in batches:
        if batch.num_rows:
            frame = batch.to_pandas()
            frame[SNAPSHOT] = frame[SNAPSHOT].astype("datetime64[s]")
            yield frame


def _add_stage_before(archive: SparkArchive, frame: Any, previous: PublishedScores) -> Any:
    """Add the published stage of each customer to the input rows."""
    published = archive.cluster.parquet([previous.folder]).select(CUSTOMER, "stage")
    return frame.join(published.withColumnRenamed("stage", _STAGE_BEFORE), CUSTOMER, "left")


def _inputs_schema(head: Mapping[str, Any]) -> pa.Schema:
    """The columns that a scorer reads."""
    facts = [(field["name"], _TYPES[field["dtype"]]) for field in head["pass_through"]]
    numbers = [(field["name"], pa.float64()) for field in head["features"]]
    return pa.schema([(CUSTOMER, pa.string()), (SNAPSHOT, _TYPES["date"]), *numbers, *facts])


def _scores_schema(scorer: Any) -> pa.Schema:
    names = {**scored_names(scorer.parts, scorer.head), **_STAMPED}
    return pa.schema([(name, _TYPES[dtype]) for name, dtype in names.items()])
