"""Campaign planning: from scores and playbooks to the members of each campaign and their arms."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from campaigns.allocation import (
    RemainingContacts,
    admit_newcomers,
    best_first,
    keep_members,
    mark_held_out_addresses,
    resolve_shared_addresses,
)
from campaigns.candidates import (
    CampaignCandidates,
    campaign_candidates,
    capped_channels,
    needed_columns,
    with_exclusion_lists,
)
from campaigns.contact_price import Fatigue
from campaigns.customer_context import CustomerContext
from campaigns.expected_value import uplift_by_campaign, uplift_error_name, uplift_name
from campaigns.exploration import draw_arms, explore_offers
from campaigns.holdout import TREATMENT
from campaigns.membership import AUDIENCE_COLUMNS, removed_rows
from campaigns.membership_reasons import membership_reasons
from campaigns.offer_choice import OfferChoice
from campaigns.optimiser.problem import Solution
from campaigns.plan_prices import with_prices
from campaigns.plan_table import (
    OFFER_COLUMNS,
    TABLE_COLUMNS,
    ConsentBasis,
    exclusion_counts,
    offer_names,
    offer_table,
    table_row,
)
from campaigns.playbook import Playbook
from campaigns.rules import RuleContext
from campaigns.send_time import NO_SEND_TIMES, SendTimes, SendTimeTest
from campaigns.stage_set import StageSet


@dataclass(frozen=True)
class CampaignPlan:
    """Members of each campaign, exclusions with reasons, and expected results.

    Attributes
    ----------
    audience
        One row per (campaign_id, customer_id), the columns of `AUDIENCE_COLUMNS`: members by rank,
        then customers ``removed`` since the previous audience.
    exclusions
        One row per (campaign_id, reason): ``customers``, each counted at the first reason.
        Members and exclusions of a campaign add up to all scored customers.
    table
        One row per campaign, columns `TABLE_COLUMNS`: ``eligible`` (meet stage and rule),
        ``barred`` (eligible, but without consent, suppressed or in the global hold-out),
        ``overlap`` (also eligible for another promotional campaign), ``expected_value`` (sum over
        the treatment arm, net of discount and contact cost), ``cost`` (of contacting that arm),
        ``smallest_detectable_effect`` (difference of rates; null without control),
        ``people_needed`` (members below which no answer is possible), ``suggested_control_share``
        (detects the playbook's effect; null without one and if none does), ``place_price`` and
        ``budget_price`` (expected value of a further place, and of a further unit of its budget or
        of the common one, at most; null unless assigned by value), ``held`` (why the export waits;
        empty: it does not).
    why
        Campaign -> first reason of every scored customer; empty for members.
    customers
        Ids of the scored customers, in the order of the arrays in `why`.
    snapshot_at, consent
        Date of the scores; consent basis.
    playbooks
        The playbooks, in the order served.
    solution
        Total, bound and method of an assignment by value; None for one by priority.
    send_time_tests
        Own send times against the best time of all; empty if no playbook asks for them.
    offer_choices
        Campaign with ``offers`` -> values and choice of the offers of every customer.
    fatigue, contact_price
        What one more message does, and the mean price of one more contact over the treated
        members of promotional campaigns, in money; None without `contact_policy: contact_price`.
    offers
        One row per campaign with ``offers`` and offer, columns `OFFER_COLUMNS`; the last row of a
        campaign is ``nothing``, its control arm.
    """

    audience: pd.DataFrame
    exclusions: pd.DataFrame
    table: pd.DataFrame
    snapshot_at: pd.Timestamp
    consent: ConsentBasis
    playbooks: tuple[Playbook, ...]
    why: Mapping[str, Any] = field(default_factory=dict)
    customers: pd.Index[Any] = field(default_factory=lambda: pd.Index([]))
    solution: Solution | None = None
    send_time_tests: tuple[SendTimeTest, ...] = ()
    offer_choices: Mapping[str, OfferChoice] = field(default_factory=dict)
    fatigue: Fatigue | None = None
    contact_price: float | None = None
    offers: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(OFFER_COLUMNS)))

    @property
    def plan_only(self) -> bool:
        """True if no consent is recorded, so that audiences must not be contacted."""
        return self.consent == "not_recorded"


def plan_campaigns(
    scores: pd.DataFrame,
    playbooks: Sequence[Playbook],
    *,
    snapshot_at: dt.date,
    taxonomy: StageSet,
    previous: pd.DataFrame | None,
    consent: ConsentBasis,
    salt: str,
    context: CustomerContext | None = None,
    seed: int = 0,
) -> CampaignPlan:
    """Plan every campaign at one snapshot: members, arms and expected results.

    Members stay until they leave the playbook's stages, meet ``exit_on``, lose consent or expire,
    and keep their arm. Newcomers get the free places, by priority and rank or by the highest
    total expected value, within caps, capacities and budgets. Selection comes before
    randomisation, so that both arms are comparable. The same inputs give the same plan.

    Parameters
    ----------
    scores
        Scored rows of one snapshot, one per customer; at least ``customer_id`` and ``stage``.
    playbooks
        The campaigns.
    snapshot_at
        Date of the scores.
    taxonomy
        Name, stages and parameters of the taxonomy in use.
    previous
        Latest audience row per campaign and customer from earlier snapshots
        (`features.storage.scores_store.previous_audience`), or None.
    consent
        Consent basis of the config.
    salt
        Text that fixes the randomisation.
    context
        Customer facts beside the scores; default: none.
    seed
        Random seed of the solver.

    Raises
    ------
    UserError
        If a playbook does not fit the taxonomy or the type of a scored column.
    ValueError
        If a customer appears twice, or ``previous`` reaches the snapshot.
    """
    context = context or CustomerContext()
    rule_context = RuleContext(pd.Timestamp(snapshot_at), taxonomy.parameters)
    expanded = with_exclusion_lists(playbooks, taxonomy)
    rows = scores[needed_columns(scores, expanded)].sort_values("customer_id", ignore_index=True)
    _check(rows, previous, rule_context)
    customers = pd.Index(rows["customer_id"])
    context = context.aligned(customers)
    remaining = RemainingContacts(customers, context, capped_channels(expanded))
    books = [variant for book in expanded for variant in (book, *book.variants)]
    effects = [uplift_name(book) for book in books]
    errors = [
        uplift_error_name(name)
        for name, book in zip(effects, books, strict=True)
        if book.exploration == "thompson"
    ]
    uplifts = uplift_by_campaign(rows, [*effects, *errors])
    campaigns = [
        campaign_candidates(
            playbook,
            rows,
            previous,
            taxonomy=taxonomy,
            rule_context=rule_context,
            context=context,
            salt=salt,
            channel_room=(remaining.by_channel, remaining.channels),
            uplifts=uplifts,
        )
        for playbook in expanded
    ]
    resolve_shared_addresses(campaigns, customers, context.addresses)
    keep_members(campaigns, remaining)
    solution = admit_newcomers(campaigns, remaining, context, seed=seed)
    wave = rule_context.snapshot_at.date().isoformat()
    for campaign in campaigns:
        draw_arms(campaign, customers, salt=salt, wave=wave)
    explore_offers(
        [campaign for campaign in campaigns if campaign.promotional],
        remaining,
        customers,
        budget=context.policy.budget,
        salt=salt,
        wave=wave,
    )
    audience = [
        _members(campaign, rows, rule_context=rule_context, send_times=context.send_times)
        for campaign in campaigns
    ]
    mark_held_out_addresses(campaigns, audience, customers)
    removed = [
        _removed_members(campaign, previous, members, customers, rule_context)
        for campaign, members in zip(campaigns, audience, strict=True)
    ]
    overlap = np.sum([campaign.eligible for campaign in campaigns if campaign.promotional], axis=0)
    table = [
        table_row(
            campaign, rows, members, removed_part, consent=consent, context=context, overlap=overlap
        )
        for campaign, members, removed_part in zip(campaigns, audience, removed, strict=True)
    ]
    return CampaignPlan(
        audience=_concatenate(
            [part for pair in zip(audience, removed, strict=True) for part in pair]
        ),
        exclusions=exclusion_counts(campaigns),
        table=with_prices(
            pd.DataFrame(table, columns=list(TABLE_COLUMNS)),
            assigned=[campaign.promotional for campaign in campaigns],
            solution=solution,
        ),
        snapshot_at=rule_context.snapshot_at,
        consent=consent,
        playbooks=tuple(campaign.playbook for campaign in campaigns),
        why={campaign.playbook.campaign: campaign.failure for campaign in campaigns},
        customers=customers,
        solution=solution,
        send_time_tests=() if context.send_times is None else context.send_times.tests,
        offers=offer_table(campaigns, solution),
        offer_choices={
            campaign.playbook.campaign: OfferChoice.of(campaign)
            for campaign in campaigns
            if campaign.playbook.offers
        },
        fatigue=context.fatigue,
        contact_price=_mean_contact_price(campaigns, context),
    )


def _mean_contact_price(
    campaigns: Sequence[CampaignCandidates], context: CustomerContext
) -> float | None:
    """Mean price of one more contact over the treated members; None without prices or members."""
    if context.contact_prices is None:
        return None
    prices = context.contact_prices.to_numpy(dtype=float)
    treated = [
        prices[campaign.member & (campaign.arm == TREATMENT)]
        for campaign in campaigns
        if campaign.promotional
    ]
    paid = np.concatenate([np.zeros(0), *treated])
    return float(paid.mean()) if len(paid) else None


def _check(rows: pd.DataFrame, previous: pd.DataFrame | None, rule_context: RuleContext) -> None:
    if rows["customer_id"].duplicated().any():
        raise ValueError("a customer appears twice in the scores")
    if previous is not None and len(previous):
        latest = pd.to_datetime(previous["snapshot_at"]).max()
        if latest >= rule_context.snapshot_at:
            raise ValueError(
                f"previous audience of {latest} for a snapshot {rule_context.snapshot_at}"
            )


def _removed_members(
    campaign: CampaignCandidates,
    previous: pd.DataFrame | None,
    members: pd.DataFrame,
    customers: pd.Index[Any],
    rule_context: RuleContext,
) -> pd.DataFrame:
    """Audience rows of earlier members who have left the campaign."""
    if previous is None or not (previous["campaign_id"] == campaign.playbook.campaign).any():
        return pd.DataFrame(columns=list(AUDIENCE_COLUMNS))
    return removed_rows(
        campaign.playbook,
        previous,
        staying=members["customer_id"],
        removal_reasons=dict(zip(customers, campaign.failure, strict=True)),
        rule_context=rule_context,
    )


def _members(
    campaign: CampaignCandidates,
    rows: pd.DataFrame,
    *,
    rule_context: RuleContext,
    send_times: SendTimes | None,
) -> pd.DataFrame:
    """Audience rows of the members, best first."""
    playbook, earlier = campaign.playbook, campaign.earlier
    chosen = np.flatnonzero(campaign.member)
    chosen = chosen[best_first(campaign.rank[chosen])]
    was_member = ~campaign.newcomer[chosen]
    customers = rows["customer_id"].to_numpy(dtype=object)[chosen]
    lifetime = np.timedelta64(playbook.expires_days, "D")
    entered_at = np.where(
        was_member, earlier.entered_at[chosen], rule_context.snapshot_at.to_datetime64()
    )
    expires_at = np.where(was_member, earlier.expires_at[chosen], entered_at + lifetime)
    channels = np.array(playbook.channels, dtype=object)
    # The control arm gets no message at any time.
    gets_time = (campaign.arm[chosen] == TREATMENT) & (playbook.send_time == "customer")
    times = (send_times or NO_SEND_TIMES).columns(
        pd.Index(np.where(gets_time, customers, ""), dtype=object)
    )
    return pd.DataFrame(
        {
            "campaign_id": playbook.campaign,
            "customer_id": customers,
            "snapshot_at": rule_context.snapshot_at,
            "channel": channels[campaign.channel[chosen]],
            "rank": np.arange(1, len(chosen) + 1, dtype=float),
            "expected_value": campaign.contact_value.expected[chosen],
            "arm": campaign.arm[chosen],
            "change": np.where(was_member, "kept", "added").astype(object),
            "entered_at": entered_at.astype("datetime64[s]"),
            "expires_at": expires_at.astype("datetime64[s]"),
            "reasons": membership_reasons(playbook.audience, rows.iloc[chosen], rule_context),
            "offer_name": offer_names(campaign)[chosen],
            "propensity": campaign.propensity[chosen],
            "propensities": campaign.propensities[chosen],
            **times,
        },
        columns=list(AUDIENCE_COLUMNS),
    )


def _concatenate(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    non_empty = [part for part in parts if len(part)]
    if not non_empty:
        return pd.DataFrame({c: pd.Series(dtype=t) for c, t in AUDIENCE_COLUMNS.items()})
    return pd.concat(non_empty, ignore_index=True).astype(dict(AUDIENCE_COLUMNS))
