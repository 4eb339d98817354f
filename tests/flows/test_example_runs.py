"""The main job on the example data sets in full, beside `test_examples.py` (a file a worker)."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from features.storage.runs import run_folder
from features.storage.scores_store import read_current
from tests.flows.shop import stagecast
from tests.page_blocks import blocks_of
from tests.pickle_scan import pickled_files

pytestmark = pytest.mark.full


def test_completejourney_scores_every_household(tmp_path: Path) -> None:
    # One fit of transitions instead of three: test_examples asks what the figures are.
    done = stagecast("run", "--output", tmp_path, "--set=transition.fits=1")
    assert done.returncode == 0, done.stderr
    current = read_current(tmp_path)
    assert len(current.scores) == 2469
    found = set(current.audience["campaign_id"])
    # The code for a second order may find nobody in a year of weekly shopping.
    assert found - {"next_purchase_code"} == {
        "win_back", "save_valuable_customers", "replenish", "vip_referral",
    }  # fmt: skip
    assert pickled_files(tmp_path / "mlartifacts") == []
    folder = run_folder(tmp_path, current.run.run_id)
    plan = pd.read_csv(folder / "audiences" / "plan.csv").set_index("campaign_id")
    assert plan["plan_only"].all()
    assert set(plan["value_label"]) == {"response, not uplift"}
    # Whoever is not a member is counted once, at the first reason.
    left = pd.read_csv(folder / "audiences" / "exclusions.csv")
    counted = left.groupby("campaign_id")["customers"].sum().reindex(plan.index, fill_value=0)
    assert (counted + plan["members"] == 2469).all()
    assert left["campaign_id"].eq("next_purchase_code").any()


def test_cdnow_runs_from_its_config(tmp_path: Path) -> None:
    # Wider grids and fewer fits than the config's: the same steps in a quarter of the time.
    coarse = [f"--set={task}.train.every_days=90" for task in ("churn", "stage", "transition")]
    coarse.append("--set=transition.fits=1")
    done = stagecast(
        "run", "--config", "configs/cdnow.yaml", "--output", tmp_path, *coarse,
        "--set=clv.train.at_most=4",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    scores = read_current(tmp_path).scores
    assert len(scores) == 23570
    assert str(scores["snapshot_at"].iloc[0].date()) == "1998-07-01"


def test_the_tutorial_shows_what_its_command_gives(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "tutorial.md"
    (command,) = [block.commands().split() for block in blocks_of(page) if block.runs_in]
    assert command[:3] == ["uv", "run", "stagecast"]
    arguments = [str(tmp_path) if word == "tutorial" else word for word in command[3:]]
    done = stagecast(*arguments)
    assert done.returncode == 0, done.stderr
    run = read_current(tmp_path).run.run_id
    report = (run_folder(tmp_path, run) / "report.html").read_text(encoding="utf-8")
    text = page.read_text(encoding="utf-8")
    for figure in ("18,138", "15,521 to 20,754", "34", "1,964", "147 to 172", "132"):
        assert figure in text
        assert re.search(rf"(?<![\d,]){figure}(?![\d,])", report), f"tutorial.md: {figure}"
