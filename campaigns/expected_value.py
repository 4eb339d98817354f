"""Expected value of a contact: money, cost, and whether it counts uplift or response."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from campaigns.playbook import Playbook
from campaigns.rules import UPLIFT, BoolArray, numeric_column

# Without a randomised experiment the value predicts response, not the effect of the message.
RESPONSE_LABEL, UPLIFT_LABEL = "response, not uplift", "uplift"
MIXED_LABEL = "uplift; response where it is unknown"
ORDER_VALUE = "average_order_value"
_NO_ORDER_COLUMN = "p_churn"  # probability of no order

CustomerValues = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ContactValue:
    """Expected money per contact of one campaign; all arrays have shape (customers,).

    Attributes
    ----------
    expected
        Expected money, net of discount and contact cost; NaN: unknown.
    cost
        Expected cost of the contact and the discount.
    incremental
        True where `expected` counts only what the contact changes.
    """

    expected: CustomerValues
    cost: CustomerValues
    incremental: BoolArray

    def label(self, members: BoolArray) -> str:
        """Label for the plan: what the members' values measure; of all customers if no members."""
        is_uplift = self.incremental[members] if members.any() else self.incremental
        if not is_uplift.any():
            return RESPONSE_LABEL
        return UPLIFT_LABEL if is_uplift.all() or not members.any() else MIXED_LABEL

    @property
    def unprofitable(self) -> BoolArray:
        """True where the uplift is known and does not cover the cost."""
        return self.incremental & (np.nan_to_num(self.expected) <= 0)

    def order(self, rank: CustomerValues) -> CustomerValues:
        """Sort key of the customers: expected money where any uplift is known, else `rank`.

        The two have no common scale: customers without a known uplift come last.
        """
        if not self.incremental.any():
            return rank
        known_uplifts = np.where(self.incremental, self.expected, np.nan)
        # Shift the ranks below the lowest expected money, in their own order.
        lowest_uplift = float(np.nanmin(known_uplifts)) - 1.0
        known_ranks = np.nan_to_num(rank, nan=0.0)
        beyond_ranks = float(known_ranks.max(initial=0.0)) + 1.0
        behind = np.where(np.isnan(rank), np.nan, lowest_uplift + known_ranks - beyond_ranks)
        return np.where(self.incremental, self.expected, behind)


def column_product(rows: pd.DataFrame, columns: Sequence[str]) -> CustomerValues:
    """Product of columns, NaN where one is missing."""
    product: CustomerValues = np.prod([numeric_column(rows, column) for column in columns], axis=0)
    return product


def uplift_by_campaign(rows: pd.DataFrame, names: Sequence[str]) -> dict[str, CustomerValues]:
    """Uplift of the order probability by campaign, parsed from the JSON column; NaN: unknown.

    Parsed once for all campaigns: parsing is slow.
    """
    uplifts = {campaign: np.full(len(rows), np.nan) for campaign in names}
    if "uplift" in rows:
        texts = rows["uplift"].to_numpy(dtype=object)
        for position in np.flatnonzero(rows["uplift"].notna().to_numpy(dtype=bool)):
            for campaign, uplift in json.loads(texts[position]).items():
                if campaign in uplifts and uplift is not None:
                    uplifts[campaign][position] = uplift
    return uplifts


def uplift_name(playbook: Playbook) -> str:
    """Name of the campaign's uplift in the scores."""
    value_rule = playbook.value
    return (
        value_rule.uplift
        if value_rule is not None and value_rule.uplift is not None
        else playbook.campaign
    )


def _order_value(rows: pd.DataFrame) -> CustomerValues:
    """Average order value of each customer; the mean of all customers where it is unknown."""
    own_values = numeric_column(rows, ORDER_VALUE)
    return np.where(
        np.isnan(own_values),
        np.nanmean(own_values) if (~np.isnan(own_values)).any() else np.nan,
        own_values,
    )


def contact_value(
    playbook: Playbook, rows: pd.DataFrame, *, margin: CustomerValues
) -> ContactValue:
    """Margin x incremental spend - discount x P(redeem) x order value - contact cost.

    Without a known uplift, the expected spend replaces the incremental spend, and the label says
    so. ``margin`` has shape (customers,); a playbook's own margin overrides it.
    """
    customer_count = len(rows)
    if playbook.value is None:
        cost = np.full(customer_count, playbook.contact_cost)
        return ContactValue(-cost, cost, np.zeros(customer_count, dtype=bool))
    value_rule = playbook.value
    spend = column_product(rows, value_rule.product)
    redeemed = spend if value_rule.redeemed is None else column_product(rows, value_rule.redeemed)
    uplift = numeric_column(rows, UPLIFT)
    uplift_known: BoolArray = ~np.isnan(uplift)
    if uplift_known.any():
        order_value = _order_value(rows)
        base_rate = np.full(customer_count, np.nan)
        if playbook.success.base_rate is not None:
            base_rate = numeric_column(rows, playbook.success.base_rate)
            base_rate = (
                1 - base_rate if playbook.success.base_rate == _NO_ORDER_COLUMN else base_rate
            )
        uplift_known &= ~np.isnan(order_value)
        chance = np.clip(np.nan_to_num(base_rate) + uplift, 0, 1)
        spend = np.where(uplift_known, uplift * order_value, spend)
        redeemed = np.where(uplift_known, chance * order_value, redeemed)
    discount_cost = playbook.offer.discount * redeemed
    earned = (margin if value_rule.margin is None else value_rule.margin) * spend
    return ContactValue(
        expected=earned - discount_cost - playbook.contact_cost,
        cost=np.nan_to_num(discount_cost) + playbook.contact_cost,
        incremental=uplift_known,
    )
