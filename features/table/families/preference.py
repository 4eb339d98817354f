"""Preference: how concentrated purchases are on one value of each declared attribute."""

from __future__ import annotations

from functools import partial

import numpy as np

from features.arrays import Array
from features.table.families.feature import Feature, FeatureSpec, View


def _of_cells(view: View, attribute: str, fact: str, empty: float) -> Array:
    """A fact of the choices of an attribute, one value a customer."""
    values = np.full(view.customers, empty)
    choosing = view.chosen("bought")
    if choosing is not None:
        cells = choosing.of(attribute)
        values[choosing.position[cells]] = getattr(choosing, fact)[cells]
    return values


def _lines(view: View, attribute: str) -> Array:
    return _of_cells(view, attribute, "total", 0.0)


def _values(view: View, attribute: str) -> Array:
    return _of_cells(view, attribute, "distinct", 0.0)


def _share(view: View, attribute: str) -> Array:
    top = _of_cells(view, attribute, "top", np.nan)
    return top / np.maximum(_lines(view, attribute), 1.0)


def preference(spec: FeatureSpec) -> list[Feature]:
    """Share of the favourite value, lines known, and number of values, of every attribute."""
    features: list[Feature] = []
    for name in spec.attributes:
        null = f"no {name} known"
        features += [
            Feature(f"preference__{name}_share", "share", f"share of the favourite {name}",
                    partial(_share, attribute=name), null),
            Feature(f"preference__{name}_n", "events", f"lines with a known {name}",
                    partial(_lines, attribute=name)),
            Feature(f"preference__{name}_distinct", "events", f"different {name} values bought",
                    partial(_values, attribute=name)),
        ]  # fmt: skip
    return features
