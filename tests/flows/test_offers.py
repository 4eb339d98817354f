"""A campaign with several offers, from its playbook to a log that policies are evaluated on."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from features.storage import scores_store
from features.storage.runs import run_folder
from flows.commands.cli import app
from flows.services import uplift_history
from flows.services.campaign_plan import ALL_CAMPAIGNS, plan_run
from flows.services.workspace import Workspace
from flows.target import write_plan
from models.tasks import uplift as uplift_task
from tests.flows.planned import made_up_scores, publish, published, simulated_shop, with_tallies

FIRST, SECOND = dt.date(2024, 9, 30), dt.date(2024, 10, 7)
BOOK = """
campaign: next_order
title: Bring the next order forward
description: A note, a code or a gift for customers who may order soon.
stages: {other: all}
trigger: [{when: schedule, every: week}]
audience: {column: p_any_order, ">=": 0.1}
expires_days: 30
rank_by: [p_any_order, clv]
value: {product: [clv], means: expected spend within the horizon}
channel: email
contact_cost: 0.02
offers:
  - {name: note, text: What is new, incremental_share: 0.02}
  - {name: code, text: 10 % on one order, discount: 0.1, incremental_share: 0.15}
  - {name: gift, text: A gift in the parcel, contact_cost: 3, capacity: 60, incremental_share: 0.2}
exploration_share: 0.5
control_share: 0.3
success: {metric: orders, within_days: 60, base_rate: p_any_order}
priority: 10
"""


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Two published snapshots of a simulated shop with this campaign alone."""
    folder = tmp_path_factory.mktemp("offers")
    playbook = folder / "next_order.yaml"
    playbook.write_text(BOOK, encoding="utf-8")
    config = simulated_shop(folder / "shop", customers=4000)
    made = with_tallies(config, folder / "out", f'campaigns=["{playbook}"]', "experiments=[]")
    for run_id, at in (("r1", FIRST), ("r2", SECOND)):
        published(made, run_id, made_up_scores(made, at))
        write_plan(made, run_id, plan_run(made, run_id, confirm=(ALL_CAMPAIGNS,)))
        publish(made, run_id)
    return made


def exported(space: Workspace, run_id: str) -> pd.DataFrame:
    file = run_folder(space.output, run_id) / "exports" / "csv" / "next_order.csv"
    return pd.read_csv(file)


def test_the_export_names_the_offer_of_each_customer_and_holds_no_control(space: Workspace) -> None:
    rows = exported(space, "r1")
    texts = {"note": "What is new", "code": "10 % on one order", "gift": "A gift in the parcel"}
    assert (rows["offer"] == rows["offer_name"].map(texts)).all()
    assert set(rows["offer_name"]) == set(texts)
    assert (rows["offer_name"] == "gift").sum() <= 60
    assert rows["propensity"].between(0, 0.7).all()
    audience = scores_store.read_current(space.output).audience
    control = audience[audience["arm"] == "control"]
    assert set(control["offer_name"]) == {"nothing"}
    assert not set(control["customer_id"]) & set(exported(space, "r2")["customer_id"])


def test_a_member_keeps_the_offer_in_the_next_run(space: Workspace) -> None:
    first, second = (exported(space, run_id).set_index("customer_id") for run_id in ("r1", "r2"))
    kept = second[second["change"] == "kept"]
    assert len(kept)
    same = first.loc[kept.index, ["offer_name", "propensity"]]
    pd.testing.assert_frame_equal(kept[["offer_name", "propensity"]], same)


def test_the_plan_shows_the_offers_and_what_past_decisions_say_of_them(
    space: Workspace, tmp_path: Path
) -> None:
    file = tmp_path / "plan.json"
    arguments = ["target", "--dry-run", "--output", str(space.output), "--json", str(file)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    offers = pd.DataFrame(json.loads(file.read_text(encoding="utf-8"))["offers"])
    assert list(offers["offer_name"]) == ["note", "code", "gift", "nothing"]
    assert offers["explored"].sum() > 0
    stored = pd.read_csv(run_folder(space.output, "r1") / "audiences" / "plan_offers.csv")
    assert list(stored["offer_name"]) == list(offers["offer_name"])
    shown = CliRunner().invoke(app, arguments[:-2])
    text = " ".join(shown.output.split())
    assert "drawn: at random, to learn what the offers change" in text
    assert "past decisions:" in text
    (value,) = json.loads(file.read_text(encoding="utf-8"))["offer_values"]
    assert value["campaign"] == "next_order"
    assert value["decisions"] > 500
    over_nothing = value["over_nothing"]
    assert over_nothing["unknown"] or over_nothing["gain_low"] < over_nothing["gain_high"]


def test_the_measured_decisions_hold_what_policies_need(space: Workspace, tmp_path: Path) -> None:
    decisions, answer = tmp_path / "decisions.csv", tmp_path / "answer.json"
    runner, output = CliRunner(), str(space.output)
    measured = runner.invoke(app, ["measure", "--output", output, "--decisions", str(decisions)])
    assert measured.exit_code == 0, measured.output
    log = pd.read_csv(decisions)
    assert set(log["offer"]) == {"nothing", "note", "code", "gift"}
    entries = scores_store.previous_audience(space.output, before=dt.date(2025, 1, 1))
    assert entries is not None
    assert sorted(log["propensity"].unique()) == pytest.approx(
        sorted(entries["propensity"].unique()), abs=1e-12
    )
    gifts = log[(log["offer"] == "gift") & (log["orders"] == 0)]
    assert (gifts["reward"] == -3.0).all()
    evaluated = runner.invoke(
        app,
        ["policy", "evaluate", str(decisions), "--policy", "always:nothing",
         "--policy", "always:note", "--person", "person", "--json", str(answer)],
    )  # fmt: skip
    assert evaluated.exit_code == 0, evaluated.output
    policies = json.loads(answer.read_text(encoding="utf-8"))["policies"]
    assert [policy["policy"] for policy in policies] == ["always:nothing", "always:note"]
    assert all(policy["unknown"] or policy["low"] < policy["high"] for policy in policies)
    assert not policies[0]["unknown"]


def test_past_waves_are_a_history_that_offers_are_learned_from(
    space: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = uplift_history._own_entries(space, space.config())
    history = uplift_history._offer_history("next_order", entries, space.archive())
    experiment = history.experiment
    assert experiment.offers == ("code", "gift", "note")
    assert history.effect_names["code"] == "code@next_order"
    rows = np.arange(len(experiment.offer))
    done = experiment.offer.astype(int)
    logged = entries.set_index("customer_id")["propensity"]
    assert len(rows) == len(logged)
    assert sorted(experiment.chances[rows, done]) == pytest.approx(sorted(logged), abs=1e-12)
    assert experiment.chances.sum(axis=1) == pytest.approx(1.0)
    assert 0 < experiment.outcome.mean() < 1
    for limit in ("_FEWEST_AN_ARM", "_FEWEST_AN_OFFER", "_FEWEST_RESPONSES"):
        monkeypatch.setattr(uplift_task, limit, 20)  # the shop is small
    part = uplift_history.fit_uplift_part(space)
    assert part is not None
    assert {"code@next_order", "note@next_order"} <= set(part.parameters["models"])
