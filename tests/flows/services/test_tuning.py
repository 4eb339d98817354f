"""Trials in MLflow: each a nested run, the gain told on inner validation and at the gate."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from flows.services.tuning import gate_gain, log_tuning
from models.evaluation.evaluate import Evaluation, LabelledTestSet, MetricFigure
from models.evaluation.fit_and_test import Trained
from models.fitting.training_set import TrainingSummary
from models.registry import tracking
from models.scorer.part import Part
from models.tasks.tuning import TuningResult, TuningTrial


def figure(value: float, *, subset: str = "all", method: str = "champion") -> MetricFigure:
    return MetricFigure("stage", method, "2024-05-01", 28, subset, "log_loss", value, 100)


def trained(tuned: TuningResult | None) -> Trained:
    part, frame = Part("stage", {}), pd.DataFrame()
    day = pd.Timestamp("2024-04-01")
    figures = [figure(0.9, method="table"), figure(0.7, subset="movers"), figure(0.5)]
    result = Evaluation(LabelledTestSet("stage", 0, frame, frame, None), figures, {})
    plain = (figure(0.53),) if tuned and tuned.settings else ()
    return Trained(
        part, part, result, TrainingSummary(1, 1, day, day, 0), tuned=tuned, recipe=plain
    )


FOUND = TuningResult(
    {"num_leaves": 9},
    0.6,
    0.55,
    (
        TuningTrial(0, {"num_leaves": 5}, 0.6),
        TuningTrial(1, {"num_leaves": 9}, 0.55),
        TuningTrial(2, {}, None),
    ),
)


def test_every_trial_is_a_run_under_the_tasks_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    store = tracking.open_tracking(tmp_path, experiment="tuned")
    with store.run("stage") as run:
        log_tuning(store, run, "stage", trained(FOUND))
    found = store.client.search_runs(
        [store.experiment_id], f"tags.`mlflow.parentRunId` = '{run.run_id}'"
    )
    by_name = {each.info.run_name: each.data for each in found}
    assert sorted(by_name) == ["stage trial 0", "stage trial 1", "stage trial 2"]
    assert by_name["stage trial 1"].params == {"num_leaves": "9"}
    assert by_name["stage trial 1"].metrics == {"log_loss": 0.55}
    assert by_name["stage trial 2"].metrics == {}
    assert by_name["stage trial 2"].tags["pruned"] == "True"
    own = store.client.get_run(run.run_id).data
    assert own.metrics["tuning.pruned"] == 1.0
    assert own.metrics["tuning.validation_gain"] == pytest.approx(0.05)
    assert own.metrics["tuning.gate_gain"] == pytest.approx(0.03)
    assert own.params["tuned.num_leaves"] == "9"


def test_nothing_tuned_has_no_gain_at_the_gate() -> None:
    assert gate_gain(trained(None)) is None
    assert gate_gain(trained(FOUND)) == pytest.approx(0.03)
