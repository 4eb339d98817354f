"""Allocate customers to campaigns by priority or value, within caps, capacities and budgets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from campaigns.addresses import Addresses, address_kinds
from campaigns.candidates import CampaignCandidates
from campaigns.customer_context import Counts, CustomerContext
from campaigns.eligibility import contacts_left
from campaigns.expected_value import CustomerValues
from campaigns.holdout import CONTROL, TREATMENT
from campaigns.optimiser.exact import solve_assignment
from campaigns.optimiser.problem import LAST_DIGITS, Problem, Solution
from campaigns.rules import BoolArray
from features.sources.channels import consent_channel

_Order = npt.NDArray[np.intp]


_HELD_OUT = "same address as a held-out customer"
_TAKEN = "same address as a contacted customer"
_UNPROFITABLE = "the message would earn less than it costs (by uplift)"
_NO_GAIN = "expected value not positive"


class RemainingContacts:
    """Promotional campaigns and contacts that each customer may still receive.

    Attributes
    ----------
    total, by_channel
        Contacts left, shapes (customers,) and (customers, channels).
    campaigns_left
        Campaigns left, shape (customers,).
    channels
        Channels as contacts are counted.
    """

    def __init__(
        self, customers: pd.Index[str], context: CustomerContext, channels: Sequence[str]
    ) -> None:
        self.channels = list(channels)
        self.total, self.by_channel = contacts_left(customers, context, channels)
        self.campaigns_left = np.full(
            len(customers), context.policy.campaigns_at_once, dtype=np.int64
        )

    def channel_codes(self, campaign: CampaignCandidates, channel: Counts) -> Counts:
        """Position in `channels` of each customer's channel, given as one of the playbook's."""
        playbook_codes = [
            self.channels.index(consent_channel(channel)) for channel in campaign.playbook.channels
        ]
        return np.asarray(playbook_codes, dtype=np.int64)[channel]

    def allows(self, campaign: CampaignCandidates) -> BoolArray:
        """Customers whose caps allow one more contact by this campaign, with any open offer."""
        if campaign.playbook.offers:
            return np.asarray(self.allowed_offers(campaign).any(axis=1))
        return self._has_room(campaign, campaign.channel)

    def allowed_offers(self, campaign: CampaignCandidates) -> BoolArray:
        """Open offers with a contact left in their channel, shape (customers, offers)."""
        allowed = [o.open & self._has_room(campaign, o.channel) for o in campaign.offers]
        return np.stack(allowed, axis=1)

    def _has_room(self, campaign: CampaignCandidates, channel: Counts) -> BoolArray:
        customer_positions = np.arange(len(self.total))
        has_room: BoolArray = (self.total > 0) & (
            self.by_channel[customer_positions, self.channel_codes(campaign, channel)] > 0
        )
        return has_room

    def take(self, campaign: CampaignCandidates, chosen: BoolArray) -> None:
        """Subtract the contacts of the chosen newcomers."""
        newcomers = np.flatnonzero(chosen)
        self.total[newcomers] -= 1
        self.campaigns_left[newcomers] -= 1
        codes = self.channel_codes(campaign, campaign.channel)[newcomers]
        self.by_channel[newcomers, codes] -= 1


def resolve_shared_addresses(
    campaigns: Sequence[CampaignCandidates], customers: pd.Index[str], addresses: Addresses
) -> None:
    """Keep one customer per shared address, so that no person is in both arms or contacted twice.

    Promotional campaigns are resolved together, every other campaign by itself. A member of the
    control arm comes first, then a member of the treatment arm, then the best newcomer in the
    order of the campaigns. The other customers of the address are excluded.
    """
    if not len(addresses.rows):
        return
    for campaign in campaigns:
        if not campaign.promotional:
            _assign_addresses([campaign], customers, addresses, {})
    _assign_addresses(
        [campaign for campaign in campaigns if campaign.promotional], customers, addresses, {}
    )


def _assign_addresses(
    campaigns: Sequence[CampaignCandidates],
    customers: pd.Index[str],
    addresses: Addresses,
    owner_of_address: dict[int, int],
) -> None:
    """Assign each address to one customer across campaigns; fills `owner_of_address`."""
    address_codes = [
        addresses.codes_by_customer(customers, address_kinds(d.playbook.channels))
        for d in campaigns
    ]

    def settle(
        campaign: CampaignCandidates, customer_codes: dict[int, list[int]], ordered: _Order
    ) -> None:
        for position in ordered.tolist():
            addresses_held = customer_codes.get(position, ())
            claimed = [
                code for code in addresses_held if owner_of_address.get(code, position) != position
            ]
            if claimed:
                campaign.failure[position] = _TAKEN
                campaign.gave_way_to[position] = owner_of_address[claimed[0]]
                campaign.earlier.staying[position] = False
            else:
                owner_of_address.update(dict.fromkeys(addresses_held, position))

    for arm in (CONTROL, TREATMENT):
        for campaign, customer_codes in zip(campaigns, address_codes, strict=True):
            staying = campaign.earlier.staying & (campaign.earlier.arm == arm)
            settle(campaign, customer_codes, np.flatnonzero(staying))
    for campaign, customer_codes in zip(campaigns, address_codes, strict=True):
        entering = np.flatnonzero(campaign.candidates & ~campaign.earlier.staying)
        entering = entering[[position in customer_codes for position in entering.tolist()]]
        settle(campaign, customer_codes, entering[best_first(campaign.rank[entering])])


def mark_held_out_addresses(
    campaigns: Sequence[CampaignCandidates],
    audience: Sequence[pd.DataFrame],
    customers: pd.Index[str],
) -> None:
    """Replace the exclusion reason where the address belongs to a member of a control arm."""
    control_members = [rows.loc[rows["arm"] == CONTROL, "customer_id"] for rows in audience]
    in_control = (
        set(customers.get_indexer(pd.concat(control_members))) if control_members else set()
    )
    for campaign in campaigns:
        for position, owner in campaign.gave_way_to.items():
            if owner in in_control and campaign.failure[position] == _TAKEN:
                campaign.failure[position] = _HELD_OUT


def keep_members(campaigns: Sequence[CampaignCandidates], remaining: RemainingContacts) -> None:
    """Keep earlier members before newcomers enter: a move would spoil both measurements."""
    for campaign in campaigns:
        campaign.member = campaign.earlier.staying.copy()
        if campaign.promotional:
            campaign.member &= remaining.campaigns_left > 0
            remaining.campaigns_left[campaign.member] -= 1
            campaign.failure[campaign.earlier.staying & ~campaign.member] = "in another campaign"
        campaign.failure[campaign.member] = ""


def admit_newcomers(
    campaigns: Sequence[CampaignCandidates],
    remaining: RemainingContacts,
    context: CustomerContext,
    *,
    seed: int,
) -> Solution | None:
    """Give the free places to newcomers; return the solver's solution if the policy asks for it."""
    for campaign in campaigns:
        if campaign.promotional:
            campaign.failure[campaign.candidates & campaign.contact_value.unprofitable] = (
                _UNPROFITABLE
            )
            over_contact_cap = campaign.candidates & ~remaining.allows(campaign)
            campaign.failure[over_contact_cap] = "contact cap reached"
            if campaign.playbook.offers:
                # Nothing is better than an offer that is not worth its cost.
                not_worth = ~(campaign.contact_value.expected > 0)
                campaign.failure[campaign.candidates & not_worth] = _NO_GAIN
        else:
            _admit_by_rank(campaign, campaign.candidates, np.inf)
    promotional = [campaign for campaign in campaigns if campaign.promotional]
    if context.policy.objective == "value" and promotional:
        return _admit_by_value(promotional, remaining, context, seed)
    money_left = money_limit(context.policy.budget)
    for campaign in promotional:
        without_place = campaign.candidates & (remaining.campaigns_left <= 0)
        campaign.failure[without_place] = _other_campaign_reasons(promotional, without_place)
        campaign.failure[campaign.candidates & ~remaining.allows(campaign)] = "contact cap reached"
        if campaign.playbook.offers:
            _choose_offers(campaign, remaining.allowed_offers(campaign))
        money_left -= _admit_by_rank(campaign, campaign.candidates, money_left)
        remaining.take(campaign, campaign.newcomer)
    return None


def _other_campaign_reasons(
    campaigns: Sequence[CampaignCandidates], customers: BoolArray
) -> npt.NDArray[np.object_]:
    """Exclusion reason naming the campaign that each of the customers is in; empty: none."""
    member_of = np.full(int(customers.sum()), "", dtype=object)
    for campaign in campaigns:
        member_of[campaign.member[customers] & (member_of == "")] = (
            f"in campaign {campaign.playbook.campaign}"
        )
    return member_of


def _choose_offers(campaign: CampaignCandidates, allowed: BoolArray) -> None:
    """Give each candidate the best offer with a free place, the first in rank first.

    The customers before the one who finds an offer full are decided at once.
    """
    ordered = np.flatnonzero(campaign.candidates)
    ordered = ordered[best_first(campaign.rank[ordered])]
    expected = np.stack([offer.value.expected for offer in campaign.offers], axis=1)
    expected = np.where(allowed & (expected > 0), expected, -np.inf)[ordered]
    choice, places = np.full(len(ordered), -1, dtype=np.int64), campaign.offer_places
    first = 0
    while first < len(ordered):
        open_values = np.where(places >= 1, expected[first:], -np.inf)
        best = np.where(open_values.max(axis=1) > 0, np.argmax(open_values, axis=1), -1)
        end = len(best)
        for offer in np.flatnonzero(places >= 1):
            takers = np.flatnonzero(best == offer)
            if len(takers) > places[offer]:
                end = min(end, int(takers[int(places[offer])]))
        choice[first : first + end] = best[:end]
        places = places - np.bincount(best[:end][best[:end] >= 0], minlength=len(places))
        first += end
    has_offer = choice >= 0
    campaign.offer = campaign.offer.copy()
    campaign.offer[ordered[has_offer]] = choice[has_offer]
    wanted = expected.max(axis=1) > 0
    campaign.failure[ordered[~has_offer & wanted]] = "capacity reached"
    campaign.failure[ordered[~has_offer & ~wanted]] = _NO_GAIN


def _admit_by_rank(campaign: CampaignCandidates, candidates: BoolArray, budget: float) -> float:
    """Admit newcomers by rank within capacity and budget; return the money spent."""
    playbook = campaign.playbook
    ordered = np.flatnonzero(candidates)
    ordered = ordered[best_first(campaign.rank[ordered])]
    places = len(ordered)
    if playbook.capacity is not None:
        places = max(0, playbook.capacity - int(campaign.member.sum()))
    campaign.failure[ordered[places:]] = "capacity reached"
    ordered = ordered[:places]
    spendable = min(budget, money_limit(playbook.budget))
    affordable = np.cumsum(campaign.contact_value.cost[ordered]) <= spendable
    campaign.failure[ordered[~affordable]] = "budget spent"
    entering = ordered[affordable]
    campaign.newcomer[entering] = True
    campaign.member[entering] = True
    return float(campaign.contact_value.cost[entering].sum())


def best_first(ranking: CustomerValues) -> _Order:
    """Positions by descending value, unknown last, ties in the order of customer ids."""
    return np.argsort(-np.nan_to_num(ranking, nan=-np.inf), kind="stable")


def _admit_by_value(
    campaigns: Sequence[CampaignCandidates],
    remaining: RemainingContacts,
    context: CustomerContext,
    seed: int,
) -> Solution | None:
    """Admit newcomers by the assignment with the highest total expected value."""
    candidates = np.stack([campaign.candidates for campaign in campaigns], axis=1)
    some_customers = np.flatnonzero(candidates.any(axis=1))
    columns = [(campaign, offer) for campaign in campaigns for offer in campaign.offers]
    campaign_of = np.repeat(np.arange(len(campaigns)), [len(c.offers) for c in campaigns])
    values = np.stack([offer.value.expected[some_customers] for _, offer in columns], axis=1)
    is_open = candidates[some_customers][:, campaign_of]
    if len(columns) > len(campaigns):
        is_open &= np.stack([offer.open[some_customers] for _, offer in columns], axis=1)
    values = np.where(is_open, values, np.nan)
    offer_places = np.concatenate([campaign.offer_places for campaign in campaigns])
    problem = Problem(
        value=values,
        cost=np.stack([offer.value.cost[some_customers] for _, offer in columns], axis=1),
        channel=np.stack(
            [
                remaining.channel_codes(campaign, offer.channel)[some_customers]
                for campaign, offer in columns
            ],
            axis=1,
        ),
        at_most=np.minimum(remaining.total, remaining.campaigns_left)[some_customers],
        channel_left=np.maximum(remaining.by_channel[some_customers], 0),
        capacity=np.array([_free_places(campaign) for campaign in campaigns]),
        campaign_budget=np.array([_budget(campaign.playbook.budget) for campaign in campaigns]),
        budget=_budget(context.policy.budget),
        campaign=campaign_of,
        offer_capacity=offer_places if np.isfinite(offer_places).any() else None,
    )
    solution = solve_assignment(problem, seed=seed)
    for number, campaign in enumerate(campaigns):
        chosen = solution.chosen[:, campaign_of == number]
        entering = chosen.any(axis=1)
        campaign.newcomer[some_customers[entering]] = True
        campaign.member |= campaign.newcomer
        campaign.offer = campaign.offer.copy()
        campaign.offer[some_customers[entering]] = np.argmax(chosen[entering], axis=1)
    for number, campaign in enumerate(campaigns):
        not_entered = campaign.candidates
        worthless = not_entered.copy()
        worthless[some_customers] &= ~(values[:, campaign_of == number] > 0).any(axis=1)
        campaign.failure[worthless] = _NO_GAIN
        not_entered = campaign.candidates
        without_place = not_entered & (remaining.campaigns_left <= 0)
        campaign.failure[without_place] = _other_campaign_reasons(campaigns, without_place)
        not_entered = campaign.candidates
        elsewhere = _other_campaign_reasons(campaigns, not_entered)
        campaign.failure[not_entered] = np.where(
            elsewhere == "", "no capacity, contact cap or budget left", elsewhere
        )
    for campaign in campaigns:
        remaining.take(campaign, campaign.newcomer)
    return solution


def _budget(budget: float | None) -> float:
    return float("inf") if budget is None else float(budget)


def money_limit(budget: float | None) -> float:
    """Budget with the rounding error of a sum of many costs; inf without one."""
    return _budget(budget) * (1 + LAST_DIGITS)


def _free_places(campaign: CampaignCandidates) -> float:
    if campaign.playbook.capacity is None:
        return float("inf")
    return float(max(0, campaign.playbook.capacity - int(campaign.member.sum())))
