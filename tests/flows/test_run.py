"""The main job on a made-up shop, run as a user runs it."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from features.contracts import SCORED_ROW
from features.storage.scores_store import read_current
from features.table.feature_store import open_archive
from features.table.prediction_targets import TASK_NAMES
from flows.services.workspace import Workspace
from models.registry import registry
from models.registry.registry import CHAMPION, SCORER
from models.serving.score import scoring_frame, snapshot_context
from tests.flows.shop import Shop, stagecast
from tests.pickle_scan import pickled_files

VOLATILE = ["run_id", "scored_at", "scorer_version"]


def test_everyone_is_scored_and_probabilities_sum_to_one(shop: Shop) -> None:
    scores = read_current(shop.output).scores
    customers = pd.read_csv(shop.config.parent / "orders.csv")["customer"].nunique()
    assert len(scores) == customers == scores["customer_id"].nunique()
    assert set(c.name for c in SCORED_ROW) <= set(scores.columns)
    for column in ("stage_probabilities", "next_stage_probabilities"):
        totals = scores[column].map(lambda text: sum(json.loads(text).values()))
        assert np.allclose(totals, 1.0, atol=1e-9)
    assert scores["p_churn"].dropna().between(0, 1).all()
    assert (scores["p_churn"].isna() == ~scores["churn_eligible"].astype(bool)).all()
    assert (scores["clv_low"] <= scores["clv"]).all()
    assert (scores["clv"] <= scores["clv_high"]).all()


def test_the_store_holds_scores_audiences_and_runs(shop: Shop) -> None:
    with duckdb.connect(str(shop.output / "stagecast.duckdb"), read_only=True) as store:
        count = store.sql("select count(*), count(distinct customer_id) from customer_scores")
        n, distinct = count.fetchone() or (0, 0)
        assert n == distinct > 0
        arms = store.sql("select distinct arm from audience_members").fetchall()
        assert {arm for (arm,) in arms} <= {"treatment", "control"}
        assert store.sql("select count(*) from runs where is_current").fetchone() == (1,)


def test_the_summary_says_how_sure_the_totals_are(shop: Shop) -> None:
    folder = shop.output / "runs" / read_current(shop.output).run.run_id
    errors = json.loads((folder / "run.json").read_text(encoding="utf-8"))["total_errors"]
    assert set(errors) == {"level", "origins", "dispersion", "group"}
    summary = (folder / "summary.md").read_text(encoding="utf-8")
    value = summary.partition("## Value")[2].partition("\n## ")[0]
    (whole,) = (line for line in value.splitlines() if line.startswith("| all |"))
    assert re.search(r"\| [\d,]+ to [\d,]+ \|", whole)
    for group in ("stage: loyalty", "value tier: top", "campaign: "):
        assert f"| {group}" in value
    assert "in 4 of 5 cases" in value


def test_the_run_folder_holds_what_the_readme_promises(shop: Shop) -> None:
    folder = shop.output / "runs" / read_current(shop.output).run.run_id
    assert (folder / "summary.md").read_text(encoding="utf-8").startswith("# shop: customers at")
    assert list((folder / "scores").glob("*.parquet"))
    assert {p.stem for p in (folder / "audiences").glob("*.csv")} >= {
        "win_back",
        "save_valuable_customers",
    }
    plots = {p.stem for p in (folder / "report").glob("*.png")}
    assert plots >= {"churn_reliability", "churn_gains", "clv_deciles", "stage_confusion"}
    assert plots >= {"transition_matrix", "stage_flow"}
    trained = json.loads((shop.output / "training" / "training.json").read_text(encoding="utf-8"))
    assert trained["leaks"] == []
    manifest = json.loads((folder / "audiences" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["plan_only"] is True
    assert set(manifest["model_versions"]) == {"stage", "transition", "churn", "clv"}
    assert "next:" in shop.printed


def test_batches_of_one_seven_and_all_score_alike(shop: Shop) -> None:
    space = Workspace(shop.output)
    archive = open_archive(shop.output, space.config())
    loaded = registry.load(space.tracking())
    frame = scoring_frame(archive, archive.builder.last_snapshot).head(21)
    context = snapshot_context(loaded, scoring_frame(archive, archive.builder.last_snapshot))
    whole = loaded.predict(frame, context)
    for size in (1, 7):
        parts = [
            loaded.predict(frame.iloc[i : i + size], context) for i in range(0, len(frame), size)
        ]
        pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), whole, check_exact=True)


def test_scoring_alone_gives_the_same_rows_and_doubles_none(shop: Shop) -> None:
    before = read_current(shop.output)
    done = stagecast("score", "--output", shop.output)
    assert done.returncode == 0, done.stderr
    after = read_current(shop.output)
    assert after.run.run_id != before.run.run_id
    pd.testing.assert_frame_equal(
        after.scores.drop(columns=VOLATILE), before.scores.drop(columns=VOLATILE)
    )
    ours = ["campaign_id", "customer_id", "arm"]
    pd.testing.assert_frame_equal(
        after.audience[ours].sort_values(ours, ignore_index=True),
        before.audience[ours].sort_values(ours, ignore_index=True),
    )
    with duckdb.connect(str(shop.output / "stagecast.duckdb"), read_only=True) as store:
        history = store.sql(
            "select count(*), count(distinct (customer_id, snapshot_at)) "
            "from customer_scores_history"
        )
        n, distinct = history.fetchone() or (0, 1)
        assert n == distinct == len(after.scores)


@pytest.mark.slow
def test_a_kill_during_scoring_leaves_the_old_result(shop: Shop) -> None:
    before = read_current(shop.output)
    folders = set((shop.output / "runs").iterdir())
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.commands.cli", "score", "--output", str(shop.output)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 240
    while set((shop.output / "runs").iterdir()) <= folders:  # until the new run has begun to write
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    after = read_current(shop.output)
    assert after.run == before.run
    pd.testing.assert_frame_equal(after.scores, before.scores)
    done = stagecast("target", "--output", shop.output)
    assert done.returncode == 0, done.stderr


def test_the_same_run_again_gives_the_same_scores(shop: Shop) -> None:
    before = read_current(shop.output)
    done = stagecast("run", "--config", shop.config, "--output", shop.output)
    assert done.returncode == 0, done.stderr
    after = read_current(shop.output)
    pd.testing.assert_frame_equal(
        after.scores.drop(columns=VOLATILE), before.scores.drop(columns=VOLATILE)
    )
    tracking = Workspace(shop.output).tracking()
    newest = registry.versions(tracking, SCORER)[0]
    assert CHAMPION in newest.aliases
    assert "not worse" in newest.tags["promoted_because"]


def test_no_pickle_in_any_artifact(shop: Shop) -> None:
    assert pickled_files(shop.output / "mlartifacts") == []


def test_the_summary_date_is_the_day_after_the_data(shop: Shop) -> None:
    last = pd.read_csv(shop.config.parent / "orders.csv")["at"].max()
    local = pd.Timestamp(last, tz="UTC").tz_convert("America/Chicago").date()
    assert read_current(shop.output).run.snapshot_at == local + dt.timedelta(days=1)


def test_backtest_writes_one_record_a_figure(shop: Shop, tmp_path: Path) -> None:
    declared = (
        "backtest.slices={north: {column: stage}, big: {column: purchase__sum_all, below: 200}}"
    )
    done = stagecast("backtest", "--config", shop.config, "--output", tmp_path, "--set", declared)
    assert done.returncode == 0, done.stderr
    records = json.loads((tmp_path / "backtest.json").read_text(encoding="utf-8"))
    keys = {"model", "method", "snapshot_at", "horizon_days", "subset", "metric", "value", "n"}
    keys |= {"low", "high", "difference", "difference_low", "difference_high"}
    assert all(set(record) == keys for record in records)
    assert {record["model"] for record in records} == {"stage", "transition", "churn", "clv"}
    assert {"champion"} < {record["method"] for record in records}
    assert {r["subset"] for r in records} >= {"all", "rule_active", "movers", "big"}
    assert any(r["subset"].startswith("north=") for r in records)
    for r in records:
        if r["low"] is not None and r["subset"] == "all":
            assert r["low"] - 1e-9 <= r["value"] <= r["high"] + 1e-9, r
    one, base = (
        next(r for r in records if (r["model"], r["method"], r["metric"], r["subset"]) == key)
        for key in [("churn", m, "auc", "all") for m in ("champion", "rfm")]
    )
    assert base["difference"] == pytest.approx(one["value"] - base["value"])
    assert base["difference_low"] <= base["difference"] <= base["difference_high"]
    assert one["difference"] is None
    assert (tmp_path / "backtest" / "summary.md").read_text().startswith("# shop: back-test")
    plots = {path.stem for path in (tmp_path / "backtest" / "figures").glob("*.png")}
    assert plots == {"base_rates", *(f"{task}_over_origins" for task in TASK_NAMES)}
    tracking = Workspace(tmp_path).tracking()
    runs = tracking.client.search_runs([tracking.experiment_id])
    (parent,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    assert parent.data.tags["kind"] == "backtest"
    nested = [r for r in runs if r.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert [run.info.run_name for run in nested] == ["2020-11-01"]
    assert nested[0].data.metrics["churn/served/auc"] == pytest.approx(one["value"])
    assert nested[0].data.metrics["churn/served/auc.low"] == pytest.approx(one["low"])
    assert parent.data.metrics["mean/churn/rfm/auc"] == pytest.approx(base["value"])


def test_metrics_of_a_run_take_its_published_scores(shop: Shop, tmp_path: Path) -> None:
    file, table = tmp_path / "m.json", tmp_path / "m.csv"
    done = stagecast(
        "metrics", "--output", shop.output, "--every", "30", "--json", file, "--csv", table
    )
    assert done.returncode == 0, done.stderr
    rows = pd.DataFrame(json.loads(file.read_text())["metrics"])
    last = rows[rows["period_start"] == rows["period_start"].max()]
    everyone = last[last["stage"].isna()].set_index("key")
    scores = read_current(shop.output).scores
    assert everyone.loc["predicted_clv", "value"] == pytest.approx(scores["clv"].mean())
    assert everyone.loc["predicted_clv", "n"] == len(scores)
    assert everyone.loc["retention_rate", "value"] + everyone.loc[
        "churn_rate", "value"
    ] == pytest.approx(1)
    assert everyone.loc["bounce_rate", "note"].startswith("missing: needs touch events")
    assert "bounce rate: missing: needs touch events" in done.stdout
    assert len(pd.read_csv(table)) == len(rows)


@pytest.mark.slow
def test_new_rules_are_told_apart_from_what_customers_did(shop: Shop, tmp_path: Path) -> None:
    own = tmp_path / "out"
    shutil.copytree(shop.output, own)
    before = read_current(own).scores.set_index("customer_id")
    done = stagecast("features", "--output", own, "--set", "stages.params.k=3")
    assert done.returncode == 0, done.stderr
    for _ in range(2):  # scoring again tells the same
        done = stagecast("score", "--output", own)
        assert done.returncode == 0, done.stderr
        after = read_current(own).scores.set_index("customer_id")
        moved = after["stage"] != before["stage"]
        assert 0 < moved.sum() < len(after)
        assert set(after.loc[moved, "stage_change_cause"]) == {"definition"}
        assert (after.loc[moved, "previous_stage"] == before.loc[moved, "stage"]).all()
        assert "definition" not in set(after.loc[~moved, "stage_change_cause"])


def test_audience_members_have_reasons_and_anyone_can_be_explained(shop: Shop) -> None:
    current = read_current(shop.output)
    audience = current.audience[current.audience["change"] != "removed"]
    scores = current.scores.set_index("customer_id")
    members = scores.index.isin(audience["customer_id"])
    assert scores.loc[members, "reason_code_1"].notna().mean() > 0.9
    assert scores.loc[~members, [f"reason_code_{n}" for n in (1, 2, 3)]].isna().all(axis=None)
    assert (scores["reason_code_1"].notna() == scores["reason_1"].notna()).all()
    for row in audience.itertuples():
        told = scores.loc[row.customer_id, "reason_1"]
        assert not isinstance(told, str) or told in row.reasons
    file = shop.output / "runs" / current.run.run_id / "audiences" / "win_back.csv"
    assert "no purchase for" in file.read_text(encoding="utf-8")
    other = scores.index[~members][0]
    done = stagecast("explain", other, "--output", shop.output, "--json", "-")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["customer_id"] == other
    assert said["reasons"][0]["code"].split("_")[0] in ("churn", "value")
    assert said["reasons"][0]["sentence"]
    nobody = stagecast("explain", "nobody", "--output", shop.output)
    assert nobody.returncode == 2
    assert "not in the published scores" in nobody.stderr
