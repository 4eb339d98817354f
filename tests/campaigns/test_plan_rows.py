"""Every cell of a plan's table and of an audience, on four customers whose numbers are round."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from campaigns.customer_context import CustomerContext
from campaigns.expected_value import RESPONSE_LABEL
from campaigns.holdout import assign_arms
from campaigns.planning import TABLE_COLUMNS
from tests.campaigns.campaign_examples import SNAPSHOT, plan, playbook

FOUR = pd.DataFrame(
    {
        "customer_id": ["d", "a", "c", "b"],
        "stage": ["lapsed", "lapsed", "retention", "lapsed"],
        "p_reactivate": [0.5, 0.25, 0.75, None],
        "clv": [100.0, 40.0, 80.0, 8.0],
    }
)
LATER = dt.date(2018, 1, 11)


def test_every_cell_of_the_table() -> None:
    book = playbook(channel=["email", "letter"], control_share=0.5)
    made = plan(FOUR, book, context=CustomerContext(held={"back": "first run"}))
    assert tuple(made.table.columns) == TABLE_COLUMNS
    (row,) = made.table.to_dict("records")
    drawn = assign_arms(["d", "a"], salt="s", campaign="back", wave="2018-01-01", control_share=0.5)
    treated = drawn == "treatment"
    value = np.array([0.5 * 100, 0.25 * 40]) * 0.8 - 0.5
    effect = row.pop("smallest_detectable_effect")
    assert np.isnan([row.pop("place_price"), row.pop("budget_price")]).all()  # by priority
    assert row == {
        "campaign_id": "back",
        "title": "Back",
        "kind": "promotional",
        "priority": 10,
        "channel": "email, letter",
        "eligible": 2,
        "barred": 0,
        "overlap": 0,
        "members": 2,
        "treatment": treated.sum(),
        "control": (~treated).sum(),
        "added": 2,
        "kept": 0,
        "removed": 0,
        "expected_value": pytest.approx(value[treated].sum()),
        "cost": 0.5 * treated.sum(),
        "base_rate": 0.375,
        "people_needed": 60,
        "suggested_control_share": None,
        "value_label": RESPONSE_LABEL,
        "value_means": "an order",
        "consent_basis": "not_recorded",
        "plan_only": True,
        "held": "first run",
    }
    assert effect == pytest.approx(np.sqrt(7.84 * 0.375 * 0.625 / (2 * 0.25)))
    assert made.exclusions.to_dict("records") == [
        {"campaign_id": "back", "reason": "not in stage lapsed", "customers": 1},
        {
            "campaign_id": "back",
            "reason": "rule not met: chance of coming back is at least 10 %",
            "customers": 1,
        },
    ]
    assert list(made.customers) == ["a", "b", "c", "d"]
    assert list(made.why["back"]) == [
        "", "rule not met: chance of coming back is at least 10 %", "not in stage lapsed", "",
    ]  # fmt: skip
    assert (made.snapshot_at, made.playbooks) == (pd.Timestamp(SNAPSHOT), (book,))


def test_every_cell_of_an_audience_and_what_a_member_keeps() -> None:
    book = playbook(channel=["letter", "email"], control_share=0.5, expires_days=30)
    first = plan(FOUR, book).audience
    drawn = assign_arms(["d", "a"], salt="s", campaign="back", wave="2018-01-01", control_share=0.5)
    told = {
        "campaign_id": "back",
        "snapshot_at": pd.Timestamp(SNAPSHOT),
        "channel": "letter",
        "change": "added",
        "entered_at": pd.Timestamp(SNAPSHOT),
        "expires_at": pd.Timestamp("2018-01-31"),
    }
    of_offers = ["offer_name", "propensity", "propensities", "send_hour", "send_weekday"]
    assert first[of_offers].isna().all(axis=None)
    assert first.drop(columns=of_offers).to_dict("records") == [
        told | {"customer_id": "d", "rank": 1.0, "expected_value": 39.5, "arm": drawn[0],
                "reasons": "stage lapsed; chance of coming back 50 %"},
        told | {"customer_id": "a", "rank": 2.0, "expected_value": 7.5, "arm": drawn[1],
                "reasons": "stage lapsed; chance of coming back 25 %"},
    ]  # fmt: skip
    # Ten days later: one stays as they came, one has come back, one is new in a wave of its own.
    now = FOUR.assign(stage=["lapsed", "retention", "retention", "lapsed"], p_reactivate=1.0)
    made = plan(now, book, at=LATER, previous=first)
    (row,) = made.table.to_dict("records")
    counts = ("eligible", "members", "added", "kept", "removed")
    assert {name: row[name] for name in counts} == {
        "eligible": 2, "members": 2, "added": 1, "kept": 1, "removed": 1,
    }  # fmt: skip
    rows = made.audience.set_index("customer_id")
    new = assign_arms(["b"], salt="s", campaign="back", wave="2018-01-11", control_share=0.5)[0]
    assert rows.loc["d", ["change", "arm", "entered_at", "expires_at"]].tolist() == [
        "kept", drawn[0], pd.Timestamp(SNAPSHOT), pd.Timestamp("2018-01-31"),
    ]  # fmt: skip
    assert rows.loc["b", ["change", "arm", "entered_at", "expires_at"]].tolist() == [
        "added", new, pd.Timestamp(LATER), pd.Timestamp("2018-02-10"),
    ]  # fmt: skip
    assert rows.loc["a", ["change", "reasons"]].tolist() == ["removed", "not in stage lapsed"]
    assert set(made.audience["snapshot_at"]) == {pd.Timestamp(LATER)}


def test_who_fits_two_campaigns_is_counted_as_overlap_in_promotional_ones_only() -> None:
    books = [
        playbook(campaign="one", priority=1),
        playbook(campaign="two", priority=2, audience={"column": "p_reactivate", ">=": 0.4}),
        playbook(campaign="care", priority=3, kind="service", control_share=0),
    ]
    table = plan(FOUR, *books).table.set_index("campaign_id")
    assert table["overlap"].to_dict() == {"one": 1, "two": 1, "care": 0}
    assert table["eligible"].to_dict() == {"one": 2, "two": 1, "care": 2}
    assert table["members"].to_dict() == {"one": 2, "two": 0, "care": 2}


def test_a_campaign_without_value_or_base_rate_says_so() -> None:
    book = playbook(
        kind="service",
        control_share=0,
        value=None,
        success={"metric": "elsewhere", "within_days": 60},
    )
    (row,) = plan(FOUR, book).table.to_dict("records")
    assert (row["value_label"], row["value_means"]) == ("no value set", "")
    assert np.isnan(row["base_rate"])
    assert row["cost"] == 1.0


@pytest.mark.parametrize(
    ("consent", "plan_only"), [("not_recorded", True), ("managed_elsewhere", False)]
)
def test_without_recorded_consent_a_plan_is_only_looked_at(consent: str, plan_only: bool) -> None:
    made = plan(FOUR, playbook(), consent=consent)
    assert made.plan_only == plan_only
    assert list(made.table["plan_only"]) == [plan_only]
    assert list(made.table["consent_basis"]) == [consent]


def test_the_words_of_wrong_inputs() -> None:
    twice = FOUR.assign(customer_id=["a", "a", "b", "c"])
    with pytest.raises(ValueError, match=r"^a customer appears twice in the scores$"):
        plan(twice, playbook())
    first = plan(FOUR, playbook()).audience
    said = "previous audience of 2018-01-01 00:00:00 for a snapshot 2018-01-01 00:00:00"
    with pytest.raises(ValueError, match=f"^{said}$"):
        plan(FOUR, playbook(), previous=first)
