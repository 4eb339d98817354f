"""The channel in which a customer answers most, smoothed towards everybody's response rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from features.arrays import Array
from features.history.preference_smoothing import Choosing
from features.table.families.feature import View

RESPONSE_WEIGHT = 5.0  # sends that everybody's response rate counts for beside a customer's own


@dataclass(frozen=True)
class _Sends:
    """Messages to each customer in each channel, and the answers: one value a group of `sent`."""

    sent: Choosing
    groups: Array
    position: Array
    sends: Array
    answers: Array

    @classmethod
    def of(cls, view: View) -> _Sends | None:
        """None where nothing was sent, or nobody touched anything."""
        sent, touched = view.chosen("sent"), view.chosen("viewed")
        if sent is None or touched is None:
            return None
        groups = _groups(sent)
        position = sent.position[sent.cell[groups]]
        answers = _answers(touched, position, sent.names[sent.choice[groups]])
        return cls(sent, groups, position, sent.count[groups], answers)


def response_sums(view: View) -> tuple[dict[str, float], dict[str, float]]:
    """Messages sent in each channel, and those answered, by its name; additive over customers."""
    sent, made = view.chosen("sent"), _Sends.of(view)
    if sent is None:
        return {}, {}
    if made is None:  # nobody here touched anything; elsewhere somebody may have
        groups = _groups(sent)
        codes, names = sent.choice[groups], sent.names.tolist()
        counts = np.bincount(codes, sent.count[groups], len(names))
        found = {names[at]: float(counts[at]) for at in np.flatnonzero(counts)}
        return found, dict.fromkeys(found, 0.0)
    channel, size = made.sent.choice[made.groups], len(made.sent.names)
    names = made.sent.names.tolist()
    sends = np.bincount(channel, made.sends, size)
    answers = np.bincount(channel, made.answers, size)
    there = np.flatnonzero(sends)
    first, second = ({names[at]: float(each[at]) for at in there} for each in (sends, answers))
    return first, second


def response_rates(view: View) -> dict[str, float]:
    """Share of messages answered in each channel that messages went to, by its name."""
    return {} if _Sends.of(view) is None else rates(*response_sums(view))


def rates(sends: Mapping[str, float], answers: Mapping[str, float]) -> dict[str, float]:
    """Share of messages answered, from their sums."""
    return {name: answers[name] / max(n, 1.0) for name, n in sends.items()}


def preferred_channel(view: View, usual: Mapping[str, float] | None = None) -> Array:
    """Channel that a customer answers most: responses for each message sent there.

    The rate is drawn toward everybody's in that channel (`usual`; default: that of the view), as if
    `RESPONSE_WEIGHT` more messages had been answered like theirs. Only channels count in which the
    customer was written to, and only of customers who answered in one of them; of the others it is
    the channel of most touches and intents, else of most purchases; None where none is known.
    """
    found = np.full(view.customers, None, dtype=object)
    for kind in ("bought", "viewed"):
        made = view.chosen(kind)
        if made is not None:
            groups = _groups(made)
            _write_best(found, made, groups, made.count[groups])
    sends = _Sends.of(view)
    if sends is None:
        return found
    usual = response_rates(view) if usual is None else usual
    by_code = np.array([usual.get(name, 0.0) for name in sends.sent.names.tolist()])
    theirs = by_code[sends.sent.choice[sends.groups]]
    rate = (sends.answers + RESPONSE_WEIGHT * theirs) / (sends.sends + RESPONSE_WEIGHT)
    mine = np.bincount(sends.position, sends.answers, view.customers) > 0
    there = mine[sends.position]
    _write_best(found, sends.sent, sends.groups[there], rate[there])
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
