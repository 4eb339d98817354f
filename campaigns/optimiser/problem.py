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
    """Customers, campaigns and limits of an assignment.

    Attributes
    ----------
    value
        Money per pair, shape (customers, campaigns); NaN where the customer may not enter.
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
    """

    value: FloatArray
    cost: FloatArray
    channel: Codes
    at_most: Codes
    channel_left: Codes
    capacity: FloatArray
    campaign_budget: FloatArray
    budget: float = np.inf

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
        )


@dataclass(frozen=True)
class Prices:
    """Shadow prices of a place per campaign, of its budget, and of the common budget."""

    place: FloatArray
    money: FloatArray
    common: float = 0.0

    def net(self, problem: Problem, usable: Flags) -> FloatArray:
        """Value minus prices of every pair; -inf where not usable."""
        net_value = problem.value - self.place - (self.money + self.common) * problem.cost
        return np.where(usable, net_value, -np.inf)


@dataclass(frozen=True)
class Solution:
    """An assignment with an upper bound on the best value.

    Attributes
    ----------
    chosen
        Shape (customers, campaigns).
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
