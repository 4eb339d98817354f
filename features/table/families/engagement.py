"""Engagement: how often and on how many days each role happened, in every window."""

from __future__ import annotations

from functools import partial

from features.arrays import Array
from features.table.families.feature import YEAR, Feature, FeatureSpec, View


def _count(view: View, role: str, days: int) -> Array:
    return view.last(role, days).count


def _days(view: View, role: str, days: int) -> Array:
    return view.last(role, days).days


def _previous(view: View, role: str, days: int) -> Array:
    return view.between(role, 2 * days, days).count


def _trend(view: View, role: str, days: int) -> Array:
    # One is added to both sides so that a silent window is a small number, not an infinite one.
    return (_count(view, role, days) + 1.0) / (_previous(view, role, days) + 1.0)


def _year_ago(view: View, role: str, days: int) -> Array:
    return view.between(role, YEAR, YEAR - days).count


def engagement(spec: FeatureSpec) -> list[Feature]:
    """Counts, distinct days, the window before, their ratio, and the window to come a year ago."""
    features: list[Feature] = []
    for role in spec.roles:
        for days in (*spec.windows, 0):
            name = f"{days}d" if days else "all"
            span_words = f"in the last {days} days" if days else "so far"
            window = days or None
            features += [
                Feature(f"{role}__count_{name}", "events", f"{role} events {span_words}",
                        partial(_count, role=role, days=days), window_days=window),
                Feature(f"{role}__days_{name}", "days", f"days with a {role} event {span_words}",
                        partial(_days, role=role, days=days), window_days=window),
            ]  # fmt: skip
        for days in (w for w in spec.windows if w <= YEAR // 2):
            features += [
                Feature(f"{role}__count_prev_{days}d", "events",
                        f"{role} events in the {days} days before the last {days}",
                        partial(_previous, role=role, days=days), window_days=days),
                Feature(f"{role}__trend_{days}d", "ratio",
                        f"{role} events of the last {days} days against the {days} before",
                        partial(_trend, role=role, days=days), window_days=days),
                Feature(f"{role}__count_year_ago_{days}d", "events",
                        f"{role} events a year ago in the {days} days that lie ahead this year",
                        partial(_year_ago, role=role, days=days), window_days=days),
            ]  # fmt: skip
    return features
