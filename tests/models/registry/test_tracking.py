from __future__ import annotations

import multiprocessing
import sqlite3

import mlflow
import pandas as pd
import pytest
from matplotlib.figure import Figure

from features.errors import UserError
from models.registry import tracking


def test_what_is_logged_can_be_read_back(store):
    with store.run("fit", tags={"task": "churn"}) as run:
        run.params({"learning_rate": 0.03, "columns": ["a"] * 9000})
        run.metrics({"auc": 0.87, "brier": float("nan"), "lift": float("inf")})
        run.text("# Card", "card.md")
        run.mapping({"horizon_days": 60}, "config.json")
        run.table(pd.DataFrame({"decile": [1, 2]}), "gains")
        run.figure(Figure(), "gains")
    read = store.client.get_run(run.run_id)
    assert read.info.status == "FINISHED"
    assert read.data.metrics == {"auc": 0.87}
    assert read.data.params["learning_rate"] == "0.03"
    assert len(read.data.params["columns"]) == 6000
    assert read.data.tags["task"] == "churn"
    paths = {file.path for file in store.client.list_artifacts(run.run_id)}
    assert paths == {"card.md", "config.json", "tables", "figures"}


def test_more_figures_than_one_batch_holds(store):
    with store.run("many") as run:
        run.metrics({f"m{i}": i for i in range(1001)})
        run.params({f"p{i}": i for i in range(201)})
    read = store.client.get_run(run.run_id).data
    assert len(read.metrics) == 1001
    assert len(read.params) == 201


def test_a_run_nests_under_its_parent(store):
    with store.run("outer") as outer, store.run("inner", parent=outer) as inner:
        pass
    assert store.client.get_run(inner.run_id).data.tags["mlflow.parentRunId"] == outer.run_id


def _fail(store, error):
    with store.run("failing") as run:
        _fail.run_id = run.run_id
        raise error


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")]
)
def test_a_run_that_ends_badly_says_so(store, error, status):
    with pytest.raises(error):
        _fail(store, error)
    assert store.client.get_run(_fail.run_id).info.status == status


def test_tracking_leaves_mlflow_globals_alone(store):
    before = mlflow.get_tracking_uri()
    with store.run("quiet"):
        assert mlflow.active_run() is None
    assert mlflow.get_tracking_uri() == before


def test_the_environment_names_the_store(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://tracking.example")
    assert tracking.tracking_uri(tmp_path) == "https://tracking.example"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    assert tracking.tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"


def test_a_store_that_is_no_database_is_the_users_error(monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mlflow.db").write_text("not a database " * 100)
    with pytest.raises(UserError, match="does not open"):
        tracking.start(tmp_path)


def _start(folder):
    return tracking.start(folder).experiment_id


def test_processes_that_start_together_make_one_sound_database(monkeypatch, tmp_path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)  # else MLflow compiles every time
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        ids = pool.map(_start, [tmp_path, tmp_path])
    assert ids[0] == ids[1]
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)
        names = database.execute("select name from experiments").fetchall()
    assert names.count(("stagecast",)) == 1
