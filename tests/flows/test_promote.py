"""Promotion and roll-back on the made-up shop: earned, refused, concurrent, and undone."""

from __future__ import annotations

import datetime as dt
import json
import multiprocessing
import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from features.calendar import day_date
from features.errors import UserError
from features.storage.check_sums import write_sums
from features.storage.scores_store import read_current
from features.table.feature_store import Archive
from features.table.prediction_targets import TASK_NAMES
from flows.commands.model_versions import print_models
from flows.promote import compare_versions
from flows.services.workspace import Workspace
from models.evaluation.backtest import refuse_leaks
from models.evaluation.comparison import read_comparisons
from models.evaluation.evaluate import delayed_test_set, predict_part
from models.evaluation.leakage import leaking
from models.evaluation.refit import EarlierRecipe, refit
from models.fitting.training_set import training_set
from models.registry import registry
from models.registry.guardrails import guard_comparisons
from models.registry.promotion import compare_parts, decide_promotion, refusal_reason
from models.registry.registry import SCORER
from models.registry.tracking import Tracking
from models.scorer.part import Part
from models.serving.score import RowFinisher, ScoreStamp, score_snapshot
from models.tasks.all_tasks import TASKS
from tests.flows.shop import Shop, stagecast

pytestmark = pytest.mark.slow

Parts = dict[str, Part]


@pytest.fixture(scope="module")
def space(shop: Shop) -> Workspace:
    return Workspace(shop.output)


@pytest.fixture(scope="module")
def archive(space: Workspace) -> Archive:
    return space.archive()


@pytest.fixture(scope="module")
def gated(space: Workspace) -> Parts:
    return {task: Part.load(space.training / "gated" / task) for task in TASK_NAMES}


def changed(part: Part, **parameters: Any) -> Part:
    return replace(part, parameters={**part.parameters, **parameters})


def gated_origin(archive: Archive) -> int:
    return archive.builder.gates("churn")[0]


def against(archive: Archive, challenger: Parts, champion: Parts) -> Any:
    return decide_promotion(compare_parts(archive, challenger, champion, seed=1), same_recipe=True)


def test_a_worse_ranking_is_refused(archive: Archive, gated: Parts) -> None:
    linear = gated["churn"].parameters["linear"]
    noise = np.random.default_rng(0).permutation(linear["coefficients"]).tolist()
    worse = changed(
        gated["churn"], linear={**linear, "coefficients": noise}, weights={"logistic": 1.0}
    )
    decision = against(archive, {**gated, "churn": worse}, gated)
    assert not decision.accepted
    assert "churn" in decision.reason
    by_name = {(c.task, c.metric): c for c in decision.comparisons}
    ranking = by_name["churn", "1 - AUC"]
    assert ranking.challenger > ranking.champion + 0.02


def test_a_worse_total_is_refused(archive: Archive, gated: Parts) -> None:
    level = gated["clv"].parameters["level_correction"]
    worse = changed(gated["clv"], level_correction=level + 0.5)
    decision = against(archive, {**gated, "clv": worse}, gated)
    assert not decision.accepted
    assert "clv total bias" in decision.reason


def test_a_worse_slice_is_refused_though_the_mean_is_better(archive: Archive, gated: Parts) -> None:
    at, task = archive.builder.gate("churn"), "churn"
    test = delayed_test_set(archive, "churn", at, 0)
    rows, out = test.rows, predict_part(gated[task], test.rows, test.everyone)
    biggest = int(rows["stage__code"].mode()[0])
    mine = (rows["stage__code"] == biggest).to_numpy()
    old = np.full(len(rows), 0.5)
    new = np.where(mine, 0.7, 0.0)  # all the others are as good as can be
    stages = archive.builder.taxonomy.names
    found = list(guard_comparisons("churn", rows, (out, out), (new, old), stages, seed=1))
    worse = [c for c in found if not c.not_worse]
    assert [c.metric for c in worse] == [f"loss in stage {stages[biggest]}"]
    decision = decide_promotion(worse, same_recipe=True)
    assert not decision.accepted
    assert f"loss in stage {stages[biggest]} 0.7" in decision.reason


def test_a_feature_that_knows_the_future_is_refused_and_named(
    archive: Archive, gated: Parts
) -> None:
    assert refusal_reason(archive, gated) is None
    gate = archive.builder.gate("churn")
    path, features = archive.path(gate), archive.features(gate)
    assert leaking(archive.builder, features, gate) == []
    kept = path.read_bytes()
    try:
        later = archive.builder.features(gate + 20).set_index("customer_id")
        leak = later.loc[features["customer_id"], "purchase__count_30d"].to_numpy()
        features.assign(purchase__count_30d=leak).to_parquet(path, index=False)
        write_sums(path)  # the file itself is whole; what it says is wrong
        told = refusal_reason(archive, gated)
        with pytest.raises(UserError, match="know what came later: purchase__count_30d"):
            refuse_leaks(archive, [gate])
    finally:
        path.write_bytes(kept)
        write_sums(path)
    assert told is not None
    assert "purchase__count_30d" in told
    assert "know what came later" in told


def test_a_feature_that_no_snapshot_has_is_refused(archive: Archive, gated: Parts) -> None:
    linear = gated["churn"].parameters["linear"]
    asking = {**linear, "columns": [*linear["columns"][1:], "purchase__count_next_30d"]}
    churn = changed(gated["churn"], linear=asking, weights={"logistic": 1.0})
    refusal = refusal_reason(archive, {**gated, "churn": churn})
    assert refusal is not None
    assert "purchase__count_next_30d" in refusal


def test_the_same_recipe_on_newer_data_passes(archive: Archive, gated: Parts) -> None:
    builder, older = archive.builder, dict(gated)
    for task in ("churn", "stage"):  # the champion knows a month less
        data = training_set(archive, task, builder.gate(task) - 30)
        older[task] = TASKS[task].fit(data, builder.config, builder.taxonomy.names, threads=1)
    assert refusal_reason(archive, gated) is None
    decision = against(archive, gated, older)
    assert decision.accepted, decision.reason
    assert {c.task for c in decision.comparisons} == set(TASK_NAMES)


def test_the_same_recipe_fitted_again_before_the_gates_predicts_the_same(
    archive: Archive, gated: Parts
) -> None:
    recipe, origin = EarlierRecipe(archive.builder.config, frozenset()), gated_origin(archive)
    test = delayed_test_set(archive, "churn", archive.builder.gate("churn"), 0)
    again = predict_part(refit(archive, recipe, "churn", origin), test.rows, test.everyone)
    once = predict_part(gated["churn"], test.rows, test.everyone)
    np.testing.assert_array_equal(again["p_churn"], once["p_churn"])


def test_the_parts_are_compared_on_all_gates_that_both_have_not_seen(
    archive: Archive, gated: Parts
) -> None:
    gates = {task: archive.builder.gates(task) for task in TASK_NAMES}
    before = {task: str(day_date(days[0])) for task, days in gates.items()}
    late = {task: str(day_date(days[-1])) for task, days in gates.items()}
    for known, count in (
        ((before, before), len),
        ((before, late), lambda days: 1),
        ((late, before), lambda days: 1),
        ((before, {}), lambda days: 1),
        ((), lambda days: 1),
    ):
        comparisons = compare_parts(archive, gated, gated, seed=1, fitted_before=known)
        losses = [c for c in comparisons if c.guard is None and c.task in TASK_NAMES]
        assert [c.snapshots for c in losses] == [count(gates[c.task]) for c in losses]
        assert all(c.not_worse and c.p_better == 1.0 for c in losses)


def test_the_best_baseline_of_each_task_is_part_of_the_decision(space: Workspace) -> None:
    stored = read_comparisons(space.read("training.json")["baselines"])
    decided = compare_versions.fn(str(space.output), 1)
    best = read_comparisons(decided["baselines"])
    assert {c.task for c in best} == set(TASK_NAMES)
    for each in best:
        rivals = [c for c in stored if c.task == each.task]
        assert each.champion == min(c.champion for c in rivals)
        assert len(rivals) > 1
    assert len(decided["warnings"]) == sum(c.baseline_is_better for c in best)


def test_a_dry_run_tells_and_changes_nothing(shop: Shop, space: Workspace, tmp_path: Path) -> None:
    before = registry.versions(space.tracking(), SCORER)
    done = stagecast("promote", "--dry-run", "--output", shop.output)
    assert done.returncode == 0, done.stderr
    assert "accepted: " in done.stdout
    assert registry.versions(space.tracking(), SCORER) == before
    print_models(shop.output, tmp_path / "models.json")
    rows = json.loads((tmp_path / "models.json").read_text(encoding="utf-8"))
    assert [row["champion since"] != "-" for row in rows] == [row["alias"] != "-" for row in rows]


def test_versions_say_where_they_come_from(space: Workspace) -> None:
    tracking = space.tracking()
    for name in (SCORER, *(f"stagecast-{task}" for task in TASK_NAMES)):
        first = registry.versions(tracking, name)[-1]
        assert re.fullmatch(r"[0-9a-f]{40}(\+changes)?|version .+", first.tags["commit"])
        assert re.fullmatch(r"[0-9a-f]{16}", first.tags["config"])
        assert re.fullmatch(r"[0-9a-f]{16}", first.tags["data"])
        assert re.fullmatch(r"2020-\d\d-\d\d to 202[01]-\d\d-\d\d", first.tags["snapshots"])
        card = first.description
        assert "Limits:" in card
        assert "- data: shop" in card
        assert first.tags["snapshots"].split(" to ")[0] in card
    card = registry.versions(tracking, SCORER)[-1].description
    figures = json.loads((space.training / "training.json").read_text())["figures"]
    (auc,) = (
        row["value"]
        for row in figures
        if (row["model"], row["method"], row["subset"], row["metric"])
        == ("churn", "champion", "all", "auc")
    )
    assert f"| churn | auc | {auc:.4f} |" in card


def logged(tracking: Tracking, parts: Parts, head: dict[str, Any]) -> int:
    with tracking.run("another scorer") as run:
        made = registry.log_version(run, SCORER, parts, head=head, description="", tags={})
    return made.version


def test_rolling_back_restores_every_score(space: Workspace, archive: Archive) -> None:
    tracking, at = space.tracking(), archive.builder.last_snapshot
    loaded = registry.load(tracking)
    stamps = [ScoreStamp(name, dt.datetime(2021, 3, 2, tzinfo=dt.UTC)) for name in "abc"]
    before, _ = score_snapshot(loaded, archive, at, RowFinisher(stamps[0]))
    parts = loaded.scorer.parts
    other = changed(parts["clv"], level_correction=parts["clv"].parameters["level_correction"] + 1)
    version = logged(tracking, {**parts, "clv": other}, loaded.scorer.head)
    registry.set_champion(tracking, SCORER, version, reason="a test")
    between, _ = score_snapshot(registry.load(tracking), archive, at, RowFinisher(stamps[1]))
    assert not between["clv"].equals(before["clv"])
    assert registry.roll_back(tracking).version == loaded.version.version
    after, _ = score_snapshot(registry.load(tracking), archive, at, RowFinisher(stamps[2]))
    own = ["run_id", "scored_at"]
    pd.testing.assert_frame_equal(
        after.drop(columns=own), before.drop(columns=own), check_exact=True
    )


def take_turns(output: str, name: str, version: int, times: int) -> None:
    tracking = Workspace(Path(output)).tracking()
    for _ in range(times):
        registry.set_champion(tracking, name, version, reason=f"turn of {version}")


def test_concurrent_promotions_always_leave_one_champion(
    space: Workspace, archive: Archive
) -> None:
    tracking = space.tracking()
    loaded = registry.load(tracking)
    part = {"churn": loaded.scorer.parts["churn"]}
    made = []
    for _ in range(3):
        with tracking.run("fit") as run:
            made.append(
                registry.log_version(
                    run, "turns", part, head=loaded.scorer.head, description="", tags={}
                ).version
            )
    registry.set_champion(tracking, "turns", made[0], reason="the first")
    context = multiprocessing.get_context("spawn")
    rivals = [
        context.Process(target=take_turns, args=(str(space.output), "turns", version, 6))
        for version in made[1:]
    ]
    for rival in rivals:
        rival.start()
    seen = set()
    while any(rival.is_alive() for rival in rivals):
        now = registry.champion(tracking, "turns")
        assert now is not None
        seen.add(now.version)
    assert [rival.exitcode for rival in rivals] == [0, 0]
    assert seen <= set(made)
    last = registry.champion(tracking, "turns")
    assert last is not None
    assert registry.roll_back(tracking, "turns").version in set(made) - {last.version}


@contextmanager
def without(path: Path) -> Iterator[None]:
    """A file or folder taken away for a while."""
    kept = path.with_name(f"{path.name}.kept")
    os.rename(path, kept)
    try:
        yield
    finally:
        shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        os.rename(kept, path)


@contextmanager
def cut_short(path: Path) -> Iterator[None]:
    with without(path):
        path.write_text(path.with_name(f"{path.name}.kept").read_text()[:200])
        yield


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with sqlite3.connect(path) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.rollback()


@contextmanager
def gone() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        yield


def harm(kind: str, shop: Shop, folder: Path) -> Any:
    choices: dict[str, Callable[[], Any]] = {
        "artifact missing": lambda: without(folder),
        "artifact cut short": lambda: cut_short(next(folder.rglob("clv/part.json"))),
        "database locked": lambda: locked(shop.output / "mlflow.db"),
        "registry gone": gone,
    }
    return choices[kind]()


@pytest.mark.parametrize(
    "kind", ["artifact missing", "artifact cut short", "database locked", "registry gone"]
)
def test_a_registry_in_trouble_is_told(shop: Shop, space: Workspace, kind: str) -> None:
    tracking = space.tracking()
    version = registry.champion(tracking)
    assert version is not None
    folder = registry.artifacts(tracking, SCORER, version.version)
    with harm(kind, shop, folder), pytest.raises(UserError, match="hint:"):
        registry.load(space.tracking())
    assert registry.load(space.tracking()).version.version == version.version


OTHER_TROUBLE = ["artifact missing", "database locked", "registry gone"]


@pytest.mark.parametrize(
    "kind",
    ["artifact cut short", *(pytest.param(k, marks=pytest.mark.services) for k in OTHER_TROUBLE)],
)
def test_scoring_in_trouble_leaves_the_old_scores(shop: Shop, space: Workspace, kind: str) -> None:
    before, tracking = read_current(shop.output), space.tracking()
    version = registry.champion(tracking)
    assert version is not None
    folder = registry.artifacts(tracking, SCORER, version.version)
    with harm(kind, shop, folder):
        done = stagecast("score", "--output", shop.output)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "hint:" in done.stderr
    after = read_current(shop.output)
    assert after.run == before.run
    pd.testing.assert_frame_equal(after.scores, before.scores)
