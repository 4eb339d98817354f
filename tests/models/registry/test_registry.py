from __future__ import annotations

import bz2
import json
import os
import pickle
import shutil
import subprocess
import sys
import textwrap
import zipfile
import zlib
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest

from features.contracts import SCORED_ROW
from features.errors import UserError
from models.registry import logged_code, registry
from models.scorer.part import Part
from models.scorer.predict import predict_scores
from tests.pickle_scan import pickled_files

COLUMNS = ["purchase__count_30d", "cadence__gap_shrunk"]


def make_part(seed: int) -> Part:
    """A small churn part whose trees really split; numbers are drawn, not fitted to anyone."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(400, len(COLUMNS)))
    y = (x[:, 0] + rng.normal(size=400) > 0).astype(float)
    settings = {"objective": "binary", "num_leaves": 5, "num_threads": 1, "verbose": -1}
    booster = lgb.train(settings, lgb.Dataset(x, y), num_boost_round=5)
    linear = {
        "columns": COLUMNS,
        "means": [0.0, 0.0],
        "scales": [1.0, 1.0],
        "coefficients": [0.3, -0.2 - seed],
        "intercept": -0.5,
    }
    parameters = {
        "columns": COLUMNS,
        "linear": linear,
        "weights": {"trees": 0.5, "logistic": 0.5},
        "horizon_days": 60,
        "activity_days": 60,
        "calibration": {"kind": "raw"},
        "bands": {"base": {}, "base_of_all": 0.2, "low": 0.8, "high": 1.5},
    }
    return Part("churn", parameters, {"s1": booster})


FEATURES = [
    "purchase__count_30d",
    "purchase__recency_days",
    "cadence__days",
    "cadence__span_days",
    "cadence__gap_mean",
    "btyd__x",
    "stage__code",
]
HEAD = {
    "stages": ["lapsed", "loyalty"],
    "lapsed_stage": "lapsed",
    "features": [{"name": name, "null": "never bought"} for name in FEATURES],
    "scored_row": {column.name: column.dtype for column in SCORED_ROW},
    "pass_through": [
        {"name": "sub_stage", "dtype": "string"},
        {"name": "stage_since", "dtype": "date"},
        {"name": "preferred_brand", "dtype": "string"},
    ],
    "training_context": {"population_gap_days": 7.0},
    "part_versions": {"churn": 1},
}


def make_frame(rows: int = 20) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(rng.integers(0, 40, (rows, len(FEATURES))).astype(float), columns=FEATURES)
    frame["stage__code"] = rng.integers(0, 2, rows).astype(float)
    frame.loc[frame.index[::5], "cadence__gap_mean"] = np.nan
    frame.insert(0, "customer_id", [f"c{i}" for i in range(rows)])
    frame.insert(1, "snapshot_at", pd.Series(["2024-05-01"] * rows).astype("datetime64[s]"))
    return frame


def expected(seed: int, frame: pd.DataFrame) -> pd.DataFrame:
    parts = {"churn": make_part(seed)}
    return predict_scores(parts, frame, HEAD["training_context"], HEAD)


@pytest.fixture(scope="module")
def two_versions(store):
    made = []
    for seed in (0, 1):
        with store.run(f"fit {seed}") as run:
            made.append(
                registry.log_version(
                    run,
                    "stagecast-churn",
                    {"churn": make_part(seed)},
                    head=HEAD,
                    description=f"# Card {seed}",
                    tags={"config_hash": "abc"},
                    summary=f"Sentence {seed}.",
                )
            )
    return made


def test_the_first_description_of_a_model_stays(store, two_versions):
    assert store.client.get_registered_model("stagecast-churn").description == "Sentence 0."


def test_a_version_carries_card_tags_run_signature_and_example(store, two_versions):
    newest, oldest = registry.versions(store, "stagecast-churn")
    assert [oldest.version, newest.version] == [made.version for made in two_versions] == [1, 2]
    assert newest.description == "# Card 1"
    assert newest.tags["config_hash"] == "abc"
    assert store.client.get_run(newest.run_id).info.status == "FINISHED"
    loaded = registry.load(store, "stagecast-churn", version=2)
    inputs = loaded.model.metadata.signature.inputs
    assert inputs.required_input_names() == ["customer_id", "snapshot_at", *FEATURES]
    assert inputs.optional_input_names() == ["sub_stage", "stage_since", "preferred_brand"]
    example = loaded.model.input_example
    assert list(example["customer_id"]) == ["example-1", "example-2"]
    assert len(loaded.predict(example)) == 2


def test_two_versions_in_one_process_predict_as_at_training(store, two_versions):
    frame = make_frame()
    loaded = [registry.load(store, "stagecast-churn", version=v.version) for v in two_versions]
    for seed, each in enumerate(loaded):
        pd.testing.assert_frame_equal(each.predict(frame), expected(seed, frame))
    assert not np.allclose(*(each.predict(frame)["p_churn"].fillna(0.0) for each in loaded))


def test_the_registry_leaves_the_environment_as_it_was(store, two_versions, monkeypatch):
    for value in (None, "https://tracking.example"):
        if value is None:
            monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        else:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", value)
        registry.load(store, "stagecast-churn", version=1)
        assert os.environ.get("MLFLOW_TRACKING_URI") == value


def test_the_scoring_context_is_a_parameter(store, two_versions):
    loaded = registry.load(store, "stagecast-churn", version=1)
    frame = make_frame()
    other = loaded.predict(frame, {"population_gap_days": 90.0})
    assert not other["p_churn"].equals(loaded.predict(frame)["p_churn"])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda frame: frame.drop(columns="btyd__x"), "btyd__x"),
        (lambda frame: frame.assign(btyd__x="many"), "btyd__x"),
        (lambda frame: frame.assign(snapshot_at="2024-05-01 in text"), "snapshot_at"),
        (lambda frame: frame.assign(customer_id=None), "customer_id"),
    ],
)
def test_a_wrong_frame_is_refused_by_the_column_and_not_shown(store, two_versions, change, told):
    loaded = registry.load(store, "stagecast-churn", version=1)
    with pytest.raises(ValueError, match=told) as caught:
        loaded.predict(change(make_frame()))
    assert "c17" not in str(caught.value)


def test_order_and_further_columns_do_not_matter(store, two_versions):
    loaded = registry.load(store, "stagecast-churn", version=1)
    frame = make_frame()
    other = frame[frame.columns[::-1]].assign(unknown="x")
    pd.testing.assert_frame_equal(loaded.predict(other), loaded.predict(frame))


def test_no_rows_give_no_rows_in_the_same_columns(store, two_versions):
    loaded = registry.load(store, "stagecast-churn", version=1)
    frame = make_frame()
    empty, full = loaded.predict(frame.head(0)), loaded.predict(frame)
    assert len(empty) == 0
    assert empty.dtypes.equals(full.dtypes)


FOREIGN = """
import json, sys, warnings
import models, features
assert models.MINE and features.MINE, "the foreign packages must win"
import mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
frame = pd.read_json(sys.argv[2], orient="split", dtype={"customer_id": "str"})
frame["snapshot_at"] = pd.to_datetime(frame["snapshot_at"])
frame = frame.astype({name: "float64" for name in json.loads(sys.argv[3])})
found = {}
for version in (1, 2):
    model = mlflow.pyfunc.load_model(f"models:/stagecast-churn/{version}")
    found[version] = list(model.predict(frame)["p_churn"].fillna(-1.0))
ours = [m for m in sys.modules if m.split(".")[0] in ("campaigns", "flows", "stagecast")]
print(json.dumps({"found": found, "ours": ours}))
"""


def test_it_loads_beside_foreign_packages_of_the_same_names(store, two_versions, tmp_path):
    for name in ("models", "features"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("MINE = True\n")
    script = tmp_path / "consumer.py"
    script.write_text(textwrap.dedent(FOREIGN))
    frame = make_frame()
    frame.to_json(tmp_path / "frame.json", orient="split", date_format="iso")
    environment = dict(os.environ, PYTHONPATH=str(tmp_path), MLFLOW_DISABLE_TELEMETRY="true")
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # else MLflow compiles every time
    done = subprocess.run(
        [sys.executable, script, store.uri, tmp_path / "frame.json", json.dumps(FEATURES)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["ours"] == []
    for seed in (0, 1):
        ours = expected(seed, frame)["p_churn"].fillna(-1.0)
        np.testing.assert_allclose(told["found"][str(seed + 1)], ours, rtol=1e-12)


def test_no_artifact_holds_a_pickle(store, two_versions):
    folder = registry.artifacts(store, "stagecast-churn", 2)
    names = {path.name for path in folder.rglob("*")}
    assert {"MLmodel", "stagecast_model.py", "scorer.json", "part.json", "s1.txt"} <= names
    assert pickled_files(folder) == []
    text = "".join(
        path.read_text()
        for path in folder.rglob("*")
        if path.suffix in (".txt", ".yaml", "")
        if path.is_file()
    )
    assert "http" not in text.replace("https://lightgbm", "")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("wrap", [bytes, zlib.compress, bz2.compress])
def test_the_scan_finds_pickles_under_any_name(tmp_path, protocol, wrap):
    content = wrap(pickle.dumps({"a": [1, 2], "b": Path("x")}, protocol=protocol))
    (tmp_path / "weights.txt").write_bytes(content)
    assert pickled_files(tmp_path) == [tmp_path / "weights.txt"]


def test_the_scan_looks_into_archives_and_leaves_texts_alone(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.bin", "w") as archive:
        archive.writestr("data", pickle.dumps(object()))
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "b.txt").write_text(".")
    (tmp_path / "c.txt").write_text("")
    assert pickled_files(tmp_path) == [tmp_path / "model.bin"]


def test_champion_moves_and_moves_back(store, two_versions):
    name = "stagecast-churn"
    registry.set_champion(store, name, 1, reason="the first")
    with pytest.raises(UserError, match="none before it"):
        registry.roll_back(store, name)
    registry.set_champion(store, name, 2, reason="better AUC")
    assert registry.champion(store, name).version == 2
    assert registry.champion(store, name).tags["promoted_because"] == "better AUC"
    assert registry.load(store, name).version.version == 2
    assert registry.roll_back(store, name).version == 1
    assert registry.load(store, name).version.version == 1


def test_what_is_not_there_is_the_users_error(store, two_versions):
    assert registry.versions(store, "stagecast-nothing") == []
    assert registry.champion(store, "stagecast-nothing") is None
    with pytest.raises(UserError, match="no such registered model"):
        registry.load(store, "stagecast-nothing")
    with pytest.raises(UserError, match="version 99"):
        registry.load(store, "stagecast-churn", version=99)


def test_damaged_artifacts_are_the_users_error(store):
    with store.run("fit") as run:
        made = registry.log_version(
            run, "damaged", {"churn": make_part(0)}, head=HEAD, description="", tags={}
        )
    folder = registry.artifacts(store, "damaged", made.version)
    (broken,) = folder.rglob("part.json")
    broken.write_text("{")
    with pytest.raises(UserError, match="do not load"):
        registry.load(store, "damaged", version=made.version)


ORDERS = """
import json, sys
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
loaded = {}
for version in json.loads(sys.argv[2]):
    loaded[version] = mlflow.pyfunc.load_model(f"models:/stagecast-codes/{version}")
told = {}
for version, model in loaded.items():
    code = sys.modules[type(model.unwrap_python_model()).__module__.rpartition(".")[0]]
    told[version] = getattr(code, "CHANGED", 0)
    model.predict(model.input_example)
print(json.dumps(told))
"""


@pytest.mark.parametrize("order", [["1", "2"], ["2", "1"]], ids=["old first", "new first"])
def test_two_versions_in_one_process_each_run_their_own_code(store, tmp_path, monkeypatch, order):
    changed = tmp_path / "changed"
    shutil.copytree(logged_code.PACKAGE, changed)
    with (changed / "__init__.py").open("a") as file:
        file.write("\nCHANGED = 1\n")
    for package in (logged_code.PACKAGE, changed):
        if len(registry.versions(store, "stagecast-codes")) == 2:
            break
        monkeypatch.setattr(logged_code, "PACKAGE", package)
        with store.run("fit") as run:
            registry.log_version(
                run, "stagecast-codes", {"churn": make_part(0)}, head=HEAD, description="", tags={}
            )
    done = subprocess.run(
        [sys.executable, "-c", ORDERS, store.uri, json.dumps(order)],
        cwd=tmp_path,
        env=dict(os.environ, MLFLOW_DISABLE_TELEMETRY="true"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"1": 0, "2": 1}
