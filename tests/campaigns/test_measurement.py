from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from campaigns.measurement import (
    CampaignEntries,
    campaign_effects,
    entries_from_audience,
    unmeasured_campaigns,
    wave_sizes,
)


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
    rows["orders"] = 1.0 + rng.poisson(0.5, n)
    rows["revenue"], rows["margin"] = revenue, revenue * 0.4
    return CampaignEntries(rows, pd.Timestamp(through))


def test_the_report_speaks_of_campaign_channel_and_stage() -> None:
    found = campaign_effects(waves(), seed=1).set_index(["by", "group_name", "outcome"])
    assert set(found.index) == {
        (by, group, outcome)
        for by, group in [
            ("all", "all"), ("channel", "email"), ("channel", "call"), ("stage", "lapsed"),
        ]
        for outcome in ("response", "orders", "revenue", "profit", "revenue_per_order")
    }  # fmt: skip
    whole = found.loc[("all", "all", "revenue")]
    assert whole["low"] < 5 < whole["high"]
    assert whole["incremental_total"] == pytest.approx(whole["difference"] * whole["n_treatment"])
    assert found.loc[("all", "all", "profit"), "difference"] == pytest.approx(
        0.4 * whole["difference"]
    )
    assert whole["note"] == ""


def test_removing_people_after_the_draw_is_told() -> None:
    bent = waves()
    rows = bent.rows[(bent.rows["arm"] == "treatment") | (np.arange(400) % 3 == 0)]
    found = campaign_effects(CampaignEntries(rows, bent.data_through), seed=1)
    assert "do not trust" in found.loc[found["by"] == "all", "note"].iloc[0]


def test_small_arms_show_no_figures() -> None:
    found = campaign_effects(waves(60), seed=1)
    assert found["difference"].isna().all()
    assert found["note"].str.contains("under 30").all()


def test_what_has_not_matured_is_listed_and_not_measured() -> None:
    early = waves(through="2018-02-28")
    assert campaign_effects(early, seed=1).empty
    waiting = unmeasured_campaigns(early, ["back", "never"]).set_index("campaign_id")
    assert waiting.loc["back", "measurable_from"] == pd.Timestamp("2018-03-02")
    assert waiting.loc["back", "people"] == 400
    assert waiting.loc["never", "reason"] == "nobody has entered it"
    # Sixty days from the first of January end with the first of March.
    assert unmeasured_campaigns(waves(through="2018-03-01"), ["back"]).empty


def test_contacts_and_discounts_are_taken_off_the_margin_of_the_treated() -> None:
    plain = waves()
    costly = plain.rows.assign(contact_cost=2.0, discount=0.1)
    effects = {
        name: campaign_effects(
            CampaignEntries(rows, plain.data_through), seed=1, dimensions=()
        ).set_index("outcome")
        for name, rows in (("plain", plain.rows), ("costly", costly))
    }
    profit = {name: table.loc["profit", "difference"] for name, table in effects.items()}
    treated = plain.rows["arm"] == "treatment"
    costs = 2.0 + 0.1 * plain.rows.loc[treated, "revenue"].mean()
    assert profit["costly"] == pytest.approx(profit["plain"] - costs)
    revenue = effects["costly"].loc["revenue"]
    assert revenue["cost_total"] == pytest.approx(costs * treated.sum())
    assert revenue["incremental_per_cost"] == pytest.approx(revenue["difference"] / costs)
    assert effects["plain"]["cost_total"].eq(0).all()
    assert effects["plain"]["incremental_per_cost"].isna().all()


def test_held_out_customers_with_a_message_are_counted_and_named() -> None:
    plain = waves()
    assert campaign_effects(plain, seed=1)["control_contacted"].isna().all()
    control = plain.rows["arm"] == "control"
    for reached, noted in ((2, False), (20, True)):
        contacted = (~control).astype(float)
        contacted[plain.rows.index[control][:reached]] = 1.0
        rows = plain.rows.assign(contacted=contacted)
        whole = campaign_effects(
            CampaignEntries(rows, plain.data_through), seed=1, dimensions=()
        ).set_index("outcome")
        assert (whole["control_contacted"] == reached).all()
        text = f"{reached} of {control.sum()} held-out customers got a message all the same"
        assert whole["note"].str.startswith(text).all() == noted


def test_a_ratio_has_an_interval_and_no_total() -> None:
    ratio = campaign_effects(waves(), seed=1).set_index(["by", "outcome"])
    line = ratio.loc[("all", "revenue_per_order")]
    rows = waves().rows.groupby("arm")[["revenue", "orders"]].sum()
    means = rows["revenue"] / rows["orders"]
    assert line["treatment"] - line["control"] == pytest.approx(line["difference"])
    assert line["difference"] == pytest.approx(means["treatment"] - means["control"])
    assert line["low"] < line["difference"] < line["high"]
    assert pd.isna(line["incremental_total"])


def test_an_effect_is_answered_and_none_is_not() -> None:
    strong = campaign_effects(waves(4000, effect=10.0), seed=1).set_index(["by", "outcome"])
    assert strong.loc[("stage", "revenue"), "answer"] == "gain"
    assert strong.loc[("stage", "response"), "answer"] == "not yet"
    assert (strong["low_any_time"] <= strong["low"]).all()
    assert (strong["q_value"] >= strong["p_any_time"] - 1e-12).all()


def test_a_changed_control_share_between_waves_is_no_effect() -> None:
    rng = np.random.default_rng(3)
    first, second = waves(4000, effect=0.0).rows, waves(4000, effect=0.0).rows
    share = np.where(rng.random(4000) < 0.6, "control", "treatment")
    second = second.assign(
        arm=share, control_share=0.6, entered_at=pd.Timestamp("2018-01-08"), revenue=0.0,
        margin=0.0, response=0.0,
    )  # fmt: skip
    rows = pd.concat([first, second], ignore_index=True)
    effects = campaign_effects(CampaignEntries(rows, pd.Timestamp("2018-06-01")), seed=1)
    assert (effects["answer"] == "not yet").all()
    assert (effects["low"] <= 0).all()
    assert list(wave_sizes(CampaignEntries(rows, pd.Timestamp("2018-06-01")))["n_control"]) == [
        int((first["arm"] == "control").sum()), int((share == "control").sum())
    ]  # fmt: skip


def test_small_lists_say_how_many_people_an_answer_needs() -> None:
    small = campaign_effects(waves(60), seed=1)
    assert (small["answer"] == "too small").all()
    assert (small["people_needed"] == 120).all()
