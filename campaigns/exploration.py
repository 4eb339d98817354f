"""Random draws of a wave: the arm of every newcomer, and the offer of those who explore.

Exploration learns what the offers change: a share of the treated newcomers gets an offer drawn
among those that consent, caps, places and budgets allow at that moment, with equal chances
(epsilon-greedy; Sutton and Barto 2018, section 2.2) or with the chances of
`campaigns.draw_chances`. People are drawn in random order, each from what earlier draws have left,
and the probability of the outcome is logged. Given the earlier draws it is exact, so inverse
propensity weights stay unbiased.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from campaigns.allocation import RemainingContacts, money_limit
from campaigns.candidates import CampaignCandidates
from campaigns.draw_chances import draw_chances
from campaigns.expected_value import CustomerValues
from campaigns.holdout import CONTROL, TREATMENT, assign_arms, uniform_draws
from campaigns.optimiser.problem import Codes, Flags, FloatArray
from campaigns.playbook_parts import NOTHING


def draw_arms(
    campaign: CampaignCandidates, customers: pd.Index[str], *, salt: str, wave: str
) -> None:
    """Fill in the arm of every newcomer.

    The wave is the day of the first entry. Who leaves and enters again keeps the arm: a customer
    is held out for the campaign's life, unless the campaign gives up its control arm.
    """
    share, entering = campaign.playbook.control_share, np.flatnonzero(campaign.newcomer)
    arms = campaign.earlier.arm[entering].copy()
    undrawn = pd.isna(arms) | (share == 0)
    arms[undrawn] = assign_arms(
        list(customers[entering[undrawn]]),
        salt=salt,
        campaign=campaign.playbook.campaign,
        wave=wave,
        control_share=share,
    )
    campaign.arm[entering] = arms


def explore_offers(
    campaigns: Sequence[CampaignCandidates],
    remaining: RemainingContacts,
    customers: pd.Index[str],
    *,
    budget: float | None,
    salt: str,
    wave: str,
) -> None:
    """Draw the offers of the campaigns' explorers, and log the probability of every offer.

    Parameters
    ----------
    campaigns
        Promotional campaigns with assigned offers and drawn arms; changed in place.
    remaining
        Contacts left after the assignment; changed in place.
    customers
        Ids of the scored customers.
    budget
        Money of all campaigns together; None: no limit.
    salt, wave
        Fix the draws; the wave is the day of planning.
    """
    money = money_limit(budget)
    for campaign in campaigns:
        money -= float(campaign.contact_value.cost[campaign.newcomer].sum())
    for campaign in campaigns:
        if campaign.playbook.offers:
            money = _explore(campaign, remaining, customers, money=money, salt=salt, wave=wave)


@dataclass
class _Room:
    """What is left for further draws of a campaign: places by offer, and money."""

    places: FloatArray
    money: float

    def allows(self, cost: FloatArray, own: int) -> Flags:
        """Offers that places and money allow beside the customer's own one."""
        allowed: Flags = (self.places >= 1) & (cost - cost[own] <= self.money)
        allowed[own] = True
        return allowed


def _explore(
    campaign: CampaignCandidates,
    remaining: RemainingContacts,
    customers: pd.Index[str],
    *,
    money: float,
    salt: str,
    wave: str,
) -> float:
    """Draw the explorers of one campaign and their offers; return the common money left."""
    people = np.flatnonzero(campaign.newcomer)
    name, share = campaign.playbook.campaign, campaign.playbook.exploration_share
    ids = list(customers[people])
    turn, chance, pick = (
        uniform_draws(ids, salt=salt, campaign=f"*{purpose} {name}", wave=wave)
        for purpose in ("turn", "explore", "offer")
    )
    in_turn = np.argsort(turn, kind="stable")
    people, pick = people[in_turn], pick[in_turn]
    explores = (chance[in_turn] < share) & (campaign.arm[people] == TREATMENT)
    rows, own = np.arange(len(people)), campaign.offer[people]
    cost = np.stack([offer.value.cost[people] for offer in campaign.offers], axis=1)
    permitted = _permitted(campaign, remaining, people)
    chances = draw_chances(campaign, people, salt=salt, wave=wave)
    spent = float(campaign.contact_value.cost[campaign.newcomer].sum())
    own_money = money_limit(campaign.playbook.budget) - spent
    room = _Room(campaign.offer_places, min(own_money, money))
    campaign.assigned, drawn = campaign.offer, own.copy()
    places, money_left = [room.places.copy()], [room.money]
    for position in np.flatnonzero(explores):
        mine = int(own[position])
        allowed = permitted[position] & room.allows(cost[position], mine)
        cumulated = np.cumsum(chances(np.array([position]), allowed[None])[0])
        # Offers that are not allowed add nothing to the sum, so the search never stops at them.
        taken = int(np.searchsorted(cumulated, pick[position] * cumulated[-1], side="right"))
        drawn[position] = taken
        room.places[mine] += 1
        room.places[taken] -= 1
        room.money -= float(cost[position, taken] - cost[position, mine])
        places.append(room.places.copy())
        money_left.append(room.money)
    # What everybody could have drawn in their turn, whether or not they explored.
    state: Codes = np.cumsum(explores) - explores
    extra_cost = cost - cost[rows, own][:, None]
    could_get = permitted & (np.stack(places)[state] >= 1)
    could_get &= extra_cost <= np.asarray(money_left)[state][:, None]
    could_get[rows, own] = True
    _log_chances(campaign, people, own, drawn, chances(rows, could_get))
    campaign.explored[people[explores]] = True
    _move_contacts(campaign, remaining, people, drawn)
    return money - float((cost[rows, drawn] - cost[rows, own]).sum())


def _log_chances(
    campaign: CampaignCandidates, people: Codes, own: Codes, drawn: Codes, explored: FloatArray
) -> None:
    """Fill in the probability of what each newcomer got, and those of all that could be drawn.

    ``explored`` are the probabilities of each explorer's draw, shape (people, offers).
    """
    share, control_share = campaign.playbook.exploration_share, campaign.playbook.control_share
    rows = np.arange(len(people))
    chances = share * explored
    chances[rows, own] += 1 - share
    chances *= 1 - control_share
    in_control = campaign.arm[people] == CONTROL
    campaign.propensity[people] = np.where(in_control, control_share, chances[rows, drawn])
    nothing = {NOTHING: control_share} if control_share else {}
    names = [offer.name for offer in campaign.offers]
    # Few different rows: one text each.
    distinct, text_of = np.unique(chances, axis=0, return_inverse=True)
    texts = [
        json.dumps(nothing | {name: p for name, p in zip(names, row, strict=True) if p > 0})
        for row in distinct.tolist()
    ]
    campaign.propensities[people] = np.array(texts, dtype=object)[text_of.reshape(-1)]


def _permitted(campaign: CampaignCandidates, remaining: RemainingContacts, people: Codes) -> Flags:
    """Offers that consent, discount rules and contact caps allow, shape (people, offers)."""
    own_channel = remaining.channel_codes(campaign, campaign.channel)[people]
    permitted = []
    for offer in campaign.offers:
        channel = remaining.channel_codes(campaign, offer.channel)[people]
        # The contact of the own offer is free again if another one takes its place.
        left = remaining.by_channel[people, channel] + (channel == own_channel)
        permitted.append(offer.open[people] & (left > 0))
    return np.stack(permitted, axis=1)


def _move_contacts(
    campaign: CampaignCandidates, remaining: RemainingContacts, people: Codes, drawn: Codes
) -> None:
    """Give the drawn offers, and count their contacts instead of those of the assigned ones."""
    before = remaining.channel_codes(campaign, campaign.channel)[people]
    campaign.offer = campaign.offer.copy()
    campaign.offer[people] = drawn
    after = remaining.channel_codes(campaign, campaign.channel)[people]
    remaining.by_channel[people, before] += 1
    remaining.by_channel[people, after] -= 1


def exploration_cost(campaign: CampaignCandidates) -> CustomerValues:
    """Expected money that the draw gave up for each customer; 0 where nothing was drawn."""
    customers = np.arange(len(campaign.offer))
    expected = np.stack([offer.value.expected for offer in campaign.offers])
    given_up = expected[campaign.assigned, customers] - expected[campaign.offer, customers]
    cost: CustomerValues = np.where(campaign.explored, np.nan_to_num(given_up), 0.0)
    return cost
