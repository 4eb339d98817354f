"""A family of features, and a measure for rules. Both see only what was known at the snapshot."""

from __future__ import annotations

import numpy as np

from features.arrays import Array
from features.history.windows import Window
from features.table.families.feature import Feature, FeatureSpec, View


def _is_weekend(day: Array) -> Array:
    return np.asarray((day + 3) % 7 >= 5)  # day 0, 1970-01-01, was a Thursday


def _weekend_share(view: View) -> Array:
    days = view.purchases  # every customer's purchase days before the snapshot, in order
    return days.mean(days.customer, _is_weekend(days.day).astype(np.float64))


def weekend(spec: FeatureSpec) -> list[Feature]:
    """Share of the purchase days that are Saturdays or Sundays."""
    if "purchase" not in spec.roles:
        return []
    return [
        Feature(
            "weekend__purchase_share",
            "share",
            "share of purchase days that are Saturdays or Sundays",
            _weekend_share,
            null="never bought",
        )
    ]


def weekend_days(window: Window) -> Array:
    """1 for customers with a last event on a Saturday or Sunday of the window, else 0.

    As in ``{weekend_days: purchase, window: 90, ">=": 1}``.
    """
    return (_is_weekend(window.last_day) & (window.count > 0)).astype(np.float64)
