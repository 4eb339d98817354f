"""Tables of a plan: one row per campaign, one per offer, and one per reason of exclusion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from campaigns.candidates import CampaignCandidates
from campaigns.customer_context import CustomerContext
from campaigns.exploration import exploration_cost
from campaigns.holdout import (
    CONTROL,
    TREATMENT,
    people_needed,
    smallest_detectable_effect,
    suggested_control_share,
)
from campaigns.optimiser.problem import Solution
from campaigns.playbook import Playbook
from campaigns.playbook_parts import NOTHING
from campaigns.rules import TextArray, numeric_column

ConsentBasis = Literal["not_recorded", "managed_elsewhere", "recorded"]

TABLE_COLUMNS = (
    "campaign_id",
    "title",
    "kind",
    "priority",
    "channel",
    "eligible",
    "barred",
    "overlap",
    "members",
    "treatment",
    "control",
    "added",
    "kept",
    "removed",
    "expected_value",
    "cost",
    "base_rate",
    "smallest_detectable_effect",
    "people_needed",
    "suggested_control_share",
    "place_price",
    "budget_price",
    "value_label",
    "value_means",
    "consent_basis",
    "plan_only",
    "held",
)

OFFERS_FILE = "plan_offers.csv"
OFFER_COLUMNS = (
    "campaign_id",
    "offer_name",
    "channel",
    "discount",
    "contact_cost",
    "capacity",
    "members",
    "explored",
    "expected_value",
    "cost",
    "exploration_cost",
    "place_price",
    "value_label",
)


def table_row(
    campaign: CampaignCandidates,
    rows: pd.DataFrame,
    members: pd.DataFrame,
    removed: pd.DataFrame,
    *,
    consent: ConsentBasis,
    context: CustomerContext,
    overlap: Any,
) -> dict[str, Any]:
    """Row of the plan table for one campaign."""
    playbook = campaign.playbook
    in_treatment = members["arm"] == TREATMENT
    base_rate = float("nan")
    if playbook.success.base_rate is not None and len(members):
        base_rates = numeric_column(rows, playbook.success.base_rate)[campaign.member]
        base_rate = (
            float(np.mean(base_rates[~np.isnan(base_rates)]))
            if (~np.isnan(base_rates)).any()
            else base_rate
        )
    overlapping = int((campaign.eligible & (overlap > 1)).sum()) if campaign.promotional else 0
    return {
        "campaign_id": playbook.campaign,
        "title": playbook.title,
        "kind": playbook.kind,
        "priority": playbook.priority,
        "channel": ", ".join(playbook.channels),
        "eligible": int(campaign.eligible.sum()),
        "barred": int(campaign.barred.sum()),
        "overlap": overlapping,
        "members": len(members),
        "treatment": int(in_treatment.sum()),
        "control": int((members["arm"] == CONTROL).sum()),
        "added": int((members["change"] == "added").sum()),
        "kept": int((members["change"] == "kept").sum()),
        "removed": len(removed),
        "expected_value": float(members.loc[in_treatment, "expected_value"].sum()),
        "cost": _contact_costs(campaign, int(in_treatment.sum())),
        "base_rate": base_rate,
        "smallest_detectable_effect": smallest_detectable_effect(
            len(members), base_rate, playbook.control_share
        ),
        "people_needed": people_needed(playbook.control_share),
        "suggested_control_share": None
        if playbook.success.effect is None
        else suggested_control_share(len(members), base_rate, playbook.success.effect),
        "value_label": campaign.contact_value.label(campaign.member)
        if playbook.value is not None
        else "no value set",
        "value_means": _value_means(playbook),
        "consent_basis": consent,
        "plan_only": consent == "not_recorded",
        "held": context.held.get(playbook.campaign, ""),
    }


def _contact_costs(campaign: CampaignCandidates, treated: int) -> float:
    """Cost of contacting the treatment arm, without discounts."""
    playbook = campaign.playbook
    if not playbook.offers:
        return treated * playbook.contact_cost
    costs = np.array([variant.contact_cost for variant in playbook.variants])
    has_offer = campaign.member & (campaign.arm == TREATMENT)
    return float(costs[campaign.offer[has_offer]].sum())


def _value_means(playbook: Playbook) -> str:
    """Meaning of the expected spend, with the share of it that is assumed to be caused."""
    if playbook.value is None:
        return ""
    if playbook.offers:
        shares = [
            f"{named.name} {named.incremental_share or playbook.value.incremental_share:.0%}"
            for named in playbook.offers
        ]
        return f"{playbook.value.means}; by assumption, of it {', '.join(shares)}"
    share = playbook.value.incremental_share
    return playbook.value.means + (f"; {share:.0%} of it by assumption" if share else "")


def exclusion_counts(campaigns: Sequence[CampaignCandidates]) -> pd.DataFrame:
    """Number of excluded customers per campaign and reason."""
    exclusion_rows = []
    for campaign in campaigns:
        reason_codes, distinct_reasons = pd.factorize(campaign.failure)
        for reason, customer_count in sorted(
            zip(distinct_reasons, np.bincount(reason_codes), strict=True)
        ):
            if reason:
                exclusion_rows.append(
                    (campaign.playbook.campaign, str(reason), int(customer_count))
                )
    return pd.DataFrame(exclusion_rows, columns=["campaign_id", "reason", "customers"])


def offer_names(campaign: CampaignCandidates) -> TextArray:
    """Offer of every customer; `NOTHING` in the control arm, None without `offers`."""
    if not campaign.playbook.offers:
        return np.full(len(campaign.offer), None, dtype=object)
    names = np.array([offer.name for offer in campaign.offers], dtype=object)
    return np.where(campaign.arm == CONTROL, NOTHING, names[campaign.offer])


def offer_table(campaigns: Sequence[CampaignCandidates], solution: Solution | None) -> pd.DataFrame:
    """Offers of the campaigns that have several, and ``nothing``.

    Returns
    -------
    DataFrame
        Columns `OFFER_COLUMNS`, one row per campaign and offer: ``capacity`` (null: no limit),
        ``members`` (treated members with the offer; of ``nothing`` the control arm), ``explored``
        (newcomers who drew it at random), ``expected_value`` and ``cost`` (sums over the members),
        ``exploration_cost`` (expected value given up by the draws that gave this offer),
        ``place_price`` (expected value of a further place of the offer, at most; null unless
        assigned by value) and ``value_label`` (by what the value is known).
    """
    prices = _prices_by_campaign(campaigns, solution)
    parts = [
        _offer_rows(campaign, prices.get(campaign.playbook.campaign))
        for campaign in campaigns
        if campaign.playbook.offers
    ]
    columns = list(OFFER_COLUMNS)
    return pd.DataFrame([row for part in parts for row in part], columns=columns)


def _prices_by_campaign(
    campaigns: Sequence[CampaignCandidates], solution: Solution | None
) -> dict[str, Any]:
    """Prices of the offers' places by campaign; empty unless assigned by value."""
    if solution is None or solution.prices.offer_place is None:
        return {}
    assigned = [campaign for campaign in campaigns if campaign.promotional]
    ends = np.cumsum([len(campaign.offers) for campaign in assigned])[:-1]
    prices = np.split(solution.prices.offer_place, ends)
    return {c.playbook.campaign: price for c, price in zip(assigned, prices, strict=True)}


def _offer_rows(campaign: CampaignCandidates, prices: Any) -> list[dict[str, Any]]:
    """Rows of one campaign's offers, then the row of nothing."""
    name, values, given_up = (
        campaign.playbook.campaign,
        campaign.contact_value,
        exploration_cost(campaign),
    )
    treated = campaign.member & (campaign.arm == TREATMENT)
    rows = []
    for number, (offer, variant) in enumerate(
        zip(campaign.offers, campaign.playbook.variants, strict=True)
    ):
        has_offer = treated & (campaign.offer == number)
        rows.append(
            {
                "campaign_id": name,
                "offer_name": offer.name,
                "channel": ", ".join(variant.channels),
                "discount": variant.discount,
                "contact_cost": variant.contact_cost,
                "capacity": offer.capacity if np.isfinite(offer.capacity) else None,
                "members": int(has_offer.sum()),
                "explored": int((has_offer & campaign.explored).sum()),
                "expected_value": float(np.nansum(values.expected[has_offer])),
                "cost": float(values.cost[has_offer].sum()),
                "exploration_cost": float(given_up[has_offer].sum()),
                "place_price": None if prices is None else float(prices[number]),
                "value_label": offer.value.label(has_offer),
            }
        )
    control = int((campaign.member & (campaign.arm == CONTROL)).sum())
    nothing = {"campaign_id": name, "offer_name": NOTHING, "channel": "", "members": control}
    zeros = dict.fromkeys(("discount", "contact_cost", "expected_value", "cost"), 0.0)
    nothing |= zeros | {"explored": 0, "exploration_cost": 0.0, "value_label": ""}
    return [*rows, nothing]
