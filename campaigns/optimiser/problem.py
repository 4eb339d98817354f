"""An assignment problem, and what a solution of it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int64]
_Method = Literal["exact", "greedy"]
# Share of a budget by which a sum of many costs may miss it in its last digits.
LAST_DIGITS = 1e-9


@dataclass(frozen=True)
class Problem:
    """An assignment to be made.

    Attributes
    ----------
    value
        Money a pair brings, shape (customers, campaigns); NaN where the customer may not enter.
    cost
        Money a pair costs against the budgets, same shape.
    channel
        Code of the channel through which each pair would be contacted, same shape.
    at_most
        Campaigns that each customer may still enter, shape (customers,).
    channel_left
        Contacts that each customer may still get by channel, shape (customers, channels).
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
        """Pairs that could bring something."""
        usable = self.value > 0
        usable &= self.at_most[:, None] > 0
        customer_rows = np.arange(len(self.value))[:, None]
        return usable & (self.channel_left[customer_rows, self.channel] > 0)

    def part(self, customers: Codes, share: float) -> Problem:
        """Some of the customers, with that share of the places and the money."""
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
class Solution:
    """An assignment, and how good it is at least.

    Attributes
    ----------
    chosen
        Shape (customers, campaigns).
    value
        Its total.
    bound
        No assignment can be worth more.
    method
        ``exact`` (proven to within a hundred-thousandth) or ``greedy``.
    """

    chosen: Flags
    value: float
    bound: float
    method: _Method

    @property
    def gap(self) -> float:
        """Share of the bound that is missing at most; 0 where nothing can be won."""
        return max(0.0, 1 - self.value / self.bound) if self.bound > 0 else 0.0
