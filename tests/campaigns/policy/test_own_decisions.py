from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from campaigns.answers import GLOBAL_HOLDOUT
from campaigns.holdout import CONTROL, TREATMENT
from campaigns.measurement import CampaignEntries
from campaigns.playbook_parts import NOTHING
from campaigns.policy.own_decisions import MESSAGE, own_decisions


def entries(campaign: str = "win_back", share: float = 0.25, n: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    treated = rng.random(n) >= share
    response = (rng.random(n) < 0.1 + 0.1 * treated).astype(float)
    return pd.DataFrame(
        {
            "campaign_id": campaign,
            "customer_id": [f"c{i // 2}" for i in range(n)],
            "entered_at": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(n) % 2, "D"),
            "arm": np.where(treated, TREATMENT, CONTROL),
            "stage": "lapsed",
            "channel": "email",
            "control_share": share,
            "matures_at": pd.Timestamp("2024-03-01"),
            "contact_cost": 0.5,
            "discount": 0.2,
            "response": response,
            "orders": response,
            "revenue": 50 * response,
            "margin": 20 * response,
        }
    )


def test_the_arms_are_the_offers_and_the_planned_shares_their_propensities() -> None:
    rows = entries()
    log = own_decisions(CampaignEntries(rows, pd.Timestamp("2024-12-31")))
    treated = rows["arm"] == TREATMENT
    assert (log["offer"] == np.where(treated, MESSAGE, NOTHING)).all()
    assert set(log.groupby("offer")["propensity"].unique().map(tuple)) == {(0.75,), (0.25,)}
    buyer = log[(log["offer"] == MESSAGE) & (log["orders"] > 0)].iloc[0]
    assert buyer["reward"] == pytest.approx(20 - 0.2 * 50 - 0.5)
    assert (log.loc[log["offer"] == NOTHING, "reward"] == rows.loc[~treated, "margin"]).all()
    assert log["person"].nunique() == rows["customer_id"].nunique()
    assert "customer_id" not in log


def test_only_matured_entries_with_a_draw_are_decisions() -> None:
    parts = [
        entries(),
        entries(GLOBAL_HOLDOUT),
        entries(f"{GLOBAL_HOLDOUT}/2024-01"),
        entries("everybody", share=0.0),
        entries("late").assign(matures_at=pd.Timestamp("2025-02-01")),
    ]
    rows = pd.concat(parts, ignore_index=True)
    log = own_decisions(CampaignEntries(rows, pd.Timestamp("2024-12-31")))
    assert set(log["campaign"]) == {"win_back"}
    assert len(log) == len(parts[0])


def test_without_margins_the_reward_is_the_revenue_less_costs() -> None:
    rows = entries().assign(margin=np.nan)
    log = own_decisions(CampaignEntries(rows, pd.Timestamp("2024-12-31")))
    buyer = log[(log["offer"] == MESSAGE) & (log["orders"] > 0)].iloc[0]
    assert buyer["reward"] == pytest.approx(50 - 0.2 * 50 - 0.5)


def test_of_several_offers_each_decision_has_the_offer_and_the_probability_of_its_draw() -> None:
    rows = entries()
    treated = rows["arm"] == TREATMENT
    offer = np.where(treated, np.where(np.arange(len(rows)) % 2, "code", "gift"), NOTHING)
    propensity = np.where(treated, np.where(np.arange(len(rows)) % 3, 0.65, 0.05), 0.25)
    log = own_decisions(
        CampaignEntries(
            pd.concat(
                [rows.assign(offer_name=offer, propensity=propensity), entries("plain")],
                ignore_index=True,
            ),
            pd.Timestamp("2024-12-31"),
        )
    )
    several = log[log["campaign"] == "win_back"]
    assert (several["offer"] == offer).all()
    assert (several["propensity"] == propensity).all()
    assert set(log.loc[log["campaign"] == "plain", "offer"]) == {MESSAGE, NOTHING}
