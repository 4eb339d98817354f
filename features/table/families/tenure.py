"""Tenure: how long the customer has been around, and how densely they bought since."""

from __future__ import annotations

import numpy as np

from features.arrays import Array
from features.contracts import LIFELESS_ROLES
from features.history.day_rows import FAR_PAST
from features.table.families.feature import Feature, FeatureSpec, View


def _first_life(view: View) -> Array:
    first_day = np.full(view.customers, np.inf)
    for role in view.history.roles:
        if role not in LIFELESS_ROLES:
            day = view.last(role, 0).first_day
            first_day = np.where(day > FAR_PAST, np.minimum(first_day, day), first_day)
    return first_day


def _tenure(view: View) -> Array:
    first_day = _first_life(view)
    return np.where(np.isfinite(first_day), view.at - first_day, np.nan)


def _rate(view: View) -> Array:
    return view.purchases.n / _tenure(view)


def tenure(spec: FeatureSpec) -> list[Feature]:
    """Days since the first sign of life, and purchase days a day of it."""
    null = "no sign of life yet, only messages sent"
    features = [Feature("tenure__days", "days", "days since the first sign of life", _tenure, null)]
    if "purchase" in spec.roles:
        features.append(
            Feature("tenure__purchase_rate", "ratio", "purchase days a day of tenure", _rate, null)
        )
    return features
