from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from campaigns.measurement import (
    CampaignEntries,
    campaign_effects,
    entries_from_audience,
    mean_difference,
    sample_ratio_p_value,
    unmeasured_campaigns,
)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        treated = (rng.random(1500) < 0.10).astype(float)
        control = (rng.random(500) < 0.08).astype(float)
        found = mean_difference(treated, control)
        covered += found.low <= 0.02 <= found.high
    assert 180 <= covered <= 198


def test_the_difference_agrees_with_welch() -> None:
    rng = np.random.default_rng(1)
    treated, control = rng.gamma(1, 10, 80), rng.gamma(1, 8, 30)
    found = mean_difference(treated, control)
    other = stats.ttest_ind(treated, control, equal_var=False)
    low, high = other.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.p_value == pytest.approx(other.pvalue)
    assert np.isnan(mean_difference(treated, control[:1]).low)
    assert mean_difference(np.ones(5), np.ones(5)).p_value == 1.0


def test_arms_that_contradict_the_draw_are_noticed() -> None:
    assert sample_ratio_p_value(800, 200, 0.2) > 0.9
    assert sample_ratio_p_value(900, 100, 0.2) < 1e-6
    assert np.isnan(sample_ratio_p_value(10, 0, 0.0))


def waves(n: int = 400, *, effect: float = 5.0, through: str = "2018-03-01") -> CampaignEntries:
    rng = np.random.default_rng(2)
    arm = np.where(rng.random(n) < 0.25, "control", "treatment")
    audience = pd.DataFrame(
        {
            "campaign_id": "back",
            "customer_id": [f"c{i}" for i in range(n)],
            "entered_at": pd.Timestamp("2018-01-01"),
            "arm": arm,
            "channel": np.where(np.arange(n) % 2, "email", "call"),
            "change": "added",
        }
    )
    rows = entries_from_audience(audience, {"back": (60, 0.25)})
    rows["stage"] = "lapsed"
    revenue = rng.gamma(2, 10, n) + effect * (arm == "treatment")
    rows["response"] = (rng.random(n) < 0.5).astype(float)
    rows["revenue"], rows["margin"] = revenue, revenue * 0.4
    return CampaignEntries(rows, pd.Timestamp(through))


def test_the_report_speaks_of_campaign_channel_and_stage() -> None:
    found = campaign_effects(waves()).set_index(["by", "group", "outcome"])
    assert set(found.index) == {
        (by, group, outcome)
        for by, group in [
            ("all", "all"), ("channel", "email"), ("channel", "call"), ("stage", "lapsed"),
        ]
        for outcome in ("response", "revenue", "margin")
    }  # fmt: skip
    whole = found.loc[("all", "all", "revenue")]
    assert whole["low"] < 5 < whole["high"]
    assert whole["incremental_total"] == pytest.approx(whole["difference"] * whole["n_treatment"])
    assert found.loc[("all", "all", "margin"), "difference"] == pytest.approx(
        0.4 * whole["difference"]
    )
    assert whole["note"] == ""


def test_removing_people_after_the_draw_is_told() -> None:
    bent = waves()
    rows = bent.rows[(bent.rows["arm"] == "treatment") | (np.arange(400) % 3 == 0)]
    found = campaign_effects(CampaignEntries(rows, bent.data_through))
    assert "do not trust" in found.loc[found["by"] == "all", "note"].iloc[0]


def test_small_arms_show_no_figures() -> None:
    found = campaign_effects(waves(60))
    assert found["difference"].isna().all()
    assert found["note"].str.contains("under 30").all()


def test_what_has_not_matured_is_listed_and_not_measured() -> None:
    early = waves(through="2018-02-28")
    assert campaign_effects(early).empty
    waiting = unmeasured_campaigns(early, ["back", "never"]).set_index("campaign_id")
    assert waiting.loc["back", "measurable_from"] == pd.Timestamp("2018-03-02")
    assert waiting.loc["back", "people"] == 400
    assert waiting.loc["never", "reason"] == "nobody has entered it"
    # Sixty days from the first of January end with the first of March.
    assert unmeasured_campaigns(waves(through="2018-03-01"), ["back"]).empty
