"""From scores to exports and their measurement, on simulated customers; no model is trained."""

from __future__ import annotations

import csv
import datetime as dt
import json
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from features.errors import UserError
from features.storage import scores_store
from features.storage.output_lock import exclusive
from features.storage.result_tables import PREDICTION_ACCURACY, result_file
from features.storage.runs import run_folder
from features.table.campaign_conditions import past
from flows.commands.campaign_commands import membership_reason
from flows.commands.cli import app
from flows.services.campaign_plan import ALL_CAMPAIGNS, plan_run
from flows.services.measure import measure
from flows.services.measurement_files import read_effects, read_history
from flows.services.prediction_accuracy import update_prediction_accuracy
from flows.services.workspace import Workspace
from flows.target import write_plan
from tests.flows.planned import (
    last_day,
    made_up_scores,
    publish,
    published,
    simulated_shop,
    with_tallies,
)
from tests.flows.shop import stagecast

FIRST, SECOND = dt.date(2024, 9, 30), dt.date(2024, 10, 7)


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A simulated shop with two published snapshots: held at first, then confirmed."""
    folder = tmp_path_factory.mktemp("campaigns")
    config = simulated_shop(folder / "shop", customers=1500)
    made = with_tallies(config, folder / "out")
    for run_id, at, confirm in (("r1", FIRST, None), ("r2", SECOND, (ALL_CAMPAIGNS,))):
        published(made, run_id, made_up_scores(made, at))
        write_plan(made, run_id, plan_run(made, run_id, confirm=confirm))
        publish(made, run_id)
    return made


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_first_load_is_planned_in_full_and_not_exported(space: Workspace) -> None:
    folder = run_folder(space.output, "r1")
    plan = pd.read_csv(folder / "audiences" / "plan.csv").set_index("campaign_id")
    assert (plan["held"] == "first run").all()
    assert plan.loc["win_back", "members"] > 0
    assert rows_of(folder / "audiences" / "win_back.csv")
    assert [path.name for path in (folder / "exports" / "klaviyo").iterdir()] == ["manifest.json"]


def test_confirmed_exports_hold_the_treatment_arm_and_who_consented(space: Workspace) -> None:
    folder = run_folder(space.output, "r2")
    audience = pd.read_parquet(folder / "audience.parquet")
    staying = audience[audience["change"] != "removed"]
    consents = pd.concat(
        pd.read_parquet(path)
        for path in sorted((space.output.parent / "shop" / "consents").glob("*.parquet"))
    )
    consents = consents[pd.to_datetime(consents["changed_at"]) < pd.Timestamp(SECOND)]
    last = consents.sort_values("changed_at").drop_duplicates(
        ["customer_id", "channel"], keep="last"
    )
    granted = last[last["granted"]].groupby("channel")["customer_id"].agg(set)
    found = 0
    for path in (folder / "exports" / "csv").glob("*.csv"):
        if path.stem.endswith("_remove"):
            continue
        mine = staying[staying["campaign_id"] == path.stem].set_index("customer_id")
        rows = rows_of(path)
        treated = set(mine.index[mine["arm"] == "treatment"])
        assert {row["customer_id"] for row in rows} == treated
        found += len(rows)
        for row in rows:
            if row["channel"] == "email":
                assert row["customer_id"] in granted["email"]
                assert row["email"].endswith("@simulated.invalid")
    assert found > 20
    said = json.loads((folder / "exports" / "csv" / "manifest.json").read_text(encoding="utf-8"))
    assert (said["held"], said["consent_basis"]) == ({}, "recorded")


def test_every_customer_is_accounted_for_in_every_campaign(space: Workspace) -> None:
    plan = plan_run(space, "r2").plan
    left = plan.exclusions.groupby("campaign_id")["customers"].sum()
    members = plan.table.set_index("campaign_id")["members"]
    assert (left.reindex(members.index, fill_value=0) + members == len(plan.customers)).all()
    reasons = set(plan.exclusions["reason"])
    assert {"no consent to profiling", "no consent for email", "suppressed: staff"} <= reasons


def test_why_gives_the_arm_or_the_first_reason(space: Workspace) -> None:
    plan = plan_run(space, "r2", confirm=(ALL_CAMPAIGNS,)).plan
    rows = plan.audience[plan.audience["campaign_id"] == "win_back"].set_index("customer_id")
    treated = str(rows.index[rows["arm"] == "treatment"][0])
    assert membership_reason(plan, treated, "win_back").startswith(
        f"{treated} is in win_back, treatment"
    )
    control = str(rows.index[rows["arm"] == "control"][0])
    assert "in no export" in membership_reason(plan, control, "win_back")
    other = next(
        str(customer)
        for customer, said in zip(plan.customers, plan.why["win_back"], strict=True)
        if said == "not in stage lapsed"
    )
    assert (
        membership_reason(plan, other, "win_back")
        == f"{other} is not in win_back: not in stage lapsed"
    )
    for customer, campaign in ((treated, "nothing"), ("nobody", "win_back")):
        with pytest.raises(UserError):
            membership_reason(plan, customer, campaign)


def test_a_new_champion_holds_the_exports_again(space: Workspace) -> None:
    published(space, "r3", made_up_scores(space, last_day(space)), scorer_version="2")
    held = plan_run(space, "r3").plan.table["held"]
    assert set(held) == {"a new model version"}
    only = plan_run(space, "r3", confirm=("win_back",)).plan.table.set_index("campaign_id")
    assert only.loc["win_back", "held"] == ""
    assert (only["held"] != "").sum() == len(only) - 1


def test_what_happened_afterwards_is_measured(space: Workspace) -> None:
    effects, waiting = measure(space.output)
    assert len(read_effects(space.output)) == len(effects)
    history = read_history(space.output)
    assert history["measured_at"].nunique() == 1
    assert (history["by"] == "all").all()
    assert pd.read_csv(space.output / "measurement" / "waves.csv")["sample_ratio_p"].notna().any()
    # Sixty days after the first snapshot have passed by the end of the data, four weeks of them
    # after neither.
    measured = set(effects["campaign_id"])
    assert "win_back" in measured
    assert set(waiting["reason"]) <= {
        "nobody has entered it",
        "its time has not passed",
        "it has no control arm",
    }
    shown = effects[effects["difference"].notna() & (effects["by"] == "all")]
    assert (shown["low"] <= shown["difference"]).all()
    assert (shown["n_control"] >= 30).all()
    # The first plan was held, so its members entered on the day of the second.
    audience = pd.read_parquet(run_folder(space.output, "r2") / "audience.parquet")
    mine = audience[(audience["campaign_id"] == "win_back") & (audience["change"] != "removed")]
    assert set(mine["change"]) == {"added", "kept"}
    row = effects[(effects["campaign_id"] == "win_back") & (effects["by"] == "all")].iloc[0]
    assert row["n_treatment"] + row["n_control"] == len(mine)


def test_messages_to_held_out_customers_are_those_that_no_campaign_explains(
    space: Workspace,
) -> None:
    """Against a count from the events themselves."""
    effects, _ = measure(space.output)
    whole = effects[effects["by"] == "all"].drop_duplicates("campaign_id")
    counted = whole.set_index("campaign_id")["control_contacted"]
    events = pd.concat(
        pd.read_parquet(path)
        for path in sorted((space.output.parent / "shop" / "events").glob("*.parquet"))
    )
    sent = events[events["event_type"] == "message_sent"]
    day = pd.to_datetime(sent["occurred_at"]).dt.tz_localize(None).dt.normalize()
    audience = pd.read_parquet(run_folder(space.output, "r2") / "audience.parquet")
    staying = audience[audience["change"] != "removed"]
    treated = staying[staying["arm"] == "treatment"]
    checked = 0
    for campaign in counted.index:
        members = staying[staying["campaign_id"] == campaign]
        # Members of the first, held plan entered when it was released: with the second one.
        held_out = members[members["arm"] == "control"]
        if held_out.empty:
            assert np.isnan(counted[campaign])
            continue
        file = run_folder(space.output, "r2") / "audiences" / "manifest.json"
        plans = json.loads(file.read_text(encoding="utf-8"))["campaigns"]
        (days,) = (p["success_within_days"] for p in plans if p["campaign_id"] == campaign)
        since = day - pd.Timestamp(SECOND)
        inside = (since >= pd.Timedelta(0)) & (since < pd.Timedelta(days=days))
        expected = 0
        for row in held_out.itertuples():
            mine = sent[inside & (sent["customer_id"] == row.customer_id)]
            others = treated[
                (treated["customer_id"] == row.customer_id) & (treated["channel"] == row.channel)
            ]
            expected += bool((mine["channel"] == row.channel).any()) and others.empty
        assert counted[campaign] == expected
        checked += expected
    assert checked > 0


def test_matured_predictions_are_compared_once_and_published(space: Workspace) -> None:
    builder = space.archive().builder
    accuracy = update_prediction_accuracy(space)
    assert set(accuracy["run_id"]) == {"r1"}  # the horizons of the second run have not passed
    scores = pd.read_parquet(run_folder(space.output, "r1") / "scores" / "scores.parquet")
    at = (FIRST - dt.date(1970, 1, 1)).days
    labels = builder.labels("clv", at).set_index("customer_id")["spend"]
    top = scores.loc[scores["value_tier"] == "top", "customer_id"]
    row = accuracy[
        (accuracy["run_id"] == "r1") & (accuracy["prediction"] == "clv")
        & (accuracy["group_name"] == "top")
    ].iloc[0]  # fmt: skip
    assert row["customers"] == len(top)
    assert row["actual"] == pytest.approx(labels.reindex(top).mean())
    assert row["horizon_days"] == builder.horizon("clv")
    pd.testing.assert_frame_equal(update_prediction_accuracy(space), accuracy)
    effects, _ = measure(space.output)
    scores_store.publish_results(space.output)
    with duckdb.connect(str(space.output / scores_store.STORE_FILE), read_only=True) as store:
        stored = store.table("prediction_accuracy").df()
        totals = store.table("campaign_effects").df()["incremental_total"]
    assert len(stored) == len(accuracy)
    assert totals.sum() == pytest.approx(effects["incremental_total"].sum())


def test_predictions_for_another_horizon_are_not_compared(space: Workspace) -> None:
    file = run_folder(space.output, "r1") / "scores" / "scores.parquet"
    stored, compared = file.read_bytes(), result_file(space.output, PREDICTION_ACCURACY)
    compared.unlink(missing_ok=True)
    other = space.archive().builder.horizon("clv") + 1
    try:
        scores = pd.read_parquet(file)
        scores.assign(clv_horizon_days=other).to_parquet(file, index=False)
        predictions = set(update_prediction_accuracy(space)["prediction"])
    finally:
        file.write_bytes(stored)
        compared.unlink(missing_ok=True)
    assert "p_churn" in predictions
    assert not predictions & {"clv", "p_any_order", "p_first_purchase"}


def test_the_command_measure_publishes_its_results_and_waits_for_no_other(
    space: Workspace, tmp_path: Path
) -> None:
    file = tmp_path / "effects.json"
    command = ["measure", "--output", str(space.output), "--json", str(file)]
    with exclusive(space.output, "another run"):
        refused = stagecast(*command)
    assert refused.returncode == 2
    assert "another run" in refused.stderr
    assert not file.exists()
    with duckdb.connect(str(space.output / scores_store.STORE_FILE)) as store:
        store.execute("DELETE FROM campaign_effects")
    measured = CliRunner().invoke(app, command)
    assert measured.exit_code == 0, measured.output
    with duckdb.connect(str(space.output / scores_store.STORE_FILE), read_only=True) as store:
        stored = store.table("campaign_effects").df()
    assert len(stored) == len(json.loads(file.read_text(encoding="utf-8"))["effects"]) > 0


def test_own_campaigns_are_a_log_that_other_policies_are_evaluated_on(
    space: Workspace, tmp_path: Path
) -> None:
    log = tmp_path / "decisions.csv"
    command = ["measure", "--output", str(space.output), "--decisions", str(log), "--json", "-"]
    assert CliRunner().invoke(app, command).exit_code == 0
    decisions = pd.read_csv(log)
    assert set(decisions["offer"]) == {"message", "nothing"}
    assert "customer_id" not in decisions
    command = ["policy", "evaluate", str(log), "--policy", "always:nothing", "--by", "campaign"]
    evaluated = CliRunner().invoke(app, [*command, "--person", "person", "--json", "-"])
    assert evaluated.exit_code == 0, evaluated.output
    answer = json.loads(evaluated.stdout)
    assert answer["decisions"] == len(decisions)
    assert answer["logged"]["value"] == pytest.approx(decisions["reward"].mean())


def test_rules_on_the_past_agree_with_the_events(space: Workspace) -> None:
    config = space.config()
    found = past(
        space.output,
        config,
        {"texts": {"count": "sent", "where": {"channel": "sms"}, "window": 30, ">=": 1}},
        at=(SECOND - dt.date(1970, 1, 1)).days,
    )
    events = pd.concat(
        pd.read_parquet(path)
        for path in sorted((space.output.parent / "shop" / "events").glob("*.parquet"))
    )
    day = events["occurred_at"].dt.tz_localize(None).dt.normalize()
    known = events["known_at"].dt.tz_localize(None) < pd.Timestamp(SECOND)
    near = (day < pd.Timestamp(SECOND)) & (day >= pd.Timestamp(SECOND) - pd.Timedelta(days=30))
    texts = events["event_type"].eq("message_sent") & events["channel"].eq("sms")
    expected = set(events.loc[known & near & texts, "customer_id"].astype(str))
    assert set(found.rules.index[found.rules["texts"]]) == expected
    assert found.parameters["median_gap"] > 1
    week = (day >= pd.Timestamp(SECOND) - pd.Timedelta(days=7)) & (day < pd.Timestamp(SECOND))
    sent = events["event_type"].eq("message_sent") & known & week
    counts = events[sent].groupby(events["customer_id"].astype(str)).size()
    made = found.contacts[0]
    assert made[made > 0].astype(int).to_dict() == counts[counts > 0].to_dict()
