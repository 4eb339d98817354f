"""An assignment problem and its solution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int64]
_Method = Literal["exact", "greedy"]
# Relative rounding error of a sum of many costs.
LAST_DIGITS = 1e-9


@dataclass(frozen=True)
class Problem:
    """Customers, campaigns with their offers, and limits of an assignment.

    A customer gets at most one offer of a campaign. Without `campaign` each campaign has one offer.

    Attributes
    ----------
    value
        Money per pair, shape (customers, offers); NaN where the customer may not get the offer.
    cost
        Cost per pair against the budgets, same shape.
    channel
        Code of the contact channel per pair, same shape.
    at_most
        Campaigns each customer may still enter, shape (customers,).
    channel_left
        Contacts each customer may still receive by channel, shape (customers, channels).
    capacity, campaign_budget
        Places and money of each campaign, shape (campaigns,); inf: no limit.
    budget
        Money of all campaigns together; inf: no limit.
    campaign
        Position of each offer's campaign, shape (offers,); None: campaign j has offer j alone.
    offer_capacity
        Places of each offer, shape (offers,); inf: no limit; None: none of them has one.
    """

    value: FloatArray
    cost: FloatArray
    channel: Codes
    at_most: Codes
    channel_left: Codes
    capacity: FloatArray
    campaign_budget: FloatArray
    budget: float = np.inf
    campaign: Codes | None = None
    offer_capacity: FloatArray | None = None

    @property
    def campaign_of(self) -> Codes:
        """Position of each offer's campaign, shape (offers,)."""
        return np.arange(self.value.shape[1]) if self.campaign is None else self.campaign

    @property
    def offer_places(self) -> FloatArray:
        """Places of each offer, shape (offers,); inf: no limit."""
        if self.offer_capacity is None:
            return np.full(self.value.shape[1], np.inf)
        return self.offer_capacity

    def per_campaign(self, amounts: FloatArray | Codes) -> FloatArray:
        """Sums by campaign of amounts by offer, shape (campaigns,)."""
        sums = np.bincount(self.campaign_of, weights=amounts, minlength=len(self.capacity))
        return sums.astype(np.float64)

    def siblings(self, customers: Codes, offers: Codes, *, relaxed: bool) -> Flags:
        """Offers that some pairs exclude for their customers, shape (pairs, offers).

        All offers of the same campaign; if `relaxed`, of customers whose channels have fewer
        contacts left than the customer has campaigns only those of the same channel.
        """
        campaign = self.campaign_of
        excluded: Flags = campaign == campaign[offers][:, None]
        if relaxed:
            scarce = (self.at_most > 1) & (self.channel_left < self.at_most[:, None]).any(axis=1)
            same_channel = self.channel[customers] == self.channel[customers, offers][:, None]
            excluded &= same_channel | ~scarce[customers][:, None]
        return excluded

    def with_siblings(self, chosen: Flags) -> Flags:
        """Chosen pairs, and the other offers of their campaigns for the same customers."""
        if not self.has_siblings:
            return chosen
        customers, offers = np.nonzero(chosen)
        excluded = chosen.copy()
        np.logical_or.at(excluded, customers, self.siblings(customers, offers, relaxed=False))
        return excluded

    @property
    def has_siblings(self) -> bool:
        """True if a campaign has several offers."""
        return len(self.capacity) < self.value.shape[1]

    @property
    def open(self) -> Flags:
        """True for pairs of positive value with a contact left."""
        usable = self.value > 0
        usable &= self.at_most[:, None] > 0
        customer_rows = np.arange(len(self.value))[:, None]
        return usable & (self.channel_left[customer_rows, self.channel] > 0)

    def part(self, customers: Codes, share: float) -> Problem:
        """Problem of some customers, with a share of the places and the money."""
        return Problem(
            self.value[customers],
            self.cost[customers],
            self.channel[customers],
            self.at_most[customers],
            self.channel_left[customers],
            self.capacity * share,
            self.campaign_budget * share,
            self.budget * share,
            self.campaign,
            None if self.offer_capacity is None else self.offer_capacity * share,
        )


@dataclass(frozen=True)
class Prices:
    """Shadow prices of a place per campaign, of its budget, of the common budget, and by offer.

    `offer_place` is the price of an offer's own place, shape (offers,); None: no offer has a limit.
    """

    place: FloatArray
    money: FloatArray
    common: float = 0.0
    offer_place: FloatArray | None = None

    def net(self, problem: Problem, usable: Flags) -> FloatArray:
        """Value minus prices of every pair; -inf where not usable."""
        campaign = problem.campaign_of
        place = self.place[campaign]
        if self.offer_place is not None:
            place = place + self.offer_place
        net_value = problem.value - place - (self.money[campaign] + self.common) * problem.cost
        return np.where(usable, net_value, -np.inf)


@dataclass(frozen=True)
class Solution:
    """An assignment with an upper bound on the best value.

    Attributes
    ----------
    chosen
        Shape (customers, offers).
    value
        Total value of the chosen pairs.
    bound
        Upper bound on the value of every assignment.
    method
        ``exact`` (optimum proven to a relative gap of 1e-5) or ``greedy``.
    prices
        Shadow prices: what a further place or a further unit of money would bring, at most.
    another_contact
        What one more contact for every customer would bring, at most.
    """

    chosen: Flags
    value: float
    bound: float
    method: _Method
    prices: Prices
    another_contact: float = 0.0

    @property
    def gap(self) -> float:
        """Relative gap to the bound; 0 if the bound is not positive."""
        return max(0.0, 1 - self.value / self.bound) if self.bound > 0 else 0.0
