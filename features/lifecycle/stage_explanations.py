"""Why customers are in their stage, in a sentence: the comparisons that put them there."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from features.arrays import Array
from features.history.history import History
from features.lifecycle.rule_evaluation import Facts
from features.lifecycle.rule_language import COUNTED, VALUED, All, AnyOf, Compare, LatestOf, Rule
from features.lifecycle.sub_stages_and_flags import standing_facts
from features.lifecycle.taxonomy import Taxonomy

MOST_TOLD = 3
LIMITS = {"<": "under", "<=": "at most", ">": "over", ">=": "at least", "==": "exactly"}
WORDS = {
    "days_since_last": "last {subject} {value} days ago",
    "days_since_first": "first {subject} {value} days ago",
    "count": "{value} {subject} events{window}",
    "count_distinct_days": "{value} days with a {subject}{window}",
    "sum": "{subject} sum {value}{window}",
    "mean": "{subject} mean {value}{window}",
    "max": "largest {subject} {value}{window}",
    "last": "last {subject} value {value}",
    "ratio": "{value} {subject} events to each of {other}{window}",
}


def stage_reasons(
    taxonomy: Taxonomy, history: History, at: int, code: Array, *, minor_units: int
) -> list[str]:
    """One sentence a customer: the parts of the stage's rule that hold, with what was seen.

    Parameters
    ----------
    taxonomy, history
        The rules and the events of the customers asked about.
    at
        Day number of the date.
    code
        Their stage codes at that date.
    minor_units
        Decimal places of the currency.

    Returns
    -------
    list of str
        Such as ``last purchase 12 days ago (at most 28); 9 days with a purchase in 56 days (at
        least 8)``.
    """
    facts = standing_facts(taxonomy, history, at)
    sentences: list[list[str]] = [[] for _ in range(len(code))]
    for number, stage in enumerate(taxonomy.stages):
        members = np.flatnonzero(code == number)
        if not len(members):
            continue
        if stage.rule is None:
            for row in members:
                sentences[row].append("no rule of another stage holds")
            continue
        for leaf in _affirmed(stage.rule):
            holds = facts.holds(leaf)
            texts = _texts(leaf, facts, minor_units)
            for row in members[holds[members]]:
                if len(sentences[row]) < MOST_TOLD:
                    sentences[row].append(texts[row])
    return ["; ".join(dict.fromkeys(parts)) for parts in sentences]


def _affirmed(rule: Rule) -> Iterator[Compare | LatestOf]:
    """Comparisons that are not under a ``not``."""
    if isinstance(rule, All | AnyOf):
        for part in rule.parts:
            yield from _affirmed(part)
    elif isinstance(rule, Compare | LatestOf):
        yield rule


def _texts(leaf: Compare | LatestOf, facts: Facts, minor_units: int) -> list[str]:
    """The comparison in words, with each customer's own value."""
    if isinstance(leaf, LatestOf):
        return [f"the latest event is a {leaf.winner}"] * facts.customers
    measure = leaf.measure
    scale = 10.0**minor_units if measure.kind in VALUED else 1.0
    window = "" if measure.window is None else f" in {measure.window} days"
    limit = f"{LIMITS[leaf.sign]} {leaf.constant / scale:g}"
    template = WORDS[measure.kind]
    values = facts.measure(measure) / scale
    whole = measure.kind in COUNTED
    return [
        template.format(
            subject=measure.subject,
            other=measure.other,
            window=window,
            value="no" if np.isnan(value) else f"{value:.0f}" if whole else f"{value:g}",
        )
        + f" ({limit})"
        for value in values
    ]
