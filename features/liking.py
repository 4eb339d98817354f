"""Liking: the columns of the scored row that say what a customer chooses, and where they answer."""

from __future__ import annotations

import numpy as np

from features.catalog import FeatureSpec, View
from features.preferences import Array, Choosing, likely, population

RESPONSE_WEIGHT = 5.0  # sends that everybody's response rate counts for beside a customer's own


def liking(view: View, spec: FeatureSpec) -> dict[str, Array]:
    """Preference columns of every customer, for the attributes of the spec.

    Returns
    -------
    dict
        ``preferred_<attribute>`` (bought) and ``interest_<attribute>`` (viewed, clicked): the
        likeliest value, None where none of the customer's is known; ``_share``: its smoothed
        share (`features.preferences`), NaN likewise; ``_n``: lines known of the customer. And
        ``preferred_channel``.
    """
    kinds = [("preferred", "bought")] if "purchase" in spec.roles else []
    if {"touch", "intent"} & set(spec.roles):
        kinds.append(("interest", "viewed"))
    columns: dict[str, Array] = {}
    for prefix, kind in kinds:
        columns |= _favourites(view, prefix, kind, spec.attributes)
    return columns | {"preferred_channel": preferred_channel(view)}


def _favourites(
    view: View, prefix: str, kind: str, attributes: tuple[str, ...]
) -> dict[str, Array]:
    columns: dict[str, Array] = {}
    made = view.chosen(kind)
    best = None if made is None else likely(made, population(made))
    for attribute in attributes:
        name = np.full(view.customers, None, dtype=object)
        share, n = np.full(view.customers, np.nan), np.zeros(view.customers)
        if made is not None and best is not None:
            cells = made.of(attribute)
            where = made.position[cells]
            name[where] = made.names[best.choice[cells]]
            share[where], n[where] = best.share[cells], made.total[cells]
        columns |= {
            f"{prefix}_{attribute}": name,
            f"{prefix}_{attribute}_share": share,
            f"{prefix}_{attribute}_n": n,
        }
    return columns


def preferred_channel(view: View) -> Array:
    """Channel that a customer answers most: responses for each message sent there.

    The rate is drawn toward everybody's in that channel, as if `RESPONSE_WEIGHT` more messages had
    been answered like theirs. Only channels count in which the customer was written to, and only
    of customers who answered in one of them; of the others it is the channel of most touches and
    intents, else of most purchases; None where none is known.
    """
    found = np.full(view.customers, None, dtype=object)
    for kind in ("bought", "viewed"):
        made = view.chosen(kind)
        if made is not None:
            groups = _groups(made)
            _write_best(found, made, groups, made.count[groups])
    sent, touched = view.chosen("sent"), view.chosen("viewed")
    if sent is None or touched is None:
        return found
    groups = _groups(sent)
    sends = sent.count[groups]
    position = sent.position[sent.cell[groups]]
    answers = _answers(touched, position, sent.names[sent.choice[groups]])
    by_channel = sent.choice[groups]
    size = len(sent.names)
    answered = np.bincount(by_channel, answers, size)
    usual = answered / np.maximum(np.bincount(by_channel, sends, size), 1.0)
    rate = (answers + RESPONSE_WEIGHT * usual[by_channel]) / (sends + RESPONSE_WEIGHT)
    mine = np.bincount(position, answers, view.customers) > 0
    there = mine[position]
    _write_best(found, sent, groups[there], rate[there])
    return found


def _groups(made: Choosing) -> Array:
    code = np.flatnonzero(made.attributes == "channel")
    return np.flatnonzero(made.attribute == code[0]) if len(code) else np.zeros(0, dtype=np.int64)


def _answers(touched: Choosing, position: Array, channel: Array) -> Array:
    """Touches and intents of each customer in each channel; 0 where there are none."""
    groups = _groups(touched)
    if len(groups) == 0:
        return np.zeros(len(position))
    size = len(touched.names)
    key = touched.position[touched.cell[groups]] * size + touched.choice[groups]  # rising
    at = np.minimum(np.searchsorted(touched.names, channel), size - 1)
    wanted = position * size + at
    row = np.minimum(np.searchsorted(key, wanted), len(key) - 1)
    same = (key[row] == wanted) & (touched.names[at] == channel)
    return np.where(same, touched.count[groups][row], 0.0)


def _write_best(found: Array, made: Choosing, groups: Array, score: Array) -> None:
    """Write the channel of the highest score of each customer; ties go to the first by name."""
    position = made.position[made.cell[groups]]
    order = np.lexsort([-made.choice[groups], score, position])
    found[position[order]] = made.names[made.choice[groups][order]]
