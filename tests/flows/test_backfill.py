"""Past dates scored into the history: by whom, from what, once, and again after an interruption."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from features.calendar import day_number
from features.config.config import Config
from features.errors import UserError
from features.storage import fault_injection
from features.storage.scores_store import published_runs, read_current
from features.table.feature_store import open_archive
from flows.backfill import date_grid, due_dates
from flows.services.workspace import Workspace
from models.registry import registry
from models.registry.registry import SCORER
from models.serving.backfill import score_day
from models.serving.score import RowFinisher, ScoreStamp, score_snapshot
from tests.flows.shop import Shop, stagecast

DATES = [dt.date(2020, 10, 5), dt.date(2020, 11, 4), dt.date(2020, 12, 4)]
ASKED = ("backfill", "--from", "2020-10-05", "--to", "2020-12-20", "--every", "30")


def history(output: Path) -> pd.DataFrame:
    with duckdb.connect(str(output / "stagecast.duckdb"), read_only=True) as store:
        return store.sql("from customer_scores_history order by snapshot_at, customer_id").df()


@pytest.mark.services
def test_a_backfill_fills_the_history_once_and_goes_on_after_a_kill(
    shop: Shop, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    shutil.copytree(shop.output, output)
    before, present = read_current(output), history(output)
    command = [
        sys.executable,
        "-m",
        "flows.commands.cli",
        *ASKED,
        "--version",
        "1",
        "--output",
        str(output),
    ]
    killed = subprocess.run(
        command,
        env={**os.environ, fault_injection.VARIABLE: "date published:1"},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert len([run for run in published_runs(output) if run.kind == "backfill"]) == 1
    done = stagecast(*ASKED, "--version", "1", "--output", output)
    assert done.returncode == 0, done.stderr
    assert "2 dates scored" in done.stdout
    after, whole = read_current(output), history(output)
    assert after.run == before.run
    pd.testing.assert_frame_equal(after.scores, before.scores)
    assert not whole.duplicated(["customer_id", "snapshot_at"]).any()
    past = whole[whole["snapshot_at"].isin(pd.to_datetime(DATES))]
    assert len(whole) == len(past) + len(present)
    space = Workspace(output)
    loaded = registry.load(space.tracking(), version=1)
    stamp = ScoreStamp("r", dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    expected, _ = score_snapshot(loaded, space.archive(), day_number(DATES[1]), RowFinisher(stamp))
    mine = past[past["snapshot_at"] == pd.Timestamp(DATES[1])].reset_index(drop=True)
    columns = ["customer_id", "stage", "p_churn", "clv", "p_move"]
    pd.testing.assert_frame_equal(mine[columns], expected[columns], check_dtype=False)
    again = stagecast(*ASKED, "--version", "1", "--output", output)
    assert "0 dates scored" in again.stdout
    refused = stagecast(*ASKED, "--output", output)
    assert refused.returncode == 2
    assert "the first champion began on" in refused.stderr
    assert "--version" in refused.stderr


def test_the_dates_of_a_grid_and_one_that_runs_backwards() -> None:
    assert date_grid(dt.date(2020, 10, 5), dt.date(2020, 12, 20), 30) == DATES
    with pytest.raises(UserError, match="--from"):
        date_grid(dt.date(2020, 10, 5), dt.date(2020, 10, 4), 1)


@pytest.mark.services
def test_dates_that_were_scored_at_the_time_are_left_alone(shop: Shop) -> None:
    space = Workspace(shop.output)
    versions = registry.versions(space.tracking(), SCORER)
    there = published_runs(shop.output)
    scored = there[-1].snapshot_at
    days = [DATES[0], scored]
    found = due_dates(space.archive(), versions, days, given=1, published=there)
    assert [one.day for one in found] == DATES[:1]
    with pytest.raises(UserError, match="--version"):
        due_dates(space.archive(), versions, days, given=99, published=there)
    for day in (dt.date(2010, 1, 1), dt.date(2030, 1, 1)):
        with pytest.raises(UserError, match="first event"):
            due_dates(space.archive(), versions, [day], given=1, published=there)


@pytest.mark.services
def test_a_past_date_gets_the_margins_of_what_was_bought_before_it(
    shop: Shop, tmp_path: Path
) -> None:
    space = Workspace(shop.output)
    products = tmp_path / "products.csv"
    products.write_text("sku,brand,margin\n1,north,0.5\n2,south,0.1\n3,east,0.3\n")
    columns = {"product_id": "sku", "margin": "margin", "attributes": {"brand": "brand"}}
    content = space.config().model_dump(mode="json", by_alias=True)
    content["products"] = {"table": str(products), "columns": columns}
    archive = open_archive(shop.output, Config.model_validate(content))
    at, stamp = day_number(DATES[0]), ScoreStamp("r", dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    assert score_day(archive, space.tracking(), 1, at, stamp, tmp_path / "run") > 0
    rows = pd.read_parquet(tmp_path / "run" / "scores" / "scores.parquet")
    share = (rows["clv_margin"] / rows["clv"])[rows["clv"] > 0]
    assert share.between(0.1, 0.5).all()
    lines = pd.read_csv(shop.config.parent / "orders.csv")
    midnight = pd.Timestamp(DATES[0], tz="America/Chicago").tz_convert("UTC")
    lines = lines[pd.to_datetime(lines["at"], utc=True) < midnight]
    worth = lines["brand"].map({"north": 0.5, "south": 0.1, "east": 0.3})
    own = worth.groupby(lines["customer"]).agg(["sum", "count"])
    expected = (own["sum"] + 5 * worth.mean()) / (own["count"] + 5)
    found = share.set_axis(rows["customer_id"][share.index]).sort_index()
    pd.testing.assert_series_equal(
        found, expected[found.index], check_names=False, rtol=1e-6, check_dtype=False
    )
