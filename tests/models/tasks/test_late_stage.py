"""The current stage from late data: the scorer reads what its training read, beside the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.aggregates.daily_aggregates import tally
from features.config.config import load
from features.table.feature_store import Archive, store
from models.evaluation.evaluate import predict_part
from models.fitting.training_set import training_set
from models.registry import logged_code, registry
from models.registry.promotion import prediction_definitions, recipe_hash
from models.scorer.part import Part
from models.scorer.predict import predict_scores
from models.scorer.scoring_context import scorer_context, scorer_sums
from models.serving.score import scorer_head, scoring_frame, stage_late_days
from models.tasks.all_tasks import TASKS
from tests.flows.shop import write_shop

LATE = ("stage.truth=late", "stage.late_days=10")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    folder = tmp_path_factory.mktemp("late")
    config = load(write_shop(folder, customers=150), LATE)
    tallies, _ = tally(config, latest=30000, quarantine=folder / "quarantine")
    return store(folder / "out", config, tallies, [])


@pytest.fixture(scope="module")
def part(archive: Archive) -> Part:
    builder = archive.builder
    data = training_set(archive, "stage", builder.last_snapshot)
    return TASKS["stage"].fit(data, builder.config, builder.taxonomy.names, threads=1)


def scored(archive: Archive, part: Part, rows: slice = slice(None)) -> pd.DataFrame:
    parts, at = {"stage": part}, archive.builder.last_snapshot
    frame = scoring_frame(archive, at, late_days=stage_late_days(parts))
    head = scorer_head(archive, parts, at, versions={"stage": 1})
    context = scorer_context(parts, scorer_sums(parts, frame))
    return predict_scores(parts, frame.iloc[rows], context, head)


def test_the_scorer_predicts_from_what_was_known_days_before(archive: Archive, part: Part) -> None:
    at = archive.builder.last_snapshot
    assert stage_late_days({"stage": part}) == 10
    rows, late = scored(archive, part), archive.inputs("stage", at)
    p = predict_part(part, late, late)["probabilities"]
    np.testing.assert_allclose(rows["stage_confidence"], p.max(axis=1), atol=1e-12)
    # The stage itself is a fact of today.
    today = archive.features(at)
    assert rows["stage"].tolist() == today["stage"].tolist()
    assert (today["stage"] != late["stage"]).any()


def test_batches_score_alike(archive: Archive, part: Part) -> None:
    whole = scored(archive, part)
    pieces = [scored(archive, part, slice(i, i + 50)) for i in range(0, len(whole), 50)]
    pd.testing.assert_frame_equal(pd.concat(pieces, ignore_index=True), whole)


def test_the_signature_asks_for_both_and_the_example_is_scored(
    archive: Archive, part: Part
) -> None:
    parts = {"stage": part}
    head = scorer_head(archive, parts, archive.builder.last_snapshot, versions={"stage": 1})
    names = registry.signature(parts, head).inputs.input_names()
    assert {"purchase__recency_days", "late__purchase__recency_days"} <= set(names)
    assert set(head["training_context"]) == {"population_gap_days", "late"}
    example = logged_code.synthetic_example(head)
    told = predict_scores(parts, example, head["training_context"], head)
    assert told["stage_confidence"].notna().all()


def test_another_truth_is_another_recipe_of_the_same_stages(tmp_path: Path, part: Part) -> None:
    path = write_shop(tmp_path, customers=5)
    assert recipe_hash(load(path)) != recipe_hash(load(path, LATE))
    # A stage history that is not the truth changes nothing.
    block = "stage_history={table: a.csv, columns: {customer_id: c, stage: s, occurred_at: {column: t}}}"  # noqa: E501
    assert recipe_hash(load(path)) == recipe_hash(load(path, (block,)))
    truth = (block, "stage.truth=history")
    assert recipe_hash(load(path, truth)) != recipe_hash(load(path))
    moved = (block.replace("a.csv", "b.csv"), "stage.truth=history")
    assert recipe_hash(load(path, truth)) == recipe_hash(load(path, moved))
    plain = Part("stage", {**part.parameters, "late_days": 0}, part.boosters)
    assert prediction_definitions({"stage": part}, ["a"]) == prediction_definitions(
        {"stage": plain}, ["a"]
    )
