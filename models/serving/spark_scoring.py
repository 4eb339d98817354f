"""Scoring on Spark: features, sums and prediction in the executors, each on its own customers."""

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
from features.spark.spark import Batches, collected, shipped, user_errors, write
from features.spark.spark_build import SparkArchive
from features.table.population_statistics import Everybody
from features.table.snapshot_builder import Builder
from models.registry import registry
from models.registry.registry import Loaded
from models.registry.version import Version
from models.scorer.scored_row import scored_names
from models.scorer.scoring_context import add_sums, scorer_context, scorer_sums
from models.serving.score import Before, Stamp, Unstored, late_days_of, scoring_frame, stamped

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
class _ScoredOnSpark:
    """What came of it: the number of rows, the scoring context, and the facts of everybody."""

    customers: int
    context: dict[str, Any]
    everybody: Everybody


def score_on_spark(
    loaded: Loaded,
    artifacts: Path,
    archive: SparkArchive,
    at: int,
    stamp: Stamp,
    *,
    into: Path,
    before: Before | None = None,
) -> _ScoredOnSpark:
    """Write scored rows of everyone who exists at a snapshot, as `models.serving.score.score` gives
    them.

    Parameters
    ----------
    loaded, artifacts
        The scorer, and the folder of its artifacts, of which every executor gets a copy.
    archive
        Stored tallies.
    at, stamp
        Day number of the snapshot; who scores.
    into
        Folder for the parquet files.
    before
        Scores last published under other rules, to tell changes of stage that only these made.
    """
    scorer, cluster = loaded.scorer, archive.cluster
    everybody = archive.everybody(at)
    late = late_days_of(scorer.parts)

    def inputs(builder: Builder) -> pd.DataFrame:
        return scoring_frame(Unstored(builder), at, late_days=late)

    name = _shipped_to_all(archive, artifacts)
    schema = _inputs_schema(scorer.head)
    # Kept by the executors: the context needs one look at all rows before the first is scored.
    frame = archive.rows(inputs, schema, everybody=everybody).persist()
    try:
        with user_errors():
            summed = cluster.mapped(frame, _sums(name, loaded.version), _SUMS)
            parts = [json.loads(row["sums"]) for row in collected(summed)]
            sums: Mapping[str, float] = functools.reduce(add_sums, parts, {})
            context = scorer_context(scorer.parts, sums)
            rows = frame if before is None else _with_stage_before(archive, frame, before)
            published = None if before is None else before.snapshot_at
            predicted = _predicted(name, loaded.version, context, stamp, published)
            write(cluster.mapped(rows, predicted, _scores_schema(scorer)), into)
            customers = cluster.parquet([into]).count()
    finally:
        frame.unpersist()
    return _ScoredOnSpark(customers, context, everybody)


_SUMS = pa.schema([("sums", pa.string())])


def _shipped_to_all(archive: SparkArchive, artifacts: Path) -> str:
    """Name of the copy of the artifacts that every executor finds."""
    copy = Path(tempfile.mkdtemp(prefix="stagecast-scorer-"))
    # Executors that join later in the session fetch it too, so it goes with the process.
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    shutil.copytree(artifacts, copy, dirs_exist_ok=True)
    archive.cluster.ship(copy)
    return copy.name


@functools.lru_cache(maxsize=2)
def _loaded(name: str, number: int) -> Loaded:
    """The scorer, loaded once a worker process."""
    version = Version(registry.SCORER, number, "", (), {}, "", 0)
    return registry.load_folder(shipped(name), version)


def _sums(name: str, version: Version) -> Callable[[Batches], Iterator[pa.Table]]:
    number = version.version

    def summed(batches: Batches) -> Iterator[pa.Table]:
        sums: Mapping[str, float] = {}
        for frame in _frames(batches):
            parts = _loaded(name, number).scorer.parts
            sums = add_sums(sums, scorer_sums(parts, frame))
        yield pa.table({"sums": [json.dumps(sums)]})

    return summed


def _predicted(
    name: str,
    version: Version,
    context: Mapping[str, Any],
    stamp: Stamp,
    published: dt.date | None,
) -> Callable[[Batches], Iterator[pa.Table]]:
    number = version.version

    def predicted(batches: Batches) -> Iterator[pa.Table]:
        for frame in _frames(batches):
            loaded = _loaded(name, number)
            rows = stamped(loaded.predict(frame, context), loaded, stamp)
            if published is not None:
                old = frame[[CUSTOMER, _STAGE_BEFORE]].rename(columns={_STAGE_BEFORE: "stage"})
                rows = caused_by_definition(rows, old, published)
            yield pa.Table.from_pandas(rows, preserve_index=False)

    return predicted


def _frames(batches: Batches) -> Iterator[pd.DataFrame]:
    for batch in batches:
        if batch.num_rows:
            frame = batch.to_pandas()
            frame[SNAPSHOT] = frame[SNAPSHOT].astype("datetime64[s]")
            yield frame


def _with_stage_before(archive: SparkArchive, frame: Any, before: Before) -> Any:
    """Input rows with the stage that was published of each customer."""
    old = archive.cluster.parquet([before.folder]).select(CUSTOMER, "stage")
    return frame.join(old.withColumnRenamed("stage", _STAGE_BEFORE), CUSTOMER, "left")


def _inputs_schema(head: Mapping[str, Any]) -> pa.Schema:
    """The columns that a scorer reads."""
    facts = [(each["name"], _TYPES[each["dtype"]]) for each in head["pass_through"]]
    numbers = [(each["name"], pa.float64()) for each in head["features"]]
    return pa.schema([(CUSTOMER, pa.string()), (SNAPSHOT, _TYPES["date"]), *numbers, *facts])


def _scores_schema(scorer: Any) -> pa.Schema:
    names = {**scored_names(scorer.parts, scorer.head), **_STAMPED}
    return pa.schema([(name, _TYPES[dtype]) for name, dtype in names.items()])
