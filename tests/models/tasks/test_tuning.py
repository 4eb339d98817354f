"""Tuning: within its budget, on inner validation only, with the recipe as its first trial."""

from __future__ import annotations

import sys

import pandas as pd
import pytest

from features.config.tasks import Tune
from features.errors import UserError
from models.fitting.multiclass_trees import MULTICLASS_SETTINGS
from models.fitting.training_set import TrainingSet
from models.tasks.all_tasks import TASKS
from models.tasks.tuning import ReportLoss, TuningProblem, TuningResult, tune
from tests.lifecycle_frames import STAGES, contexts, life, split

pytest.importorskip("optuna", reason="the extra `tune` is not installed")
BUDGET = Tune(trials=5, minutes=5)


def data(task: str) -> TrainingSet:
    train, test = split(life(400, snapshots=4))
    if task == "churn":
        train = train.assign(no_purchase=(train["truth_code"] == 0).astype(float))
        train["btyd__x"] = 1.0
    return TrainingSet(task, 0, train, contexts(train), test, test)  # type: ignore[arg-type]


def problem(task: str) -> TuningProblem:
    found = TASKS[task].tuning_problem(data(task), STAGES, seed=1, threads=1)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def stage() -> TuningResult:
    return tune(problem("stage"), BUDGET, seed=1)


def test_the_recipe_comes_first_and_the_best_is_kept(stage: TuningResult) -> None:
    assert len(stage.trials) == BUDGET.trials
    first = stage.trials[0]
    assert {name: first.settings[name] for name in first.settings} == {
        name: MULTICLASS_SETTINGS[name] for name in first.settings
    }
    assert stage.recipe_loss == first.loss
    losses = [trial.loss for trial in stage.trials if trial.loss is not None]
    assert stage.best_loss == min(losses)
    best = next(t for t in stage.trials if t.loss == stage.best_loss)
    assert stage.settings == ({} if best.number == 0 else best.settings)


def test_the_same_seed_tries_the_same(stage: TuningResult) -> None:
    again = tune(problem("stage"), BUDGET, seed=1)
    assert again == stage


@pytest.mark.parametrize("task", ["churn", "transition"])
def test_other_tasks_are_tuned_as_well(task: str) -> None:
    found = tune(problem(task), Tune(trials=2, minutes=5), seed=1)
    assert found.recipe_loss == found.trials[0].loss
    assert found.best_loss <= found.recipe_loss


def test_bad_trials_are_pruned_and_time_ends_the_search() -> None:
    seen: list[int] = []

    def objective(settings: object, report: ReportLoss) -> float:
        number = len(seen)
        seen.append(number)
        loss = 1.0 if number < 5 else 9.0
        for step in range(3):
            report(loss, step)
        return loss

    noisy = TuningProblem(objective, {"x": 0.5}, {"x": (0.0, 1.0, "float")})
    found = tune(noisy, Tune(trials=8, minutes=5), seed=1)
    assert [trial.loss for trial in found.trials] == [1.0] * 5 + [None] * 3
    assert found.settings == {}  # none is better than the recipe
    soon = Tune(trials=10_000, minutes=1e-4)
    found = tune(noisy, soon, seed=1)
    assert len(found.trials) < 10_000


def test_without_optuna_the_hint_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r"stagecast\[tune\]"):
        tune(TuningProblem(lambda *_: 0.0, {}, {}), BUDGET, seed=1)


def test_too_little_to_learn_from_is_not_tuned() -> None:
    few = data("stage")
    frame: pd.DataFrame = few.frame[few.frame["customer_id"].isin(["c1", "c2", "c3"])]
    small = TrainingSet("stage", 0, frame, few.contexts, few.at_origin, few.purchase_counts)
    assert TASKS["stage"].tuning_problem(small, STAGES, seed=1, threads=1) is None
