"""Recency: days since each role happened last and first."""

from __future__ import annotations

from functools import partial

import numpy as np

from features.arrays import Array
from features.history.day_rows import FAR_PAST
from features.table.families.feature import Feature, FeatureSpec, View


def _since_last(view: View, role: str) -> Array:
    day = view.last(role, 0).last_day
    return np.where(day > FAR_PAST, view.at - day, np.nan)


def _since_first(view: View, role: str) -> Array:
    day = view.last(role, 0).first_day
    return np.where(day > FAR_PAST, view.at - day, np.nan)


def recency(spec: FeatureSpec) -> list[Feature]:
    """Days since the last and the first event of every role."""
    features: list[Feature] = []
    for role in spec.roles:
        null = f"never had a {role} event"
        features += [
            Feature(f"{role}__recency_days", "days", f"days since the last {role} event",
                    partial(_since_last, role=role), null),
            Feature(f"{role}__age_days", "days", f"days since the first {role} event",
                    partial(_since_first, role=role), null),
        ]  # fmt: skip
    return features
