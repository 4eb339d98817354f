"""Liking: the columns of the scored row that say what a customer chooses, and where they answer."""

from __future__ import annotations

import numpy as np

from features.arrays import Array
from features.history.preference_smoothing import likely, population
from features.table.families.feature import FeatureSpec, View
from features.table.population_statistics import Everybody
from features.table.preferred_channel import preferred_channel


def liking(view: View, spec: FeatureSpec, everybody: Everybody | None = None) -> dict[str, Array]:
    """Preference columns of every customer, for the attributes of the spec.

    Parameters
    ----------
    view
        The customers.
    spec
        Roles and attributes of the data.
    everybody
        How all customers choose and answer, where the view holds only some of them.

    Returns
    -------
    dict
        ``preferred_<attribute>`` (bought) and ``interest_<attribute>`` (viewed, clicked): the
        likeliest value, None where none of the customer's is known; ``_share``: its smoothed
        share (`features.history.preference_smoothing`), NaN likewise; ``_n``: lines known of the
        customer. And ``preferred_channel``.
    """
    kinds = [("preferred", "bought")] if "purchase" in spec.roles else []
    if {"touch", "intent"} & set(spec.roles):
        kinds.append(("interest", "viewed"))
    columns: dict[str, Array] = {}
    for prefix, kind in kinds:
        columns |= _favourites(view, prefix, kind, spec.attributes, everybody)
    rates = None if everybody is None else everybody.responses
    return columns | {"preferred_channel": preferred_channel(view, rates)}


def _favourites(
    view: View,
    prefix: str,
    kind: str,
    attributes: tuple[str, ...],
    everybody: Everybody | None,
) -> dict[str, Array]:
    columns: dict[str, Array] = {}
    choosing, likeliest = view.chosen(kind), None
    if choosing is not None:
        population_view = None if everybody is None else everybody.liking(kind, choosing)
        choosing, shares = (
            (choosing, population(choosing)) if population_view is None else population_view
        )
        likeliest = likely(choosing, shares)
    for attribute in attributes:
        name = np.full(view.customers, None, dtype=object)
        share, n = np.full(view.customers, np.nan), np.zeros(view.customers)
        if choosing is not None and likeliest is not None:
            cells = choosing.of(attribute)
            positions = choosing.position[cells]
            name[positions] = choosing.names[likeliest.choice[cells]]
            share[positions], n[positions] = likeliest.share[cells], choosing.total[cells]
        columns |= {
            f"{prefix}_{attribute}": name,
            f"{prefix}_{attribute}_share": share,
            f"{prefix}_{attribute}_n": n,
        }
    return columns
