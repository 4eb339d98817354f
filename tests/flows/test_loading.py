"""The scorer in an environment with only what it asks for, beside foreign packages of our names."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flows.services.workspace import Workspace
from models.registry import registry
from models.registry.registry import SCORER
from models.serving.score import scoring_frame, snapshot_context
from tests.flows.shop import Shop

pytestmark = pytest.mark.services
ROOT = Path(__file__).parents[2]

CONSUMER = """
import importlib.metadata, json, sys
import models, features
assert models.MINE and features.MINE, "the foreign packages must win"
import mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
frame = pd.read_json(sys.argv[2], orient="split", dtype={"customer_id": "str"})
found = {}
uri = "models:/stagecast-scorer/{}"
loaded = {v: mlflow.pyfunc.load_model(uri.format(v)) for v in json.loads(sys.argv[5])}
for version, model in loaded.items():
    signature = {c.name: c.type.name for c in model.metadata.signature.inputs}
    for name in frame.columns:
        if signature.get(name) == "double":
            frame[name] = frame[name].astype("float64")
        if signature.get(name) == "string":  # JSON says nothing of the type of empty columns
            frame[name] = frame[name].astype(object).where(frame[name].notna(), None)
        if signature.get(name) == "datetime":
            frame[name] = pd.to_datetime(frame[name])
    known = [name for name in frame.columns if name in signature]
    rows = model.predict(frame[known], params={"scoring_context": sys.argv[3]})
    found[version] = {name: list(rows[name].fillna(-1.0)) for name in json.loads(sys.argv[4])}
    found[version]["next_stage_probabilities"] = list(rows["next_stage_probabilities"])
installed = {d.metadata["Name"].lower() for d in importlib.metadata.distributions()}
ours = {m.split(".")[0] for m in sys.modules} & {"campaigns", "flows", "stagecast"}
print(json.dumps({"found": found, "installed": sorted(installed), "ours": sorted(ours)}))
"""
NUMBERS = ["p_churn", "clv", "clv_low", "clv_high", "p_move", "stage_confidence", "expected_orders"]


def bare(requirements: Path, folder: Path) -> Path:
    """Python of an environment with what the registered model itself asks for, and no more."""
    uv = os.environ.get("UV") or shutil.which("uv")
    assert uv is not None, "uv makes the environment: run the tests by `uv run pytest`"
    python = folder / "env" / "bin" / "python"
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, folder / "env"],
        [uv, "pip", "install", "--quiet", "--python", python, "-r", requirements],
    ):
        # From the project's folder, whose pins then hold for what the four packages need.
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return python


def test_it_loads_where_nobody_has_heard_of_this_project(shop: Shop, tmp_path: Path) -> None:
    space = Workspace(shop.output)
    tracking, archive = space.tracking(), space.archive()
    loaded = registry.load(tracking)
    frame = scoring_frame(archive, archive.builder.last_snapshot)
    context = snapshot_context(loaded, frame)
    clv = loaded.scorer.parts["clv"]
    wider = {
        group: {**ends, "low": np.multiply(ends["low"], 2).tolist(),
                "high": np.multiply(ends["high"], 2).tolist()}
        for group, ends in clv.parameters["interval"].items()
    }  # fmt: skip
    other = replace(clv, parameters={**clv.parameters, "interval": wider})
    with tracking.run("another scorer") as run:
        parts, head = {**loaded.scorer.parts, "clv": other}, loaded.scorer.head
        made = registry.log_version(run, SCORER, parts, head=head, description="", tags={})
    versions = [loaded.version.version, made.version]
    for name in ("models", "features"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("MINE = True\n")
    frame.to_json(tmp_path / "frame.json", orient="split", date_format="iso", double_precision=15)
    (tmp_path / "consumer.py").write_text(CONSUMER)
    python = bare(loaded.folder / "requirements.txt", tmp_path)
    arguments = [tracking.uri, "frame.json", json.dumps(context), json.dumps(NUMBERS)]
    done = subprocess.run(
        [python, "consumer.py", *arguments, json.dumps(versions)],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(tmp_path),
            "MLFLOW_DISABLE_TELEMETRY": "true",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["ours"] == []
    assert {"mlflow", "lightgbm", "numpy", "pandas"} <= set(told["installed"])
    assert not {"stagecast", "prefect", "duckdb", "ibis-framework"} & set(told["installed"])
    for version in versions:
        wanted = registry.load(tracking, version=version).predict(frame, context)
        found = told["found"][str(version)]
        assert found["next_stage_probabilities"] == list(wanted["next_stage_probabilities"])
        for name in NUMBERS:
            ours = wanted[name].fillna(-1.0)
            np.testing.assert_allclose(found[name], ours, rtol=1e-9, err_msg=name)
    first, second = (told["found"][str(version)]["clv_high"] for version in versions)
    assert not np.allclose(first, second)
