"""The price of one more contact in a plan, from messages, withdrawals and scores on disk."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from campaigns.contact_price import learned_fatigue
from features.calendar import day_number
from features.sources.channels import MESSAGE_CHANNELS
from features.sources.opt_outs import opt_out_days
from features.table.message_days import message_days
from flows.commands.cli import app
from flows.services.campaign_plan import ALL_CAMPAIGNS, plan_run
from flows.services.workspace import Workspace
from flows.simulate import write_config
from flows.target import write_plan
from simulator import simulate
from tests.flows.planned import made_up_scores, publish, published, with_tallies

AT, DAYS = dt.date(2024, 9, 30), 30
RISK, GROWTH, DROP = 0.004, 0.3, 0.1


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Workspace]:
    """Simulated customers who tire of messages, and a scored run."""
    folder = tmp_path_factory.mktemp("weary")
    reference = Path("configs/scenarios/reference.yaml").read_text(encoding="utf-8")
    weary = f"  opt_out: {RISK}\n  opt_out_growth: {GROWTH}\n  response_drop: {DROP}\n  open: 0.24"
    scenario = folder / "weary.yaml"
    scenario.write_text(reference.replace("  open: 0.24", weary), encoding="utf-8")
    data = folder / "shop"
    simulate.write_simulation(str(scenario), customers=3000, seed=5, output=data, workers=1)
    policy = 'contact_policy={"contact_price": {"lost_share": 0.2}}'
    config = write_config(data, "reference")
    space = with_tallies(config, folder / "out", policy, "experiments=[]")
    published(space, "r1", made_up_scores(space, AT))
    return data, space


def test_messages_count_as_in_a_plain_reading(shop: tuple[Path, Workspace]) -> None:
    data, space = shop
    messages = message_days(space.output, space.config(), at=day_number(AT), days=DAYS)
    assert messages is not None
    events = pd.concat(pd.read_parquet(file) for file in sorted((data / "events").glob("*")))
    events = events[~events["is_machine"].fillna(False).astype(bool)]
    limit = pd.Timestamp(AT)
    events = events[(events["occurred_at"].dt.tz_localize(None) < limit)
                    & (events["known_at"].dt.tz_localize(None) < limit)]  # fmt: skip
    events = events.assign(day=events["occurred_at"].dt.tz_localize(None).dt.floor("D"))
    sent = events[events["event_type"] == "message_sent"]
    answers = events[events["event_type"].isin(["email_open", "message_click"])
                     & events["channel"].isin(MESSAGE_CHANNELS)]  # fmt: skip
    some = sorted(sent["customer_id"].unique())[:60]
    for customer in some:
        days = sent.loc[sent["customer_id"] == customer, "day"]
        answered = answers.loc[answers["customer_id"] == customer, "day"]
        counted = messages.sends[messages.sends["customer_id"] == customer]
        assert len(counted) == days.nunique()
        for row in counted.itertuples():
            day = pd.Timestamp("1970-01-01") + pd.Timedelta(days=int(row.day))
            earlier = (days >= day - pd.Timedelta(days=DAYS)) & (days < day)
            after = (answered >= day) & (answered < day + pd.Timedelta(days=3))
            assert (row.contacts, row.answered) == (earlier.sum(), after.any())
        recent = (days >= limit - pd.Timedelta(days=DAYS)).sum()
        assert messages.contacts[customer] == recent


def test_what_the_simulation_did_is_recovered(shop: tuple[Path, Workspace]) -> None:
    _, space = shop
    at = day_number(AT)
    messages = message_days(space.output, space.config(), at=at, days=DAYS)
    assert messages is not None
    fatigue = learned_fatigue(
        messages.sends,
        opt_out_days(space.config(), at=at),
        at=at,
        stated_risk=0.9,
        stated_drop=0.9,
    )
    assert fatigue.learned_risk
    assert fatigue.learned_drop
    # Intervals of 99.7 %: one shop, and the states of its customers change within 90 days.
    for estimate, truth in ((fatigue.growth, GROWTH), (fatigue.drop, DROP)):
        half = 1.55 * (estimate.high - estimate.low) / 2
        assert abs(estimate.value - truth) < half
    # Withdrawals of all channels come on Mondays here: those without a message blur the level.
    level = RISK * np.exp(GROWTH * messages.sends["contacts"].mean())
    assert level / 2 < fatigue.usual_risk.value < level * 2


def test_the_plan_says_what_one_more_contact_costs(
    shop: tuple[Path, Workspace], tmp_path: Path
) -> None:
    _, space = shop
    publish_plan(space)
    file = tmp_path / "plan.json"
    arguments = ["target", "--dry-run", "--output", str(space.output)]
    result = CliRunner().invoke(app, [*arguments, "--json", str(file)])
    assert result.exit_code == 0, result.output
    content = json.loads(file.read_text(encoding="utf-8"))
    assert content["contact_price"] > 0
    assert content["fatigue"]["learned_risk"]
    shown = " ".join(CliRunner().invoke(app, arguments).output.split())
    assert "Price of one more contact, taken off the value:" in shown
    assert "learned from" in shown


def publish_plan(space: Workspace) -> None:
    write_plan(space, "r1", plan_run(space, "r1", confirm=(ALL_CAMPAIGNS,)))
    publish(space, "r1")
