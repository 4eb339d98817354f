"""Monetary: what was spent in every window, and how large the purchases were."""

from __future__ import annotations

from functools import partial

import numpy as np

from features.arrays import Array
from features.contracts import MONEY_ROLES
from features.table.families.feature import YEAR, Feature, FeatureSpec, View


def _sum(view: View, role: str, days: int) -> Array:
    return view.money(view.last(role, days).value)


def _mean(view: View, role: str, days: int) -> Array:
    count = view.last(role, days).count
    return np.where(count > 0, _sum(view, role, days) / np.maximum(count, 1), np.nan)


def _previous(view: View, role: str, days: int) -> Array:
    return view.money(view.between(role, 2 * days, days).value)


def _trend(view: View, role: str, days: int) -> Array:
    # Smoothed by a typical purchase of one unit of money on both sides.
    recent, earlier = _sum(view, role, days), _previous(view, role, days)
    return (np.abs(recent) + 1.0) / (np.abs(earlier) + 1.0)


def _year_ago(view: View, role: str, days: int) -> Array:
    return view.money(view.between(role, YEAR, YEAR - days).value)


def _amounts() -> list[Feature]:
    null = "never bought"
    return [
        Feature("purchase__amount_mean", "money", "mean spend of a purchase day",
                lambda v: v.purchases.mean(v.purchases.customer, v.purchases.amount), null),
        Feature("purchase__amount_sd", "money", "spread of the spend of purchase days",
                lambda v: v.purchases.sd(v.purchases.customer, v.purchases.amount),
                "fewer than two purchase days"),
        Feature("purchase__amount_last", "money", "spend of the last purchase day",
                lambda v: v.purchases.nth_last(v.purchases.amount, 0), null),
        Feature("purchase__amount_first", "money", "spend of the first purchase day",
                lambda v: v.purchases.first(v.purchases.amount), null),
        Feature("purchase__amount_max", "money", "largest spend of a purchase day",
                lambda v: v.purchases.largest(v.purchases.customer, v.purchases.amount), null),
    ]  # fmt: skip


def monetary(spec: FeatureSpec) -> list[Feature]:
    """Sums, means, the window before, their ratio, a year ago, and the size of purchases."""
    features: list[Feature] = []
    for role in (r for r in MONEY_ROLES if r in spec.roles):
        for days in (*spec.windows, 0):
            name = f"{days}d" if days else "all"
            span_words = f"in the last {days} days" if days else "so far"
            window = days or None
            features += [
                Feature(f"{role}__sum_{name}", "money", f"amount of {role} {span_words}",
                        partial(_sum, role=role, days=days), window_days=window),
                Feature(f"{role}__mean_{name}", "money", f"mean amount of a {role} {span_words}",
                        partial(_mean, role=role, days=days), f"no {role} {span_words}", window),
            ]  # fmt: skip
        for days in (w for w in spec.windows if w <= YEAR // 2):
            features += [
                Feature(f"{role}__sum_prev_{days}d", "money",
                        f"amount of {role} in the {days} days before the last {days}",
                        partial(_previous, role=role, days=days), window_days=days),
                Feature(f"{role}__sum_trend_{days}d", "ratio",
                        f"amount of {role} in the last {days} days against the {days} before",
                        partial(_trend, role=role, days=days), window_days=days),
                Feature(f"{role}__sum_year_ago_{days}d", "money",
                        f"amount of {role} a year ago in the {days} days that lie ahead",
                        partial(_year_ago, role=role, days=days), window_days=days),
            ]  # fmt: skip
    return [*features, *(_amounts() if "purchase" in spec.roles else [])]
