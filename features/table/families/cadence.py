"""Cadence: the rhythm of purchase days, and how overdue the next one is against it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from features.arrays import Array
from features.table.families.feature import Feature, FeatureSpec, View

NULL = "fewer than two purchase days"


def _gap_mean(view: View) -> Array:
    return view.purchases.gap_mean


def _gap_sd(view: View) -> Array:
    return view.purchases.gap_sd


def _gap_max(view: View) -> Array:
    return view.purchases.gap_max


def _gap_median(view: View) -> Array:
    return view.purchases.gap_median


def _gap_last(view: View) -> Array:
    days = view.purchases
    return days.nth_last(days.day, 0) - days.nth_last(days.day, 1)


def _gap_previous(view: View) -> Array:
    days = view.purchases
    return days.nth_last(days.day, 1) - days.nth_last(days.day, 2)


def _gap_last3(view: View) -> Array:
    days = view.purchases
    return (days.nth_last(days.day, 0) - days.nth_last(days.day, 3)) / 3.0


def _gap_cv(view: View) -> Array:
    return _gap_sd(view) / _gap_mean(view)


def _overdue(view: View, gap: Callable[[View], Array]) -> Array:
    return (view.at - view.purchases.nth_last(view.purchases.day, 0)) / gap(view)


def _span(view: View) -> Array:
    days = view.purchases
    return days.nth_last(days.day, 0) - days.first(days.day)


def cadence(spec: FeatureSpec) -> list[Feature]:
    """Gaps between purchase days, and the present silence as a multiple of them."""
    if "purchase" not in spec.roles:
        return []
    gaps: dict[str, tuple[Callable[[View], Array], str, str]] = {
        "mean": (_gap_mean, "mean gap between purchase days", NULL),
        "sd": (_gap_sd, "spread of the gaps between purchase days", "fewer than three"),
        "cv": (_gap_cv, "irregularity of the gaps (spread over mean)", "fewer than three"),
        "last": (_gap_last, "gap before the last purchase day", NULL),
        "previous": (_gap_previous, "gap before the last but one", "fewer than three"),
        "max": (_gap_max, "longest gap between purchase days", NULL),
        "median": (_gap_median, "usual gap between purchase days", NULL),
        "last3": (_gap_last3, "mean of the last three gaps", "fewer than four"),
    }
    features = [
        Feature(f"cadence__gap_{name}", "ratio" if name == "cv" else "days", said, of, null)
        for name, (of, said, null) in gaps.items()
    ]
    features += [
        Feature(f"cadence__recency_over_gap_{name}", "ratio",
                f"days since the last purchase as a multiple of the {gaps[name][1]}",
                partial(_overdue, gap=gaps[name][0]), gaps[name][2])
        for name in ("mean", "median", "max", "last", "last3")
    ]  # fmt: skip
    return [
        *features,
        Feature("cadence__span_days", "days", "days from first to last purchase", _span,
                "never bought"),
        Feature("cadence__days", "days", "purchase days so far",
                lambda v: v.purchases.n.astype(np.float64)),
    ]  # fmt: skip
