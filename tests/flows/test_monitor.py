"""`stagecast monitor` on the made-up shop: findings, page, figures, alarms that reach a person."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from features.calendar import day_date
from features.errors import UserError
from features.storage import scores_store
from features.storage.runs import RunRecord, run_folder, write_parquet
from flows import monitor
from flows.services.workspace import Workspace
from models.registry import registry
from models.serving.score import RowFinisher, ScoreStamp, score_snapshot
from tests.flows.shop import Shop, settle, stagecast

pytestmark = pytest.mark.slow

NAME = "SHOP_ALERTS"


@pytest.fixture
def watched(shop: Shop, tmp_path: Path) -> Path:
    """The shop's output folder, with an earlier date scored as a back-fill."""
    output = tmp_path / "out"
    shutil.copytree(shop.output, output)
    space = Workspace(output)
    archive, loaded = space.archive(), registry.load(space.tracking())
    at, moment = archive.builder.last_snapshot - 60, dt.datetime(2021, 1, 1, tzinfo=dt.UTC)
    rows, _ = score_snapshot(loaded, archive, at, RowFinisher(ScoreStamp("early", moment)))
    folder = run_folder(output, "early")
    scores = write_parquet(folder / "scores" / "s.parquet", pa.Table.from_pandas(rows))
    empty = pd.read_parquet(next(shop.output.glob("runs/*/audience.parquet"))).iloc[:0]
    audience = write_parquet(folder / "audience.parquet", pa.Table.from_pandas(empty))
    record = RunRecord(
        run_id="early", dataset="shop", snapshot_at=day_date(at), scorer_version="1",
        started_at=moment, finished_at=moment, kind="backfill",
    )  # fmt: skip
    scores_store.publish_run(output, record, scores=[scores], audience=audience)
    return output


def test_a_quiet_day_has_a_page_figures_and_exit_code_0(shop: Shop) -> None:
    done = stagecast("monitor", "--output", shop.output, "--json", "-")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["alarms"] == 0
    assert {row["check"] for row in found["findings"]} >= {"input", "score", "volume", "freshness"}
    page = Path(found["page"]).read_text(encoding="utf-8")
    assert page.count("<svg") >= 5
    assert "<script" not in page
    client = Workspace(shop.output).tracking().client
    figures = client.get_run(found["mlflow_run_id"]).data.metrics
    assert figures["alarms"] == 0
    assert figures["input.largest_psi"] < 0.01  # scored where it was trained
    customers = set(pd.read_csv(shop.config.parent / "orders.csv")["customer"])
    stored = json.dumps(monitor.stored_reference(Workspace(shop.output),
        registry.load(Workspace(shop.output).tracking())).as_dict())  # fmt: skip
    for text in (page, done.stdout, stored):
        assert not any(f'"{c}"' in text or f">{c}<" in text for c in customers)


def test_stale_data_reach_a_person_once_and_the_secret_goes_nowhere(
    watched: Path,
    inbox: tuple[str, list[dict[str, str]]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url, received = inbox
    settle(watched, max_age_days=3, alert_urls=[NAME])
    monkeypatch.setenv(NAME, url)
    for _ in range(2):
        found = monitor.run_monitoring.fn(str(watched))
        monitor.notify_alarms.fn(str(watched), found)
    assert found["alarms"] == 1
    assert len(received) == 1
    assert "freshness: all events" in received[0]["message"]
    said = capsys.readouterr()
    written = [p for p in (watched / "monitoring").rglob("*") if p.is_file()]
    texts = [said.out, said.err, *(p.read_text(encoding="utf-8") for p in written)]
    assert not any("secretword" in text for text in texts)
    # The back-filled run has matured, and is measured against what has happened since.
    matured = {row["subject"] for row in found["findings"] if row["check"] == "performance"}
    assert {"churn auc of version 1", "clv coverage of version 1"} <= matured


def test_a_message_that_does_not_arrive_is_sent_again(
    watched: Path, inbox: tuple[str, list[dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, received = inbox
    settle(watched, max_age_days=3, alert_urls=[NAME])
    monkeypatch.setenv(NAME, "json://127.0.0.1:9/")  # nobody listens there
    found = monitor.run_monitoring.fn(str(watched))
    assert monitor.notify_alarms.fn(str(watched), found)
    assert not received
    monkeypatch.setenv(NAME, url)
    assert monitor.notify_alarms.fn(str(watched), found)
    assert len(received) == 1


def test_an_alarm_is_exit_code_3_and_a_missing_variable_2(watched: Path) -> None:
    settle(watched, max_age_days=3)
    done = stagecast("monitor", "--output", watched)
    assert done.returncode == 3, done.stderr
    assert "all events" in done.stdout
    settle(watched, alert_urls=[NAME])
    with pytest.raises(UserError, match=NAME):
        monitor.run_monitoring.fn(str(watched))
