"""The channel in which a customer answers most, smoothed towards the response rates of all."""

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
        """Return None if nothing was sent, or no customer touched anything."""
        sent, touched = view.chosen("sent"), view.chosen("viewed")
        if sent is None or touched is None:
            return None
        groups = _groups(sent)
        position = sent.position[sent.cell[groups]]
        answers = _answers(touched, position, sent.names[sent.choice[groups]])
        return cls(sent, groups, position, sent.count[groups], answers)


def response_sums(view: View) -> tuple[dict[str, float], dict[str, float]]:
    """Messages sent in each channel, and those answered, by its name; additive over customers."""
    sent, sends_and_answers = view.chosen("sent"), _Sends.of(view)
    if sent is None:
        return {}, {}
    if sends_and_answers is None:  # nobody here touched anything; elsewhere somebody may have
        groups = _groups(sent)
        codes, names = sent.choice[groups], sent.names.tolist()
        counts = np.bincount(codes, sent.count[groups], len(names))
        sent_by_channel = {names[at]: float(counts[at]) for at in np.flatnonzero(counts)}
        return sent_by_channel, dict.fromkeys(sent_by_channel, 0.0)
    channel, size = (
        sends_and_answers.sent.choice[sends_and_answers.groups],
        len(sends_and_answers.sent.names),
    )
    names = sends_and_answers.sent.names.tolist()
    sends = np.bincount(channel, sends_and_answers.sends, size)
    answers = np.bincount(channel, sends_and_answers.answers, size)
    channel_codes = np.flatnonzero(sends)
    first, second = (
        {names[at]: float(each[at]) for at in channel_codes} for each in (sends, answers)
    )
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
    channels = np.full(view.customers, None, dtype=object)
    for kind in ("bought", "viewed"):
        choosing = view.chosen(kind)
        if choosing is not None:
            groups = _groups(choosing)
            _write_best(channels, choosing, groups, choosing.count[groups])
    sends = _Sends.of(view)
    if sends is None:
        return channels
    usual = response_rates(view) if usual is None else usual
    by_code = np.array([usual.get(name, 0.0) for name in sends.sent.names.tolist()])
    usual_rates = by_code[sends.sent.choice[sends.groups]]
    rate = (sends.answers + RESPONSE_WEIGHT * usual_rates) / (sends.sends + RESPONSE_WEIGHT)
    has_answered = np.bincount(sends.position, sends.answers, view.customers) > 0
    of_answerers = has_answered[sends.position]
    _write_best(channels, sends.sent, sends.groups[of_answerers], rate[of_answerers])
    return channels


def _groups(choosing: Choosing) -> Array:
    code = np.flatnonzero(choosing.attributes == "channel")
    return (
        np.flatnonzero(choosing.attribute == code[0]) if len(code) else np.zeros(0, dtype=np.int64)
    )


def _answers(touched: Choosing, position: Array, channel: Array) -> Array:
    """Touches and intents of each customer in each channel; 0 where there are none."""
    groups = _groups(touched)
    if len(groups) == 0:
        return np.zeros(len(position))
    size = len(touched.names)
    key = touched.position[touched.cell[groups]] * size + touched.choice[groups]  # rising
    channel_codes = np.minimum(np.searchsorted(touched.names, channel), size - 1)
    wanted_keys = position * size + channel_codes
    row = np.minimum(np.searchsorted(key, wanted_keys), len(key) - 1)
    is_match = (key[row] == wanted_keys) & (touched.names[channel_codes] == channel)
    return np.where(is_match, touched.count[groups][row], 0.0)


def _write_best(channels: Array, choosing: Choosing, groups: Array, score: Array) -> None:
    """Write the channel of the highest score of each customer; ties go to the first by name."""
    position = choosing.position[choosing.cell[groups]]
    order = np.lexsort([-choosing.choice[groups], score, position])
    channels[position[order]] = choosing.names[choosing.choice[groups][order]]
