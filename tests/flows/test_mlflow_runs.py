"""What a data scientist sees in MLflow after a run, read back through MLflow's own client."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from mlflow.entities import Run as MlflowRun

from features.storage.scores_store import read_current
from features.table.prediction_targets import TASK_NAMES
from flows.services.workspace import Workspace
from models.registry.registry import SCORER
from models.registry.tracking import Tracking
from tests.flows.shop import Shop


@pytest.fixture
def tracking(shop: Shop) -> Tracking:
    return Workspace(shop.output).tracking()


@pytest.fixture
def parent(tracking: Tracking) -> MlflowRun:
    runs = tracking.client.search_runs([tracking.experiment_id])
    (training,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    return training


@pytest.fixture
def task_runs(tracking: Tracking, parent: MlflowRun) -> dict[str, MlflowRun]:
    under = f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    runs = tracking.client.search_runs([tracking.experiment_id], under)
    return {run.data.tags["task"]: run for run in runs}


def _trained(shop: Shop) -> list[dict[str, object]]:
    content = json.loads((shop.output / "training" / "training.json").read_text(encoding="utf-8"))
    return list(content["figures"])


def _paths(tracking: Tracking, run: MlflowRun, folder: str) -> set[str]:
    return {file.path for file in tracking.client.list_artifacts(run.info.run_id, folder)}


def test_the_training_shows_headlines_beside_the_best_baseline(
    shop: Shop, parent: MlflowRun
) -> None:
    last = read_current(shop.output).run.snapshot_at
    assert parent.info.run_name == f"train shop {last}"
    figures = _trained(shop)
    for task, metric in (("churn", "auc"), ("clv", "rmse"), ("stage", "log_loss")):
        of_task = {
            figure["method"]: figure["value"]
            for figure in figures
            if (figure["model"], figure["subset"], figure["metric"]) == (task, "all", metric)
        }
        best = parent.data.params[f"{task}.best_baseline"]
        assert parent.data.metrics[f"{task}/served/{metric}"] == pytest.approx(of_task["champion"])
        assert parent.data.metrics[f"{task}/best_baseline/{metric}"] == pytest.approx(of_task[best])


def test_the_training_names_the_parameters_of_every_recipe(
    parent: MlflowRun, task_runs: dict[str, MlflowRun]
) -> None:
    assert set(task_runs) == set(TASK_NAMES)
    assert parent.data.params["churn.horizon_days"] == "45"
    assert parent.data.params["stages.params.L"] == "60"
    for task, run in task_runs.items():
        assert run.data.params["recipe"] == run.data.tags["recipe"]
        for name, value in run.data.params.items():
            assert parent.data.params[f"{task}.{name}"] == value


def test_metrics_are_grouped_by_task_and_method_and_none_is_called_champion(
    shop: Shop, task_runs: dict[str, MlflowRun]
) -> None:
    for task, run in task_runs.items():
        names = set(run.data.metrics)
        assert all(name.split("/")[0] in (task, "lead") and name.count("/") >= 2 for name in names)
        assert not any("champion" in name for name in names)
    stage = task_runs["stage"]
    (value,) = (
        figure["value"]
        for figure in _trained(shop)
        if [figure[key] for key in ("model", "method", "subset", "metric")]
        == ["stage", "champion", "movers", "brier"]
    )
    name = f"stage/{stage.data.tags['recipe']}/movers/brier"
    assert stage.data.metrics[name] == pytest.approx(value)


def test_runs_say_what_they_are_and_what_was_decided(
    parent: MlflowRun, task_runs: dict[str, MlflowRun]
) -> None:
    assert parent.data.tags["mlflow.note.content"].startswith("# stagecast scorer")
    assert parent.data.tags["promotion"] == "promoted"
    for run in (parent, *task_runs.values()):
        assert (run.data.tags["kind"], run.data.tags["dataset"]) == ("train", "shop")
        assert run.data.tags["mlflow.source.name"] == "stagecast train"
    assert task_runs["churn"].data.tags["mlflow.note.content"].startswith("# stagecast churn")


def test_data_sets_are_digests_with_columns_and_counts(
    shop: Shop, tracking: Tracking, parent: MlflowRun, task_runs: dict[str, MlflowRun]
) -> None:
    customers = set(read_current(shop.output).scores["customer_id"])
    for task, run in task_runs.items():
        inputs = {each.tags[0].value: each.dataset for each in run.inputs.dataset_inputs}
        assert set(inputs) == {"training", "evaluation"}
        learned = inputs["training"]
        assert learned.name == f"shop {task}"
        assert len({each.digest for each in inputs.values()}) == 2
        assert json.loads(learned.profile)["num_rows"] == int(run.data.params["train_rows"])
        columns = json.loads(learned.schema)["mlflow_colspec"]
        assert len(columns) == int(run.data.params["features"])
        described = f"{learned.source} {learned.schema} {learned.profile}"
        assert str(shop.output.parent) not in described
        assert not any(f'"{customer}"' in described for customer in customers)
        (logged,) = run.outputs.model_outputs
        model = tracking.client.get_logged_model(logged.model_id)
        tested_on = {metric.dataset_digest for metric in model.metrics or ()}
        assert tested_on == {inputs["evaluation"].digest}
    assert len(parent.inputs.dataset_inputs) == 2 * len(TASK_NAMES)


def test_models_and_versions_are_described(tracking: Tracking) -> None:
    for name in (SCORER, *(f"stagecast-{task}" for task in TASK_NAMES)):
        assert tracking.client.get_registered_model(name).description.startswith("Predicts ")
        assert tracking.client.get_model_version(name, "1").description.startswith("# stagecast")


def test_artifacts_hold_figures_and_aggregates_and_no_customer(
    shop: Shop, tracking: Tracking, parent: MlflowRun, task_runs: dict[str, MlflowRun]
) -> None:
    assert "figures/churn_gains.png" in _paths(tracking, task_runs["churn"], "figures")
    tables = _paths(tracking, task_runs["clv"], "tables")
    assert tables >= {"tables/figures.csv", "tables/figures.json", "tables/clv_deciles.csv"}
    run = read_current(shop.output)
    logged = tracking.client.download_artifacts(
        parent.info.run_id, f"runs/{run.run.run_id}/summary.md"
    )
    text = Path(logged).read_text(encoding="utf-8")
    assert text.startswith("# shop: customers at")
    assert "report.html" not in text
    rows = [line.split(" | ") for line in text.partition("## Value")[2].splitlines()]
    counts = pd.to_numeric(
        pd.Series([row[1].replace(",", "") for row in rows if len(row) == 5]), errors="coerce"
    ).dropna()
    assert len(counts)
    assert (counts >= 10).all()
