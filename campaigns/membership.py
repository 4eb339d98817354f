"""Membership over time: who was in a campaign before, who may stay, who may not enter yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from campaigns.playbook import Playbook
from campaigns.rules import BoolArray, Moment, Text

# One row per (campaign_id, customer_id); `rank` and `expected_value` are null for the removed.
AUDIENCE_COLUMNS: Mapping[str, str] = {
    "campaign_id": "str",
    "customer_id": "str",
    "snapshot_at": "datetime64[s]",
    "channel": "str",
    "rank": "float64",
    "expected_value": "float64",
    "arm": "str",
    "change": "str",
    "entered_at": "datetime64[s]",
    "expires_at": "datetime64[s]",
    "reasons": "str",
}

Dates = npt.NDArray[np.datetime64]


@dataclass(frozen=True)
class Standing:
    """Where each scored customer stands in a campaign; all of shape (customers,).

    Attributes
    ----------
    eligible
        Meets stage and audience rule.
    staying
        Was a member, and nothing ends the membership.
    bar
        Why an earlier member may not (re-)enter now; empty where nothing bars.
    arm, entered_at, expires_at
        Of the earlier membership; None and NaT where there was none.
    """

    eligible: BoolArray
    staying: BoolArray
    bar: Text
    arm: Text
    entered_at: Dates
    expires_at: Dates


def earlier_rows(campaign: str, previous: pd.DataFrame | None) -> pd.DataFrame:
    """Last word on every customer of one campaign, indexed by customer."""
    if previous is None:
        return pd.DataFrame(columns=list(AUDIENCE_COLUMNS)).set_index("customer_id")
    return previous[previous["campaign_id"] == campaign].set_index("customer_id")


def standing(
    playbook: Playbook,
    customers: pd.Series[Any],
    previous: pd.DataFrame | None,
    *,
    failure: Text,
    leaving: BoolArray,
    moment: Moment,
) -> Standing:
    """Standing of the scored customers, from the last word on them.

    Parameters
    ----------
    playbook
        The campaign.
    customers
        Customer ids of the scored rows.
    previous
        Last word on each campaign and customer, or None.
    failure
        First gate each customer fails, empty where none.
    leaving
        Whether stage or exit rule ends a membership.
    moment
        Date of the scores.
    """
    if previous is None or not (previous["campaign_id"] == playbook.campaign).any():
        return _nobody_before(failure)
    rows = earlier_rows(playbook.campaign, previous).reindex(customers)
    now = moment.snapshot_at.to_datetime64()
    entered, expires, seen = (
        pd.to_datetime(rows[name]).to_numpy(dtype="datetime64[s]")
        for name in ("entered_at", "expires_at", "snapshot_at")
    )
    known = rows["change"].notna().to_numpy(dtype=bool)
    was_member = known & (rows["change"] != "removed").to_numpy(dtype=bool)
    expired = was_member & (expires <= now)
    rest = np.timedelta64(playbook.re_entry_days, "D")
    resting = known & ~was_member & (seen + rest > now)
    bar = np.full(len(rows), "", dtype=object)
    fits = failure == ""
    bar[was_member & leaving & fits] = "left: exit rule met"
    bar[resting & fits] = f"left less than {playbook.re_entry_days} days ago"
    bar[expired] = "left: membership expired"
    return Standing(
        eligible=fits,
        staying=was_member & ~leaving & ~expired,
        bar=bar,
        arm=rows["arm"].to_numpy(dtype=object),
        entered_at=entered,
        expires_at=expires,
    )


def _nobody_before(failure: Text) -> Standing:
    """Standing where nobody has been in the campaign yet."""
    n = len(failure)
    never = np.full(n, np.datetime64("NaT"), dtype="datetime64[s]")
    return Standing(
        eligible=failure == "",
        staying=np.zeros(n, dtype=bool),
        bar=np.full(n, "", dtype=object),
        arm=np.full(n, None, dtype=object),
        entered_at=never,
        expires_at=never,
    )


def removed_rows(
    playbook: Playbook,
    previous: pd.DataFrame | None,
    *,
    staying: pd.Series[Any],
    why: Mapping[str, str],
    moment: Moment,
) -> pd.DataFrame:
    """Audience rows of earlier members who are in the campaign no longer.

    Parameters
    ----------
    playbook
        The campaign.
    previous
        Last word on each campaign and customer, or None.
    staying
        Ids of the present members.
    why
        Customer -> reason; who is not in it is no longer scored.
    moment
        Date of the scores.
    """
    rows = earlier_rows(playbook.campaign, previous)
    rows = rows[(rows["change"] != "removed") & ~rows.index.isin(staying)].sort_index()
    gone = rows.reset_index().assign(
        snapshot_at=moment.snapshot_at, rank=np.nan, expected_value=np.nan, change="removed"
    )
    gone["reasons"] = [why.get(customer, "no longer scored") for customer in gone["customer_id"]]
    return gone[list(AUDIENCE_COLUMNS)]
