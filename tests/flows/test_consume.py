"""The examples for consumers, each run as it stands, against the made-up shop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from features.storage.scores_store import read_current
from flows.workspace import Workspace
from models.registry import registry
from models.serving.score import scoring_context, scoring_frame
from tests.flows.shop import Shop
from tests.local_servers import local_server

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name: str, *arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run an example elsewhere, so that nothing of stagecast is on its path by chance."""
    return subprocess.run(
        [sys.executable, "-P", EXAMPLES / name, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_sql_on_the_scores(shop: Shop) -> None:
    query = (EXAMPLES / "scores.sql").read_text(encoding="utf-8")
    with duckdb.connect(str(shop.output / "stagecast.duckdb"), read_only=True) as store:
        rows = store.sql(query).df()
    scores = read_current(shop.output).scores.set_index("customer_id")
    assert len(rows) > 0
    chosen = scores.loc[rows["customer_id"]]
    assert set(chosen["value_tier"]) == {"top"}
    assert (chosen["p_churn"] * chosen["clv"]).is_monotonic_decreasing


def test_a_template_from_a_scored_row(shop: Shop, tmp_path: Path) -> None:
    scores = read_current(shop.output).scores
    lapsed = scores[(scores["stage"] == "lapsed") & scores["preferred_brand"].notna()].iloc[0]
    store = shop.output / "stagecast.duckdb"
    done = example("newsletter.py", store, lapsed["customer_id"], folder=tmp_path)
    assert "<p>It has been a while.</p>" in done.stdout
    assert f"New from {lapsed['preferred_brand']}" in done.stdout
    nobody = example("newsletter.py", store, "nobody' OR 1=1", folder=tmp_path)
    assert (nobody.returncode, nobody.stdout) == (1, "")


def test_by_alias_in_python(shop: Shop, tmp_path: Path) -> None:
    space = Workspace(shop.output)
    archive = space.archive()
    frame = scoring_frame(archive, archive.builder.last_snapshot)
    context = scoring_context(registry.load(space.tracking()), frame)
    frame.to_parquet(tmp_path / "features.parquet")
    (tmp_path / "context.json").write_text(json.dumps(context))
    uri = f"sqlite:///{shop.output / 'mlflow.db'}"
    done = example("load_by_alias.py", uri, "features.parquet", "context.json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "out.csv").write_text(done.stdout)
    found = pd.read_csv(tmp_path / "out.csv", float_precision="round_trip")
    wanted = registry.load(space.tracking()).predict(frame, context)
    np.testing.assert_allclose(found["clv"], wanted["clv"], rtol=1e-12)
    np.testing.assert_allclose(found["p_churn"], wanted["p_churn"], rtol=1e-12)


def test_a_new_champion_is_noticed(shop: Shop, tmp_path: Path) -> None:
    tracking = Workspace(shop.output).tracking()
    now = registry.champion(tracking)
    assert now is not None
    done = example("watch_champion.py", tracking.uri, 0.01, 3, folder=tmp_path)
    assert done.stdout.splitlines() == [f"version {now.version}: {now.tags['promoted_because']}"]


@pytest.fixture(scope="module")
def served(shop: Shop) -> Iterator[str]:
    """Address of `mlflow models serve` on the champion."""
    command = ("mlflow", "models", "serve", "-m", "models:/stagecast-scorer@champion")
    uri = f"sqlite:///{shop.output / 'mlflow.db'}"
    env = {"MLFLOW_TRACKING_URI": uri, "MLFLOW_DISABLE_TELEMETRY": "true"}
    with local_server(*command, "--env-manager", "local", health="/ping", env=env) as server:
        yield server.address


@pytest.mark.services
def test_by_rest(shop: Shop, served: str, tmp_path: Path) -> None:
    space = Workspace(shop.output)
    archive = space.archive()
    frame = scoring_frame(archive, archive.builder.last_snapshot).head(3)
    wanted = registry.load(space.tracking()).predict(frame)
    (tmp_path / "rows.json").write_text(frame.to_json(orient="records", date_format="iso"))
    done = example("score_by_rest.py", served, "rows.json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    for line, (_, row) in zip(done.stdout.splitlines(), wanted.iterrows(), strict=True):
        customer, stage, _, clv = line.split()
        assert (customer, stage) == (row["customer_id"], row["stage"])
        assert float(clv) == pytest.approx(row["clv"], rel=1e-12)
    broken = urllib.request.Request(
        f"{served}/invocations",
        data=json.dumps(
            {"dataframe_split": {"columns": ["customer_id"], "data": [["c1"]]}}
        ).encode(),
        headers={"Content-Type": "application/json"},
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(broken, timeout=60)
    assert caught.value.code == 400
    assert b"snapshot_at" in caught.value.read()
