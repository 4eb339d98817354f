"""One's own campaigns as a log of decisions: who entered got an offer, or nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd

from campaigns.answers import GLOBAL_HOLDOUT
from campaigns.holdout import TREATMENT
from campaigns.measurement import COVARIATES, CampaignEntries
from campaigns.playbook_parts import NOTHING

MESSAGE = "message"


def own_decisions(entries: CampaignEntries) -> pd.DataFrame:
    """Entries with a complete measurement period, as a log of decisions.

    Returns
    -------
    DataFrame
        One row per entry into a campaign with control customers: campaign, entered_at, stage,
        channel, offer (its name, `MESSAGE` in campaigns without ``offers``, `NOTHING` in the
        control arm), propensity (logged with the draw, or the planned share of the arm), reward
        (margin less contact and discount; without known margins revenue less them), person (a
        number: no ids leave the store), propensities (JSON of all offers that could be drawn; null
        without ``offers``), response, orders, revenue, and scores at entry where they are known.
    """
    rows = entries.matured
    is_campaign = ~rows["campaign_id"].astype(str).str.startswith(GLOBAL_HOLDOUT)
    is_drawn = (rows["control_share"] > 0) & (rows["control_share"] < 1)
    rows = rows[is_campaign & is_drawn]
    treated = rows["arm"] == TREATMENT
    known_scores = [name for name in COVARIATES if name in rows and rows[name].notna().any()]
    drawn = rows.reindex(columns=["offer_name", "propensity", "propensities"])
    arm_share = np.where(treated, 1 - rows["control_share"], rows["control_share"])
    arm_offer = np.where(treated, MESSAGE, NOTHING)
    outcomes = rows.reindex(columns=["response", "orders", "revenue", *known_scores])
    decisions = pd.DataFrame(
        {
            "campaign": rows["campaign_id"],
            "entered_at": pd.to_datetime(rows["entered_at"]).dt.strftime("%Y-%m-%d"),
            "stage": rows["stage"],
            "channel": rows["channel"],
            "offer": drawn["offer_name"].where(drawn["offer_name"].notna(), arm_offer),
            "propensity": drawn["propensity"].where(drawn["propensity"].notna(), arm_share),
            "reward": rows["profit"].fillna(rows["revenue"] - rows["cost"]),
            "person": pd.factorize(rows["customer_id"], sort=True)[0],
        }
    )
    decisions["propensities"] = drawn["propensities"]
    return decisions.join(outcomes).reset_index(drop=True)
