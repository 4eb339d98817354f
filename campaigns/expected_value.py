"""Expected value of a contact: money, cost, and whether it counts uplift or response."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from campaigns.playbook import Playbook
from campaigns.playbook_parts import NamedOffer
from campaigns.rules import UPLIFT, UPLIFT_ERROR, BoolArray, numeric_column

# Without a randomised experiment the value predicts response, not the effect of the message.
RESPONSE_LABEL, UPLIFT_LABEL = "response, not uplift", "uplift"
MIXED_LABEL = "uplift; response where it is unknown"
ASSUMED_LABEL = "an assumed share of the response"
MIXED_ASSUMED_LABEL = "uplift; an assumed share of the response where it is unknown"
ORDER_VALUE = "average_order_value"
_NO_ORDER_COLUMN = "p_churn"  # probability of no order
_LEAST_STAYING = 0.01  # chance to stay by which spend at risk is divided at least

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
    assumed
        True if elsewhere a share of the spend is assumed to be caused by the contact.
    error
        Standard error of `expected` by the error of the learned effect; NaN: unknown. None if the
        playbook does not draw by it.
    """

    expected: CustomerValues
    cost: CustomerValues
    incremental: BoolArray
    assumed: bool = False
    error: CustomerValues | None = None

    def label(self, members: BoolArray) -> str:
        """Label for the plan: what the members' values measure; of all customers if no members."""
        is_uplift = self.incremental[members] if members.any() else self.incremental
        if not is_uplift.any():
            return ASSUMED_LABEL if self.assumed else RESPONSE_LABEL
        if is_uplift.all() or not members.any():
            return UPLIFT_LABEL
        return MIXED_ASSUMED_LABEL if self.assumed else MIXED_LABEL

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
    """Name of the uplift in the scores: of the campaign, or of the offer of a variant of it."""
    value_rule, offer = playbook.value, playbook.offer
    named = value_rule is not None and value_rule.uplift is not None
    name = str(value_rule.uplift) if value_rule is not None and named else playbook.campaign
    return offer_uplift_name(name, offer.name) if isinstance(offer, NamedOffer) else name


def offer_uplift_name(campaign: str, offer: str) -> str:
    """Name of the uplift of one of several offers of a campaign in the scores."""
    return f"{offer}@{campaign}"


def uplift_error_name(name: str) -> str:
    """Name of the standard error of an uplift in the scores (`models.scorer.uplift`)."""
    return f"{name} error"


def _order_value(rows: pd.DataFrame) -> CustomerValues:
    """Average order value of each customer; the mean of all customers where it is unknown."""
    own_values = numeric_column(rows, ORDER_VALUE)
    return np.where(
        np.isnan(own_values),
        np.nanmean(own_values) if (~np.isnan(own_values)).any() else np.nan,
        own_values,
    )


def order_within_days(playbook: Playbook, rows: pd.DataFrame) -> CustomerValues:
    """Chance of an order while the offer is valid; NaN: unknown.

    `p_any_order` holds for `clv_horizon_days`; orders are assumed to come at a constant rate.
    """
    days = playbook.valid_days
    silent = 1 - np.clip(numeric_column(rows, "p_any_order"), 0, 1)
    horizon_days = numeric_column(rows, "clv_horizon_days")
    chance: CustomerValues = 1 - silent ** (days / horizon_days)
    return chance


def _expected_spend(playbook: Playbook, rows: pd.DataFrame) -> CustomerValues:
    """Product of the playbook's columns; if at risk, the spend that is lost with the customer.

    The product averages over staying and leaving: given that the customer stays it is
    product / (1 - p_churn), and it is lost with probability p_churn.
    """
    assert playbook.value is not None
    spend = column_product(rows, playbook.value.product)
    if not playbook.value.at_risk:
        return spend
    leaves = numeric_column(rows, _NO_ORDER_COLUMN)
    at_risk: CustomerValues = spend * leaves / np.maximum(1 - leaves, _LEAST_STAYING)
    return at_risk


def contact_value(
    playbook: Playbook, rows: pd.DataFrame, *, margin: CustomerValues
) -> ContactValue:
    """Margin x incremental spend - discount x P(redeem) x order value - contact cost.

    Without a known uplift, the expected spend replaces the incremental spend, or the assumed share
    of it, and the label says so. ``margin`` has shape (customers,); a playbook's own margin
    overrides it.
    """
    customer_count = len(rows)
    if playbook.value is None:
        cost = np.full(customer_count, playbook.contact_cost)
        return ContactValue(-cost, cost, np.zeros(customer_count, dtype=bool))
    value_rule = playbook.value
    product = _expected_spend(playbook, rows)
    spend = product * (value_rule.incremental_share or 1.0)
    order_chance, order_value = order_within_days(playbook, rows), _order_value(rows)
    if value_rule.redeemed is not None:
        redeemed = column_product(rows, value_rule.redeemed)
    else:
        known_chance = ~np.isnan(order_chance * order_value)
        redeemed = np.where(known_chance, order_chance * order_value, product)
    uplift = numeric_column(rows, UPLIFT)
    uplift_known: BoolArray = ~np.isnan(uplift) & ~np.isnan(order_value)
    if uplift_known.any():
        base_rate = np.where(np.isnan(order_chance), _base_rate(playbook, rows), order_chance)
        chance = np.clip(np.nan_to_num(base_rate) + uplift, 0, 1)
        spend = np.where(uplift_known, uplift * order_value, spend)
        redeemed = np.where(uplift_known, chance * order_value, redeemed)
    discount_cost = playbook.discount * redeemed
    margin_share = margin if value_rule.margin is None else np.float64(value_rule.margin)
    earned = margin_share * spend
    return ContactValue(
        expected=earned - discount_cost - playbook.contact_cost,
        cost=np.nan_to_num(discount_cost) + playbook.contact_cost,
        incremental=uplift_known,
        assumed=value_rule.incremental_share is not None,
        # An effect adds its orders' margin, less the discount on them.
        error=numeric_column(rows, UPLIFT_ERROR)
        * np.abs(margin_share - playbook.discount)
        * np.where(uplift_known, order_value, np.nan)
        if playbook.exploration == "thompson"
        else None,
    )


def _base_rate(playbook: Playbook, rows: pd.DataFrame) -> CustomerValues:
    """Chance of an order without the message, by the playbook's column; NaN without one."""
    column = playbook.success.base_rate
    if column is None:
        return np.full(len(rows), np.nan)
    rate = numeric_column(rows, column)
    return 1 - rate if column == _NO_ORDER_COLUMN else rate
