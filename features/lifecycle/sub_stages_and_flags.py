"""Where customers stand: sub-stages, flags, counts, moves, the stage path, and the reasons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.arrays import Array
from features.calendar import day_date
from features.history.day_rows import Subject
from features.history.history import History
from features.lifecycle.rule_evaluation import Facts
from features.lifecycle.rule_language import (
    VALUED,
    All,
    AnyOf,
    Compare,
    InStage,
    LatestOf,
    Measure,
    Not,
    Rule,
)
from features.lifecycle.stage_engine import decide, stage_at
from features.lifecycle.stage_spells import Stay
from features.lifecycle.taxonomy import Named, Taxonomy

BLOCK = 10_000  # customers whose stage path is followed at a time


@dataclass(frozen=True)
class StandingFacts(Facts):
    """Facts that also know the stages, for flags.

    Attributes
    ----------
    taxonomy
        The stages.
    past
        The history that is not cut, for stages before the date.
    exists_from
        First day on which each customer exists.
    stay
        The present stay of every customer, where it is known: who has long been in one stage was
        in no other.
    """

    taxonomy: Taxonomy | None = None
    past: History | None = None
    exists_from: Array | None = None
    stay: Stay | None = None

    def in_stage(self, leaf: InStage, among: Array | None = None) -> Array:
        """Whether a customer is in a stage, or was on a day of the window before the date."""
        if self.taxonomy is None or self.past is None or not isinstance(self.at, int):
            raise ValueError("stages are asked for at one date, of a taxonomy and a history")
        stage_code = self.taxonomy.code(leaf.stage)
        is_in_stage = np.zeros(self.customers, dtype=bool)
        open_positions = np.arange(self.customers) if among is None else np.flatnonzero(among)
        if leaf.window is None:
            is_in_stage[open_positions] = (
                stage_at(self.taxonomy, self.past, self.at, positions=open_positions) == stage_code
            )
            return is_in_stage
        if self.stay is not None:
            spans_window = self.stay.since[open_positions] <= self.at - leaf.window
            unmoved, open_positions = open_positions[spans_window], open_positions[~spans_window]
            matches = stage_at(self.taxonomy, self.past, self.at, positions=unmoved) == stage_code
            is_in_stage[unmoved[matches]] = True
        for day in range(self.at - 1, self.at - leaf.window - 1, -1):
            if self.exists_from is not None:
                open_positions = open_positions[self.exists_from[open_positions] <= day]
            matches = (
                stage_at(self.taxonomy, self.past, day, positions=open_positions) == stage_code
            )
            is_in_stage[open_positions[matches]] = True
            open_positions = open_positions[~matches]
        return is_in_stage


def standing_facts(
    taxonomy: Taxonomy, history: History, at: int, *, stay: Stay | None = None
) -> StandingFacts:
    """Facts of every customer at a date for all rules of a taxonomy (`stay` saves time)."""
    rule_history = history.only(taxonomy.subjects())
    return StandingFacts(
        rule_history.known_before(at), at, at, taxonomy=taxonomy, past=rule_history,
        exists_from=history.exists_from, stay=stay,
    )  # fmt: skip


def sub_stages(taxonomy: Taxonomy, facts: Facts, code: Array) -> Array:
    """Sub-stage of every customer (object; None where the stage has none that holds)."""
    sub_stage_names = np.full(len(code), None, dtype=object)
    for number, stage in enumerate(taxonomy.stages):
        undecided = code == number
        for sub in stage.sub_stages:
            matches = undecided if sub.rule is None else undecided & facts.holds(sub.rule)
            sub_stage_names[matches] = sub.name
            undecided &= ~matches
    return sub_stage_names


def flags(taxonomy: Taxonomy, facts: Facts) -> dict[str, Array]:
    """Truth of every flag for every customer, by name."""
    return {f.name: facts.holds(f.rule) for f in taxonomy.flags if f.rule is not None}


@dataclass(frozen=True)
class Standing:
    """Stages of a set of customers at one date, and how they moved to a second one.

    Attributes
    ----------
    counts
        Customers by stage at the first date, of those who exist then.
    transitions
        Of the same customers: by stage at the first date, customers by stage at the second;
        empty where there is no second date.
    """

    counts: dict[str, int]
    transitions: dict[str, dict[str, int]]


def standing(taxonomy: Taxonomy, history: History, at: int, to: int | None = None) -> Standing:
    """Counts at a date and moves to a later one (see `Standing`)."""
    exists = history.exists_from <= at
    names = taxonomy.names
    first_codes = stage_at(taxonomy, history, at)[exists]
    counts = np.bincount(first_codes, minlength=len(names))
    moves: dict[str, dict[str, int]] = {}
    if to is not None:
        second_codes = stage_at(taxonomy, history, to)[exists]
        pair_counts = np.bincount(
            first_codes * len(names) + second_codes, minlength=len(names) ** 2
        )
        transition_table = pair_counts.reshape(len(names), len(names)).tolist()
        moves = {
            a: dict(zip(names, row, strict=True))
            for a, row in zip(names, transition_table, strict=True)
        }
    return Standing(dict(zip(names, counts.tolist(), strict=True)), moves)


def stage_path(
    taxonomy: Taxonomy, history: History, days: Sequence[int]
) -> Iterator[tuple[int, Array, Array]]:
    """Stages on a grid of dates: the date, the positions of those who exist, and their codes."""
    stage_history, exists_from = history.only(taxonomy.stage_subjects()), history.exists_from
    codes = np.empty((len(days), len(exists_from)), dtype=np.int8)
    # A block of customers stays in the processor's cache while all dates pass over it.
    for start in range(0, len(exists_from), BLOCK):
        block = np.arange(start, min(start + BLOCK, len(exists_from)))
        block_history = stage_history.take(block)
        for number, day in enumerate(days):
            codes[number, block] = stage_at(taxonomy, block_history, day)
    for number, day in enumerate(days):
        existing = np.flatnonzero(exists_from <= day)
        yield day, existing, codes[number, existing]


def path_frame(
    taxonomy: Taxonomy, history: History, day: int, positions: Array, code: Array
) -> Any:
    """One date of a stage path as a table.

    Returns
    -------
    DataFrame
        customer_id, snapshot_at, stage; one row an existing customer.
    """
    return pd.DataFrame(
        {
            "customer_id": history.customers[positions].astype(object),
            "snapshot_at": pd.Timestamp(day_date(day)).as_unit("s"),
            "stage": pd.Categorical.from_codes(code, taxonomy.names),
        }
    )


@dataclass(frozen=True)
class Reason:
    """One step of an explanation: what was asked, what was seen, and how deep it stands.

    Attributes
    ----------
    depth
        0 for a stage, sub-stage or flag; more for the parts of its rule.
    text
        What was asked.
    holds
        Whether it held.
    seen
        The value compared; empty where there is none to show, ``missing`` where there was none.
    """

    depth: int
    text: str
    holds: bool
    seen: str = ""


def explain(
    taxonomy: Taxonomy, history: History, position: int, at: int, *, minor_units: int
) -> list[Reason]:
    """Why a customer is in their stage at a date: every rule tried, up to the one that held.

    Sub-stages of that stage and all flags follow.
    """
    customer_history = history.take(np.array([position]))
    facts = standing_facts(taxonomy, customer_history, at)
    code = int(decide(taxonomy, facts)[0])
    reasons: list[Reason] = []
    for number in taxonomy.order:
        stage = taxonomy.stages[number]
        reasons += _tried(Named(stage.name, stage.rule), "stage", facts, minor_units)
        if number == code:
            break
    for sub in taxonomy.stages[code].sub_stages:
        sub_stage_reasons = _tried(sub, "sub-stage", facts, minor_units)
        reasons += sub_stage_reasons
        if sub_stage_reasons[0].holds:
            break
    for flag in taxonomy.flags:
        reasons += _tried(flag, "flag", facts, minor_units)
    return reasons


def _tried(named: Named, kind: str, facts: Facts, minor_units: int) -> list[Reason]:
    if named.rule is None:
        return [Reason(0, f"{kind} {named.name} (default)", holds=True)]
    holds = bool(facts.holds(named.rule)[0])
    return [
        Reason(0, f"{kind} {named.name}", holds),
        *_steps(named.rule, facts, 1, minor_units),
    ]


def _steps(rule: Rule, facts: Facts, depth: int, minor_units: int) -> Iterator[Reason]:
    holds = bool(facts.holds(rule)[0])
    if isinstance(rule, All | AnyOf):
        yield Reason(depth, "all of" if isinstance(rule, All) else "any of", holds)
        for part in rule.parts:
            yield from _steps(part, facts, depth + 1, minor_units)
    elif isinstance(rule, Not):
        yield Reason(depth, "not", holds)
        yield from _steps(rule.part, facts, depth + 1, minor_units)
    elif isinstance(rule, Compare):
        scale = 10.0**minor_units if rule.measure.kind in VALUED else 1.0
        value = float(facts.measure(rule.measure)[0])
        shown_value = "missing" if np.isnan(value) else f"{value / scale:g}"
        text = f"{rule.measure} {rule.sign} {rule.constant / scale:g}"
        yield Reason(depth, text, holds, shown_value)
    else:
        yield Reason(depth, str(rule), holds, _seen(rule, facts))


def _seen(rule: LatestOf | InStage, facts: Facts) -> str:
    if isinstance(rule, InStage):
        return ""
    days = {s.name: _last(facts, s) for s in rule.subjects}
    return ", ".join(f"{name} {day}" for name, day in days.items())


def _last(facts: Facts, subject: Subject) -> str:
    days = float(facts.measure(Measure("days_since_last", subject))[0])
    return "never" if np.isnan(days) else f"{days:g} days ago"
