"""The language of rules: what a stage, a sub-stage or a flag asks of a customer's past."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from features.history.day_rows import Subject

Per = Literal["order", "day"]
# Measures that are whole numbers, and those in the currency's minor units, as tallies hold them.
COUNTED = ("count", "count_distinct_days")
CLOCKS = ("days_since_last", "days_since_first")
VALUED = ("sum", "mean", "max", "last")
MEASURES = (*CLOCKS, *COUNTED, *VALUED, "ratio")
WINDOWED = (*COUNTED, *VALUED, "ratio")
COMPARISONS = ("<", "<=", ">", ">=", "==")


@dataclass(frozen=True)
class Measure:
    """A number that a rule compares.

    Attributes
    ----------
    kind
        One of `MEASURES`.
    subject
        Of which events.
    window
        Days before the reference date; None: lifetime.
    per
        Whether a day's events count one by one or as one (their amounts summed).
    other
        What a ``ratio`` divides by.
    """

    kind: str
    subject: Subject
    window: int | None = None
    per: Per = "order"
    other: Subject | None = None

    def __str__(self) -> str:
        text = f"{self.kind} of {self.subject}"
        if self.other is not None:
            text += f" to {self.other}"
        if self.window is not None:
            text += f" in {self.window} days"
        return text + (" per day" if self.per == "day" else "")


@dataclass(frozen=True)
class Compare:
    """A measure against a constant; false where the measure is missing."""

    measure: Measure
    sign: str
    constant: float


@dataclass(frozen=True)
class LatestOf:
    """The last event of several subjects is one of the winner's.

    Of two at the same instant, that of the subject named later counts as the later.
    """

    subjects: tuple[Subject, ...]
    winner: Subject

    def __str__(self) -> str:
        return f"the latest of {', '.join(map(str, self.subjects))} is {self.winner}"


@dataclass(frozen=True)
class InStage:
    """The customer is in a stage, or was on some day of the window before the date (flags only)."""

    stage: str
    window: int | None = None

    def __str__(self) -> str:
        if self.window is None:
            return f"the stage is {self.stage}"
        return f"the stage was {self.stage} within {self.window} days"


@dataclass(frozen=True)
class All:
    """Every part holds."""

    parts: tuple[Rule, ...]


@dataclass(frozen=True)
class AnyOf:
    """At least one part holds."""

    parts: tuple[Rule, ...]


@dataclass(frozen=True)
class Not:
    """The part does not hold (after missing values have made comparisons false)."""

    part: Rule


Leaf = Compare | LatestOf | InStage
Rule = Leaf | All | AnyOf | Not


def leaves(rule: Rule) -> Iterator[Leaf]:
    """All leaves of a rule, in order."""
    if isinstance(rule, Not):
        yield from leaves(rule.part)
    elif isinstance(rule, All | AnyOf):
        for part in rule.parts:
            yield from leaves(part)
    else:
        yield rule


def subjects_of(rule: Rule) -> Iterator[Subject]:
    """All subjects that a rule asks for."""
    for leaf in leaves(rule):
        if isinstance(leaf, Compare):
            yield leaf.measure.subject
            if leaf.measure.other is not None:
                yield leaf.measure.other
        elif isinstance(leaf, LatestOf):
            yield from leaf.subjects


def window_of(leaf: Leaf) -> int | None:
    """Finite window of a leaf: its own, or the limit of ``days_since_last <= n``."""
    if not isinstance(leaf, Compare):
        return None
    if leaf.measure.window is not None:
        return leaf.measure.window
    if leaf.measure.kind == "days_since_last":
        return int(leaf.constant)
    return None
