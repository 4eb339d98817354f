"""What rules may know of every customer at a date, and whether they hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from features.arrays import Array
from features.history.day_rows import FAR_PAST, Edge, Subject
from features.history.history import History
from features.history.windows import Window
from features.lifecycle.plugin_measures import plugin_values
from features.lifecycle.rule_language import (
    MEASURES,
    All,
    Compare,
    InStage,
    LatestOf,
    Measure,
    Not,
    Rule,
)

COMPARE: Mapping[str, Callable[[Array, float], Array]] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
}
# Facts of a day's row that a measure reads: by event, and by day.
DAY_FACTS = {
    ("max", "order"): "largest",
    ("max", "day"): "value",
    ("last", "order"): "latest",
    ("last", "day"): "value",
}


@dataclass(frozen=True)
class Facts:
    """What rules may know of every customer at a date: events before it and known by then.

    Attributes
    ----------
    history
        Already cut to what was known before `known_before`.
    at
        Day number of the reference date, one for all or one a customer.
    known_before
        Events on or after this day are not known; at most `at` unless silence is simulated.
    added_purchases
        Purchases imagined on as many extra days just before `at`.
    who
        Positions of the customers looked at, rising; None: all. Every array has one value for
        each of them.
    """

    history: History
    at: Array | int
    known_before: Array | int
    added_purchases: int = 0
    who: Array | None = None
    _measured: dict[tuple[Measure, int], Array] = field(default_factory=dict, compare=False)
    _windows: dict[tuple[Subject, int | None], Window] = field(default_factory=dict, compare=False)
    _ends: dict[Subject, Edge] = field(default_factory=dict, compare=False)

    @property
    def customers(self) -> int:
        """Number of customers looked at."""
        return len(self.history.customers if self.who is None else self.who)

    def bounds(self, window: int | None) -> tuple[Array | int, Array | int]:
        """First day within and first day after a window that ends at the reference date."""
        first_day = FAR_PAST + 1 if window is None else self.at - window
        if isinstance(self.known_before, int) and np.all(self.at >= self.known_before):
            return first_day, self.known_before
        if isinstance(self.at, int) and isinstance(self.known_before, int):
            return first_day, self.at
        return first_day, np.minimum(self.at, self.known_before)

    def later(self, at: Array | int) -> Facts:
        """The same knowledge at a reference day that is later, or later for some."""
        past = {key: window for key, window in self._windows.items() if key[1] is None}
        return replace(self, at=at, _measured={}, _windows=past)

    def end(self, subject: Subject, end_day: Array | int) -> Edge | None:
        """Where every window of a subject ends, where all of them end on one day."""
        rows = self.history.rows(subject)
        if rows is not None and subject not in self._ends:
            self._ends[subject] = rows.edge(end_day, self.who)
        return self._ends.get(subject)

    def window(self, subject: Subject, window: int | None) -> Window | None:
        """The subject's facts in a window; None where the data have no such role."""
        key = (subject, window)
        rows = self.history.rows(subject)
        if rows is None:
            return None
        if key not in self._windows:
            first_day, end_day = self.bounds(window)
            end = self.end(subject, end_day)
            self._windows[key] = Window(rows, first_day, end_day, self.who, end=end)
        return self._windows[key]

    def measure(self, measure: Measure) -> Array:
        """Value of a measure for every customer (float64, NaN where missing)."""
        key = (measure, max(self._added(measure.subject), self._added(measure.other)))
        if key not in self._measured:
            self._measured[key] = self._measure(measure)
        return self._measured[key]

    def _added(self, subject: Subject | None) -> int:
        return self.added_purchases if subject == Subject("purchase") else 0

    def _measure(self, measure: Measure) -> Array:
        kind, subject = measure.kind, measure.subject
        if kind == "ratio":
            return self._ratio(measure)
        if kind in ("count", "count_distinct_days"):
            return self._number(subject, measure.window, by_day=kind == "count_distinct_days")
        added, window = self._added(subject), self.window(subject, measure.window)
        if kind in ("days_since_last", "days_since_first"):
            return self._days_since(window, first=kind == "days_since_first", added=added)
        if window is None:
            return np.full(self.customers, np.nan)
        if kind not in MEASURES:
            return plugin_values(kind, window)
        if kind in ("max", "last"):
            fact = DAY_FACTS[kind, measure.per]
            return window.top(fact) if kind == "max" else window.last_fact(fact)
        counted = window.days if measure.per == "day" else window.count
        has_events = counted > 0
        total = np.where(has_events, window.value, np.nan)
        return total if kind == "sum" else total / np.where(has_events, counted, np.nan)

    def _number(self, subject: Subject, days: int | None, *, by_day: bool) -> Array:
        added, window = self._added(subject), self.window(subject, days)
        if window is None:
            return np.full(self.customers, float(added))
        return ((window.days if by_day else window.count) + added).astype(np.float64)

    def _ratio(self, measure: Measure) -> Array:
        by_day, denominator = measure.per == "day", measure.other or measure.subject
        denominator_count = self._number(denominator, measure.window, by_day=by_day)
        numerator_count = self._number(measure.subject, measure.window, by_day=by_day)
        return numerator_count / np.where(denominator_count > 0, denominator_count, np.nan)

    def _days_since(self, window: Window | None, *, first: bool, added: int) -> Array:
        if window is None:
            return np.full(self.customers, 1.0 if added else np.nan)
        elapsed_days = days_before(self.at, window.first_day if first else window.last_day)
        if added and first:
            return np.where(np.isnan(elapsed_days), 1.0, elapsed_days)
        return np.ones(self.customers) if added else elapsed_days

    def latest(self, leaf: LatestOf) -> Array:
        """Truth of which subject the last event is of, for every customer."""
        if self.added_purchases and Subject("purchase") in leaf.subjects:
            return np.full(self.customers, leaf.winner == Subject("purchase"))
        latest_day = np.full(self.customers, FAR_PAST)
        latest_instant, latest_subject = (
            np.full(self.customers, -np.inf),
            np.full(self.customers, -1),
        )
        for number, subject in enumerate(leaf.subjects):
            window = self.window(subject, None)
            if window is None:
                continue
            day, instant = window.last_day, window.last_fact("last_at")
            is_later = (day > FAR_PAST) & (
                (day > latest_day) | ((day == latest_day) & (instant >= latest_instant))
            )
            latest_day, latest_instant = (
                np.where(is_later, day, latest_day),
                np.where(is_later, instant, latest_instant),
            )
            latest_subject[is_later] = number
        return latest_subject == leaf.subjects.index(leaf.winner)

    def compare(self, compare: Compare) -> Array:
        """Truth of a comparison for every customer; false where the measure is missing."""
        with np.errstate(invalid="ignore"):
            return COMPARE[compare.sign](self.measure(compare.measure), compare.constant)

    def in_stage(self, leaf: InStage, among: Array | None = None) -> Array:
        """Truth of being in a stage; only flags may ask (see
        `features.lifecycle.sub_stages_and_flags`).
        """
        raise ValueError(f"a rule of a stage asks for a stage: {leaf}")

    def holds(self, rule: Rule, among: Array | None = None) -> Array:
        """Truth of a rule for every customer.

        `among` are those whose truth is of use: for the others it may be given as false.
        """
        if isinstance(rule, Compare):
            return self.compare(rule)
        if isinstance(rule, LatestOf):
            return self.latest(rule)
        if isinstance(rule, InStage):
            return self.in_stage(rule, among)
        if isinstance(rule, Not):
            return ~self.holds(rule.part)
        if isinstance(rule, All):
            # Stages of the past cost most: they are asked last, of those for whom all else holds.
            parts = sorted(rule.parts, key=lambda part: isinstance(part, InStage))
            truth = self.holds(parts[0], among)
            for part in parts[1:]:
                truth = truth & self.holds(part, truth)
            return truth
        truth = self.holds(rule.parts[0])
        for part in rule.parts[1:]:
            truth = truth | self.holds(part)
        return truth


def days_before(at: Array | int, day: Array) -> Array:
    """Days from a day to a date (float64); NaN where there is no such day."""
    return np.where(day > FAR_PAST, at - day, np.nan)
