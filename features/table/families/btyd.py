"""Inputs of buy-till-you-die models: repeat purchase days, their last, and the days observed.

As in Fader, Hardie and Lee (2005): x repeat purchases, t_x the time of the last, T the time since
the first; purchases of one day are one.
"""

from __future__ import annotations

import numpy as np

from features.arrays import Array
from features.table.families.feature import Feature, FeatureSpec, View

NULL = "never bought"


def _age(view: View) -> Array:
    return view.at - view.purchases.first(view.purchases.day)


def _last(view: View) -> Array:
    days = view.purchases
    return days.nth_last(days.day, 0) - days.first(days.day)


def _repeats(view: View) -> Array:
    return np.where(view.purchases.n > 0, view.purchases.n - 1.0, np.nan)


def _positive_repeats(view: View) -> tuple[Array, Array]:
    """Customer and amount of repeat purchase days that cost something."""
    days = view.purchases
    is_first = np.ones(len(days.customer), dtype=bool)
    is_first[1:] = days.customer[1:] != days.customer[:-1]
    is_paid_repeat = ~is_first & (days.amount > 0)
    return days.customer[is_paid_repeat], days.amount[is_paid_repeat]


def btyd(spec: FeatureSpec) -> list[Feature]:
    """x, t_x, T and the mean value of repeat purchase days."""
    if "purchase" not in spec.roles:
        return []
    return [
        Feature("btyd__x", "days", "repeat purchase days", _repeats, NULL),
        Feature("btyd__t_x", "days", "days from the first to the last purchase", _last, NULL),
        Feature("btyd__T", "days", "days since the first purchase", _age, NULL),
        Feature("btyd__mean_value", "money", "mean spend of repeat purchase days",
                lambda v: v.purchases.mean(*_positive_repeats(v)), "no repeat purchase paid for"),
        Feature("btyd__value_n", "days", "repeat purchase days that cost something",
                lambda v: np.bincount(_positive_repeats(v)[0], minlength=v.customers)),
    ]  # fmt: skip
