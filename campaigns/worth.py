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
ORDER_VALUE = "average_order_value"

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

    @property
    def label(self) -> str:
        """What the values are, for the plan."""
        return UPLIFT_LABEL if self.incremental.any() else RESPONSE_LABEL


def product(rows: pd.DataFrame, columns: Sequence[str]) -> Numbers:
    """Product of columns (NaN where one is missing)."""
    found: Numbers = np.prod([numbers(rows, column) for column in columns], axis=0)
    return found


def own_uplift(playbook: Playbook, rows: pd.DataFrame) -> Numbers:
    """Added chance of a response to this campaign, out of the JSON column; NaN: unknown."""
    name = playbook.campaign
    if playbook.value is not None and playbook.value.uplift is not None:
        name = playbook.value.uplift
    found = np.full(len(rows), np.nan)
    if "uplift" in rows:
        texts = rows["uplift"].to_numpy(dtype=object)
        for row in np.flatnonzero(rows["uplift"].notna().to_numpy(dtype=bool)):
            value = json.loads(texts[row]).get(name)
            found[row] = np.nan if value is None else float(value)
    return found


def worth(playbook: Playbook, rows: pd.DataFrame, *, margin: float) -> Worth:
    """Margin x incremental spend - discount x P(redeem) x order value - contact cost.

    Where no uplift is known, the spend of all who respond stands for the incremental one, and the
    label says so.
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
        order = numbers(rows, ORDER_VALUE)
        base = np.full(n, np.nan)
        if playbook.success.base_rate is not None:
            base = numbers(rows, playbook.success.base_rate)
        known &= ~np.isnan(order)
        chance = np.clip(np.nan_to_num(base) + uplift, 0, 1)
        spend = np.where(known, uplift * order, spend)
        redeemed = np.where(known, chance * order, redeemed)
    given = playbook.offer.discount * redeemed
    earned = (value.margin or margin) * spend
    return Worth(
        expected=earned - given - playbook.contact_cost,
        cost=np.nan_to_num(given) + playbook.contact_cost,
        incremental=known,
    )
