"""Preference: how concentrated purchases are on one value of each declared attribute."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from features.catalog import Array, Feature, FeatureSpec, View
from features.windows import Choices


@dataclass(frozen=True)
class Favourite:
    """The favourite value of one attribute, one row a customer.

    Attributes
    ----------
    choice
        Code into the choices; -1 where the attribute was never chosen.
    top, total, distinct
        Lines of the favourite, of all values, and the number of values chosen.
    """

    choice: Array
    top: Array
    total: Array
    distinct: Array


def favourite(choices: Choices | None, attribute: str, at: int, customers: int) -> Favourite:
    """Favourite value of an attribute at a snapshot; ties go to the first by name."""
    zero = np.zeros(customers)
    if choices is None:
        return Favourite(np.full(customers, -1), zero, zero, zero)
    found = np.flatnonzero(choices.attributes == attribute)
    if len(found) == 0:
        return Favourite(np.full(customers, -1), zero, zero, zero)
    counts = choices.counts_at(at)
    mine = np.flatnonzero((choices.attribute == found[0]) & (counts > 0))
    position, count = choices.position[mine], counts[mine]
    # Stable: the smallest choice code of the largest count comes last and stays written.
    order = np.lexsort([-choices.choice[mine], count, position])
    choice, top = np.full(customers, -1), zero.copy()
    choice[position[order]] = choices.choice[mine][order]
    top[position[order]] = count[order]
    # Without any row, bincount forgets the type of its weights.
    total = np.bincount(position, weights=count, minlength=customers).astype(np.float64)
    distinct = np.bincount(position, minlength=customers).astype(np.float64)
    return Favourite(choice, top, total, distinct)


def _favourite(view: View, attribute: str) -> Favourite:
    bought = view.history.choices.get("bought")
    return favourite(bought, attribute, view.at, view.customers)


def _lines(view: View, attribute: str) -> Array:
    return _favourite(view, attribute).total


def _values(view: View, attribute: str) -> Array:
    return _favourite(view, attribute).distinct


def _share(view: View, attribute: str) -> Array:
    best = _favourite(view, attribute)
    return np.where(best.total > 0, best.top / np.maximum(best.total, 1.0), np.nan)


def preference(spec: FeatureSpec) -> list[Feature]:
    """Share of the favourite value, lines known, and number of values, of every attribute."""
    found: list[Feature] = []
    for name in spec.attributes:
        null = f"no {name} known"
        found += [
            Feature(f"preference__{name}_share", "share", f"share of the favourite {name}",
                    partial(_share, attribute=name), null),
            Feature(f"preference__{name}_n", "events", f"lines with a known {name}",
                    partial(_lines, attribute=name)),
            Feature(f"preference__{name}_distinct", "events", f"different {name} values bought",
                    partial(_values, attribute=name)),
        ]  # fmt: skip
    return found
