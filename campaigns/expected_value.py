"""What a contact is worth: expected money, cost, and whether it is uplift or only response."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from campaigns.playbook import Playbook
from campaigns.rules import UPLIFT, BoolArray, numbers

# Without randomised history the value says who responds, not whom the message changes.
RESPONSE_LABEL, UPLIFT_LABEL = "response, not uplift", "uplift"
MIXED_LABEL = "uplift; response where it is unknown"
ORDER_VALUE = "average_order_value"
NO_ORDER = "p_churn"  # tells the chance of no order

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Worth:
    """Money of one campaign, every array of shape (customers,).

    Attributes
    ----------
    expected
        Money a contact is expected to bring, net of discount and contact cost; NaN: unknown.
    cost
        Expected cost: the contact, and the discount given away.
    incremental
        Whether `expected` counts only what the contact changes.
    """

    expected: Numbers
    cost: Numbers
    incremental: BoolArray

    def label(self, members: BoolArray) -> str:
        """What the values of the members are (of everyone where there is none), for the plan."""
        known = self.incremental[members] if members.any() else self.incremental
        if not known.any():
            return RESPONSE_LABEL
        return UPLIFT_LABEL if known.all() or not members.any() else MIXED_LABEL

    @property
    def worthless(self) -> BoolArray:
        """Whom a message is known to move too little to be worth it."""
        return self.incremental & (np.nan_to_num(self.expected) <= 0)

    def order(self, rank: Numbers) -> Numbers:
        """What orders the customers: money by uplift where that is known of some, else `rank`.

        The two cannot be compared, so whoever's uplift is unknown comes after the others.
        """
        if not self.incremental.any():
            return rank
        known = np.where(self.incremental, self.expected, np.nan)
        # Below all others, in their own order.
        lowest = float(np.nanmin(known)) - 1.0
        others = np.nan_to_num(rank, nan=0.0)
        highest = float(others.max(initial=0.0)) + 1.0
        behind = np.where(np.isnan(rank), np.nan, lowest + others - highest)
        return np.where(self.incremental, self.expected, behind)


def product(rows: pd.DataFrame, columns: Sequence[str]) -> Numbers:
    """Product of columns (NaN where one is missing)."""
    found: Numbers = np.prod([numbers(rows, column) for column in columns], axis=0)
    return found


def uplifts(rows: pd.DataFrame, names: Sequence[str]) -> dict[str, Numbers]:
    """Added chance of an order by campaign, out of the JSON column; NaN: unknown.

    Read once for all campaigns: a text a customer is slow to read twenty times.
    """
    found = {name: np.full(len(rows), np.nan) for name in names}
    if "uplift" in rows:
        texts = rows["uplift"].to_numpy(dtype=object)
        for row in np.flatnonzero(rows["uplift"].notna().to_numpy(dtype=bool)):
            for name, value in json.loads(texts[row]).items():
                if name in found and value is not None:
                    found[name][row] = value
    return found


def uplift_name(playbook: Playbook) -> str:
    """Under which name the scores carry the uplift of a campaign."""
    value = playbook.value
    return value.uplift if value is not None and value.uplift is not None else playbook.campaign


def _order_value(rows: pd.DataFrame) -> Numbers:
    """What an order is worth: the customer's own mean, of who has none that of all."""
    own = numbers(rows, ORDER_VALUE)
    return np.where(np.isnan(own), np.nanmean(own) if (~np.isnan(own)).any() else np.nan, own)


def worth(playbook: Playbook, rows: pd.DataFrame, *, margin: Numbers) -> Worth:
    """Margin x incremental spend - discount x P(redeem) x order value - contact cost.

    Where no uplift is known, the spend of all who respond stands for the incremental one, and the
    label says so. ``margin`` is each customer's, shape (customers,); a playbook's own holds for
    all.
    """
    n = len(rows)
    if playbook.value is None:
        cost = np.full(n, playbook.contact_cost)
        return Worth(-cost, cost, np.zeros(n, dtype=bool))
    value = playbook.value
    spend = product(rows, value.product)
    redeemed = spend if value.redeemed is None else product(rows, value.redeemed)
    uplift = numbers(rows, UPLIFT)
    known: BoolArray = ~np.isnan(uplift)
    if known.any():
        order = _order_value(rows)
        base = np.full(n, np.nan)
        if playbook.success.base_rate is not None:
            base = numbers(rows, playbook.success.base_rate)
            base = 1 - base if playbook.success.base_rate == NO_ORDER else base
        known &= ~np.isnan(order)
        chance = np.clip(np.nan_to_num(base) + uplift, 0, 1)
        spend = np.where(known, uplift * order, spend)
        redeemed = np.where(known, chance * order, redeemed)
    given = playbook.offer.discount * redeemed
    earned = (margin if value.margin is None else value.margin) * spend
    return Worth(
        expected=earned - given - playbook.contact_cost,
        cost=np.nan_to_num(given) + playbook.contact_cost,
        incremental=known,
    )
