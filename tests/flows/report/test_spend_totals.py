"""Totals of expected spend by group: sums, intervals where they can be had, and what is said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from flows.report.spend_totals import interval_text, spend_totals, totals_note

ERRORS = {"level": 0.1, "origins": 6.0, "dispersion": 2.0, "group": 0.2}
CUSTOMERS = 200


@pytest.fixture
def scores() -> pd.DataFrame:
    """120 active and 70 lapsed customers, and 10 leads."""
    return pd.DataFrame(
        {
            "customer_id": [f"c{number}" for number in range(CUSTOMERS)],
            "stage": ["active"] * 120 + ["lapsed"] * 70 + ["lead"] * 10,
            "value_tier": np.where(np.arange(CUSTOMERS) % 5, "low", "top"),
            "segment": ["Look after"] * 120 + ["Win back"] * 70 + ["Leads"] * 10,
            "clv": pd.array([100.0] * 120 + [30.0] * 70 + [None] * 10, dtype="Float64"),
            "historic_clv": [500.0] * 190 + [0.0] * 10,
        }
    )


@pytest.fixture
def plan() -> pd.DataFrame:
    return pd.DataFrame({"campaign_id": ["back", "none"], "title": ["Win back", "Empty"]})


def members(count: int, *, removed: int = 0) -> pd.DataFrame:
    """Members c120, c121, ... of the campaign, every fifth held out, the last ones removed."""
    numbers = np.arange(120, 120 + count + removed)
    return pd.DataFrame(
        {
            "campaign_id": "back",
            "customer_id": [f"c{number}" for number in numbers],
            "arm": np.where(numbers % 5, "treatment", "control"),
            "change": np.where(np.arange(count + removed) < count, "new", "removed"),
        }
    )


def test_every_group_has_its_sum_and_groups_of_a_kind_add_up(scores, plan):
    totals = spend_totals({"total_errors": ERRORS}, scores, members(40, removed=5), plan)
    whole = totals[totals["by"] == "all"].iloc[0]
    assert whole["customers"] == CUSTOMERS
    assert whole["clv"] == pytest.approx(120 * 100 + 70 * 30)
    assert whole["spent"] == pytest.approx(190 * 500)
    for by in ("stage", "value tier", "segment"):
        lines = totals[totals["by"] == by]
        assert lines["clv"].sum() == pytest.approx(whole["clv"])
        assert lines["customers"].sum() == CUSTOMERS
    campaign = totals[totals["by"] == "campaign"]
    assert campaign["name"].tolist() == ["Win back"]
    assert campaign["customers"].tolist() == [40]  # both arms, without the removed
    assert campaign["clv"].tolist() == pytest.approx([40 * 30])


def test_intervals_hold_the_sums_and_small_groups_have_none(scores, plan):
    totals = spend_totals({"total_errors": ERRORS}, scores, members(29), plan)
    known = totals[totals["low"].notna()]
    assert ((known["low"] < known["clv"]) & (known["clv"] < known["high"])).all()
    relative = ((totals["high"] - totals["low"]) / totals["clv"]).to_numpy()
    assert (relative[1:][~np.isnan(relative[1:])] > relative[0]).all()
    unknown = totals[totals["low"].isna()]
    assert list(zip(unknown["by"], unknown["name"], strict=True)) == [
        ("stage", "lead"),
        ("segment", "Leads"),
        ("campaign", "Win back"),
    ]
    assert unknown["high"].isna().all()
    assert "fewer than 30 customers" in totals_note({"total_errors": ERRORS}, totals)


@pytest.mark.parametrize("run", [{}, {"total_errors": None}])
def test_without_a_past_there_are_sums_alone(scores, plan, run):
    totals = spend_totals(run, scores, members(40), plan)
    assert totals["clv"].iloc[0] == pytest.approx(120 * 100 + 70 * 30)
    assert totals[["low", "high"]].isna().all().all()
    assert "no intervals of totals yet" in totals_note(run, totals)


def test_the_note_says_what_the_errors_were_and_what_campaigns_leave_out(scores, plan):
    run = {"total_errors": ERRORS}
    note = totals_note(run, spend_totals(run, scores, members(40), plan))
    assert "all customers was off by 10%" in note
    assert "a group by 20% more" in note
    assert "without the effect of the campaign" in note
    no_members = members(0)
    assert "campaign" not in totals_note(run, spend_totals(run, scores, no_members, plan))


def test_scores_without_segments_have_no_lines_of_segments(scores, plan):
    totals = spend_totals({}, scores.drop(columns="segment"), members(40), plan)
    assert "segment" not in set(totals["by"])


def test_an_interval_reads_from_to_and_none_is_a_dash():
    assert interval_text(1000.4, 2000.0, "EUR") == "1,000 to 2,000 EUR"
    assert interval_text(np.nan, np.nan, "EUR") == "–"
