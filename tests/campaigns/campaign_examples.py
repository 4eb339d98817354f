"""Small scored tables and playbooks for the campaign tests."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from campaigns.planning import CampaignPlan, plan_campaigns
from campaigns.playbook import Playbook
from campaigns.stage_set import StageSet

SNAPSHOT = dt.date(2018, 1, 1)
TAXONOMY = StageSet(
    "recency_frequency",
    ("lapsed", "loyalty", "conversion", "retention"),
    {"L": 28.0},
    {"lapsed": "purchase"},
)


def playbook(**changes: Any) -> Playbook:
    given: dict[str, Any] = {
        "campaign": "back",
        "title": "Back",
        "description": "Those who left.",
        "stages": {"other": ["lapsed"]},
        "trigger": [{"when": "stage_entered", "stage": "lapsed"}],
        "audience": {"column": "p_reactivate", ">=": 0.1},
        "expires_days": 60,
        "re_entry_days": 30,
        "rank_by": ["p_reactivate", "clv"],
        "value": {"product": ["p_reactivate", "clv"], "means": "an order"},
        "channel": "email",
        "offer": {"text": "20 %", "discount": 0.2},
        "contact_cost": 0.5,
        "control_share": 0.25,
        "success": {"metric": "orders", "within_days": 60, "base_rate": "p_reactivate"},
        "priority": 10,
    }
    if "success" not in changes and (
        changes.get("control_share") == 0 or changes.get("kind", "promotional") != "promotional"
    ):
        given["success"] = {"metric": "elsewhere", "within_days": 60}
    return Playbook.model_validate({**given, **changes})


def scores(n: int = 200, *, seed: int = 1) -> pd.DataFrame:
    """Scored rows, half of them lapsed, a few with missing values, in no order."""
    rng = np.random.default_rng(seed)
    stage = np.where(np.arange(n) % 2 == 0, "lapsed", "retention")
    frame = pd.DataFrame(
        {
            "customer_id": [f"c{i:05d}" for i in range(n)],
            "snapshot_at": pd.Timestamp(SNAPSHOT),
            "stage": stage,
            "stage_since": pd.Timestamp(SNAPSHOT) - pd.to_timedelta(rng.integers(1, 60, n), "D"),
            "p_reactivate": np.where(stage == "lapsed", rng.uniform(0, 1, n), np.nan),
            "p_churn": np.where(stage == "lapsed", np.nan, rng.uniform(0, 1, n)),
            "churn_band": pd.Series(rng.choice(["high", "medium", "low"], n)).where(
                stage != "lapsed"
            ),
            "value_tier": rng.choice(["top", "mid", "low"], n),
            "clv": rng.gamma(2.0, 50.0, n),
            "average_order_value": rng.gamma(3.0, 10.0, n),
            "flags": rng.choice(["[]", '["unresponsive"]', '["reengaging"]'], n, p=[0.8, 0.1, 0.1]),
        }
    )
    return frame.sample(frac=1, random_state=seed)


def plan(
    frame: pd.DataFrame,
    *playbooks: Playbook,
    at: dt.date = SNAPSHOT,
    previous: pd.DataFrame | None = None,
    **changes: Any,
) -> CampaignPlan:
    given: Mapping[str, Any] = {"taxonomy": TAXONOMY, "consent": "not_recorded", "salt": "s"}
    return plan_campaigns(
        frame, playbooks, snapshot_at=at, previous=previous, **{**given, **changes}
    )
