"""Membership over time: earlier members, who stays, and who may not re-enter yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from campaigns.playbook import Playbook
from campaigns.rules import BoolArray, RuleContext, TextArray

# One row per (campaign_id, customer_id); `rank` and `expected_value` are null if removed.
# `offer_name`, `propensity` (probability with which this offer, or nothing, was drawn) and
# `propensities` (JSON: the same of every offer that could have been drawn) are null in campaigns
# without `offers`. `send_hour` (0 to 23) and `send_weekday` (a name) are null outside the treatment
# arm, without `send_time: customer`, and where no own time is known to beat that of all.
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
    "offer_name": "str",
    "propensity": "float64",
    "propensities": "str",
    "send_hour": "float64",
    "send_weekday": "str",
}

_Dates = npt.NDArray[np.datetime64]


@dataclass(frozen=True)
class EarlierMembership:
    """Earlier membership of each scored customer; all arrays have shape (customers,).

    Attributes
    ----------
    eligible
        Customer meets the stage and the audience rule.
    staying
        Earlier member whose membership continues.
    entry_barrier
        Why an earlier member may not re-enter now; empty if allowed.
    arm, entered_at, expires_at, offer, propensity, propensities
        Data of the earlier membership; None, NaT and NaN without one.
    """

    eligible: BoolArray
    staying: BoolArray
    entry_barrier: TextArray
    arm: TextArray
    entered_at: _Dates
    expires_at: _Dates
    offer: TextArray
    propensity: npt.NDArray[np.float64]
    propensities: TextArray


def _earlier_rows(campaign: str, previous: pd.DataFrame | None) -> pd.DataFrame:
    """Latest audience row of every customer of one campaign, indexed by customer."""
    if previous is None:
        return pd.DataFrame(columns=list(AUDIENCE_COLUMNS)).set_index("customer_id")
    return previous[previous["campaign_id"] == campaign].set_index("customer_id")


def earlier_membership(
    playbook: Playbook,
    customers: pd.Series[Any],
    previous: pd.DataFrame | None,
    *,
    failure: TextArray,
    leaving: BoolArray,
    rule_context: RuleContext,
) -> EarlierMembership:
    """Earlier membership of the scored customers in a campaign.

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
    rule_context
        Date of the scores.
    """
    if previous is None or not (previous["campaign_id"] == playbook.campaign).any():
        return _no_earlier_membership(failure)
    earlier = _earlier_rows(playbook.campaign, previous).reindex(customers)
    snapshot_at = rule_context.snapshot_at.to_datetime64()
    entered_at, expires_at, last_recorded = (
        pd.to_datetime(earlier[name]).to_numpy(dtype="datetime64[s]")
        for name in ("entered_at", "expires_at", "snapshot_at")
    )
    has_record = earlier["change"].notna().to_numpy(dtype=bool)
    was_member = has_record & (earlier["change"] != "removed").to_numpy(dtype=bool)
    has_expired = was_member & (expires_at <= snapshot_at)
    rest_period = np.timedelta64(playbook.re_entry_days, "D")
    resting = has_record & ~was_member & (last_recorded + rest_period > snapshot_at)
    entry_barrier = np.full(len(earlier), "", dtype=object)
    is_eligible = failure == ""
    entry_barrier[was_member & leaving & is_eligible] = "left: exit rule met"
    entry_barrier[resting & is_eligible] = f"left less than {playbook.re_entry_days} days ago"
    entry_barrier[has_expired] = "left: membership expired"
    return EarlierMembership(
        eligible=is_eligible,
        staying=was_member & ~leaving & ~has_expired,
        entry_barrier=entry_barrier,
        arm=earlier["arm"].to_numpy(dtype=object),
        entered_at=entered_at,
        expires_at=expires_at,
        # Memberships of earlier versions have none of them.
        offer=_texts(earlier, "offer_name"),
        propensity=earlier.reindex(columns=["propensity"])["propensity"].to_numpy(dtype=float),
        propensities=_texts(earlier, "propensities"),
    )


def _texts(rows: pd.DataFrame, column: str) -> TextArray:
    """Cells of a text column; None where there is no text or no such column."""
    texts = rows.reindex(columns=[column])[column].astype(object)
    return np.asarray(texts.where(texts.notna(), None).to_numpy(dtype=object))


def _no_earlier_membership(failure: TextArray) -> EarlierMembership:
    """Earlier membership for a campaign without earlier members."""
    customer_count = len(failure)
    no_dates = np.full(customer_count, np.datetime64("NaT"), dtype="datetime64[s]")
    return EarlierMembership(
        eligible=failure == "",
        staying=np.zeros(customer_count, dtype=bool),
        entry_barrier=np.full(customer_count, "", dtype=object),
        arm=np.full(customer_count, None, dtype=object),
        entered_at=no_dates,
        expires_at=no_dates,
        offer=np.full(customer_count, None, dtype=object),
        propensity=np.full(customer_count, np.nan),
        propensities=np.full(customer_count, None, dtype=object),
    )


def removed_rows(
    playbook: Playbook,
    previous: pd.DataFrame | None,
    *,
    staying: pd.Series[Any],
    removal_reasons: Mapping[str, str],
    rule_context: RuleContext,
) -> pd.DataFrame:
    """Audience rows of earlier members who have left the campaign.

    Parameters
    ----------
    playbook
        The campaign.
    previous
        Last word on each campaign and customer, or None.
    staying
        Ids of the present members.
    removal_reasons
        Customer -> reason; customers without an entry are no longer scored.
    rule_context
        Date of the scores.
    """
    former_members = _earlier_rows(playbook.campaign, previous)
    former_members = former_members[
        (former_members["change"] != "removed") & ~former_members.index.isin(staying)
    ].sort_index()
    removed = former_members.reset_index().assign(
        snapshot_at=rule_context.snapshot_at, rank=np.nan, expected_value=np.nan, change="removed"
    )
    removed = removed.assign(send_hour=np.nan, send_weekday=None)
    removed["reasons"] = [
        removal_reasons.get(customer, "no longer scored") for customer in removed["customer_id"]
    ]
    return removed.reindex(columns=list(AUDIENCE_COLUMNS))
