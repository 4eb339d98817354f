"""The rule engine: which stage every customer is in, at any date, from events before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from features.day_rows import FAR_PAST, DayRows, Window
from features.taxonomy import All, Compare, Measure, Not, Rule, Taxonomy
from features.windows import History

Array = np.ndarray[Any, Any]
COMPARE: Mapping[str, Callable[[Array, float], Array]] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
}
MOST_PURCHASES_ASKED = 10  # "purchases needed" looks no further
FURTHEST_CLOCK = 4096  # days ahead at which the clock is read at most


@dataclass(frozen=True)
class Facts:
    """What rules may know of every customer at a date: events before it and known by then.

    Attributes
    ----------
    history
        Already cut to what was known before `known_before`.
    at
        Day number of the reference date.
    known_before
        Events on or after this day are not known; at most `at` unless silence is simulated.
    added_purchases
        Purchases imagined on as many extra days just before `at`.
    """

    history: History
    at: int
    known_before: int
    added_purchases: int = 0
    _measured: dict[Measure, Array] = field(default_factory=dict, compare=False)

    @property
    def customers(self) -> int:
        """Number of customers."""
        return len(self.history.customers)

    def bounds(self, window: int | None) -> tuple[int, int]:
        """First day within and first day after a window that ends at the reference date."""
        lo = FAR_PAST + 1 if window is None else self.at - window
        return lo, min(self.at, self.known_before)

    def window(self, role: str, window: int | None) -> Window | None:
        """The role's facts in a window; None where the data have no such role."""
        rows = self.history.roles.get(role)
        return None if rows is None else Window(rows, *self.bounds(window))

    def measure(self, measure: Measure) -> Array:
        """Value of a measure for every customer (float64, NaN where missing)."""
        if measure not in self._measured:
            self._measured[measure] = self._measure(measure)
        return self._measured[measure]

    def _measure(self, measure: Measure) -> Array:
        added = self.added_purchases if measure.role == "purchase" else 0
        window = self.window(measure.role, measure.window)
        if measure.kind in ("count", "count_distinct_days"):
            if window is None:
                return np.full(self.customers, float(added))
            found = window.count if measure.kind == "count" else window.days
            return (found + added).astype(np.float64)
        if window is None:
            missing = np.full(self.customers, np.nan)
            return missing if not added or measure.kind in ("sum", "mean") else missing * 0 + 1
        if measure.kind == "days_since_last":
            return np.where(added > 0, 1.0, _days_before(self.at, window.last_day))
        if measure.kind == "days_since_first":
            first = _days_before(self.at, window.first_day)
            return np.where((added > 0) & np.isnan(first), 1.0, first)
        counted = window.count.astype(np.float64)
        total = np.where(counted > 0, window.value.astype(np.float64), np.nan)
        return total if measure.kind == "sum" else total / np.where(counted > 0, counted, np.nan)

    def compare(self, compare: Compare) -> Array:
        """Truth of a comparison for every customer; false where the measure is missing."""
        with np.errstate(invalid="ignore"):
            return COMPARE[compare.sign](self.measure(compare.measure), compare.constant)

    def holds(self, rule: Rule) -> Array:
        """Truth of a rule for every customer."""
        if isinstance(rule, Compare):
            return self.compare(rule)
        if isinstance(rule, Not):
            return ~self.holds(rule.part)
        combine = np.logical_and if isinstance(rule, All) else np.logical_or
        return np.asarray(combine.reduce([self.holds(part) for part in rule.parts]))


def _days_before(at: int, day: Array) -> Array:
    return np.where(day > FAR_PAST, at - day, np.nan).astype(np.float64)


def decide(
    taxonomy: Taxonomy, facts: Facts, *, instead: Mapping[int, Array] | None = None
) -> Array:
    """Stage code of every customer (int64).

    Parameters
    ----------
    taxonomy
        The stages and their rules.
    facts
        What the rules may know.
    instead
        Truth by stage code that replaces the stage's own rule (labels replace silence so).
    """
    instead = instead or {}
    code = np.full(facts.customers, -1, dtype=np.int64)
    order = list(range(len(taxonomy.stages)))
    if taxonomy.pick == "furthest":
        order.sort(key=lambda i: -taxonomy.stages[i].rank)
        default = next(i for i in order if taxonomy.stages[i].rule is None)
        order = [i for i in order if i != default] + [default]
    for number in order:
        rule = taxonomy.stages[number].rule
        if number in instead:
            match = instead[number]
        elif rule is None:
            match = np.ones(facts.customers, dtype=bool)
        else:
            match = facts.holds(rule)
        code[(code < 0) & match] = number
    return code


def stage_at(
    taxonomy: Taxonomy,
    history: History,
    at: int,
    *,
    known_before: int | None = None,
    added_purchases: int = 0,
) -> Array:
    """Rule stage of every customer at a date (codes, int64; also for those not yet existing).

    Parameters
    ----------
    taxonomy, history
        The rules and the events.
    at
        Reference day; only events strictly before it count.
    known_before
        Only what was known before this day counts (default `at`). Earlier than `at`, it
        simulates silence in between.
    added_purchases
        Purchases imagined just before `at`.
    """
    known = at if known_before is None else known_before
    facts = Facts(history.known_before(known), at, known, added_purchases)
    return decide(taxonomy, facts)


@dataclass(frozen=True)
class Timers:
    """What the rules' own clocks say of customers at one date; nothing here is a forecast.

    All arrays have one value a customer.

    Attributes
    ----------
    code
        Stage now.
    periods_in_stage
        Whole periods for which the stage has been the same, up to the periods looked at.
    silent_code, silent_period
        First other stage if nothing happens, and the period (1..K) it comes in; the present
        stage and K + 1 where none comes.
    after_purchase_code
        Stage after one purchase today.
    purchases_needed
        Purchases, on as many days, that change the stage; one more than looked at where none do.
    days_to_lapse
        Days until silence alone leads to a silent stage; 0 where there already, NaN where never.
    """

    code: Array
    periods_in_stage: Array
    silent_code: Array
    silent_period: Array
    after_purchase_code: Array
    purchases_needed: Array
    days_to_lapse: Array


def timers(
    taxonomy: Taxonomy, history: History, at: int, *, periods: int, period_days: int
) -> Timers:
    """Simulate silence, purchases and the past with the rule engine (see `Timers`)."""
    known = history.known_before(at)
    clock = _Clock(taxonomy, known, at)
    code = clock.after_silence(0)
    silent_code, silent_period = code.copy(), np.full(len(code), periods + 1)
    for period in range(1, periods + 1):
        later = clock.after_silence(period * period_days)
        moved = (later != code) & (silent_period > periods)
        silent_code[moved], silent_period[moved] = later[moved], period
    return Timers(
        code=code,
        periods_in_stage=_periods_in_stage(taxonomy, history, at, code, periods, period_days),
        silent_code=silent_code,
        silent_period=silent_period,
        after_purchase_code=clock.after_purchases(1),
        purchases_needed=_purchases_needed(clock, code),
        days_to_lapse=_days_to_lapse(clock, taxonomy, code),
    )


@dataclass(frozen=True)
class _Clock:
    """The rule engine run ahead of what is known."""

    taxonomy: Taxonomy
    known: History
    at: int

    def after_silence(self, days: int) -> Array:
        return decide(self.taxonomy, Facts(self.known, self.at + days, self.at))

    def after_purchases(self, purchases: int) -> Array:
        # The purchase falls on the reference day itself, so it is seen one day later.
        return decide(self.taxonomy, Facts(self.known, self.at + 1, self.at, purchases))

    @cached_property
    def tomorrow(self) -> Array:
        return self.after_silence(1)


def _purchases_needed(clock: _Clock, code: Array) -> Array:
    needed = np.full(len(code), MOST_PURCHASES_ASKED + 1)
    for purchases in range(MOST_PURCHASES_ASKED, 0, -1):
        needed[clock.after_purchases(purchases) != code] = purchases
    return needed


def _days_to_lapse(clock: _Clock, taxonomy: Taxonomy, code: Array) -> Array:
    """Bisection: once silence has led to a silent stage, more silence does not lead out of it."""
    silent = taxonomy.silent_codes
    low = np.zeros(len(code), dtype=np.int64)  # known not to be silent, or day 0
    high = np.full(len(code), FURTHEST_CLOCK, dtype=np.int64)
    never = ~np.isin(clock.after_silence(FURTHEST_CLOCK), silent)
    while int((high - low).max(initial=0)) > 1:
        middle = (low + high) // 2
        lapsed = np.zeros(len(code), dtype=bool)
        for days in np.unique(middle):
            at_once = middle == days
            lapsed[at_once] = np.isin(clock.after_silence(int(days))[at_once], silent)
        high = np.where(lapsed, middle, high)
        low = np.where(lapsed, low, middle)
    days = high.astype(np.float64)
    days[np.isin(code, silent)] = 0.0
    days[never] = np.nan
    return days


def _periods_in_stage(
    taxonomy: Taxonomy, history: History, at: int, code: Array, periods: int, period_days: int
) -> Array:
    lasting = np.zeros(len(code), dtype=np.int64)
    same = np.ones(len(code), dtype=bool)
    for period in range(1, 2 * periods + 1):
        then = at - period * period_days
        same &= (history.exists_from <= then) & (stage_at(taxonomy, history, then) == code)
        if not same.any():
            break
        lasting[same] = period
    return lasting


@dataclass(frozen=True)
class Stay:
    """The present stay of every customer in a stage.

    Attributes
    ----------
    since
        Day number from which the stage has been the same.
    previous
        Code of the stage before that; -1 where there was none.
    cause
        ``behaviour`` (the customer did something the day before), ``clock`` or ``first_load``
        (they came into existence in this stage).
    """

    since: Array
    previous: Array
    cause: Array


def present_stay(taxonomy: Taxonomy, history: History, at: int) -> Stay:
    """Since when every customer has been in their stage at `at`, looking back day by day."""
    code = stage_at(taxonomy, history, at)
    since = np.full(len(code), at, dtype=np.int64)
    previous = np.full(len(code), -1, dtype=np.int64)
    cause = np.full(len(code), "first_load", dtype=object)
    existed = history.exists_from <= at
    open_ = np.flatnonzero(existed)
    left = history.take(open_)
    day = at
    while len(open_):
        day -= 1
        exists = left.exists_from <= day
        since[open_[~exists]] = day + 1
        before = stage_at(taxonomy, left, day)
        changed = exists & (before != code[open_])
        since[open_[changed]] = day + 1
        previous[open_[changed]] = before[changed]
        acted = _acted_on(taxonomy, left, day)
        cause[open_[changed]] = np.where(acted[changed], "behaviour", "clock")
        stay = np.flatnonzero(exists & ~changed)
        if len(stay) < len(open_):
            left, open_ = left.take(stay), open_[stay]
    return Stay(since=since, previous=previous, cause=cause)


def _acted_on(taxonomy: Taxonomy, history: History, day: int) -> Array:
    """Whether anything of the customer's own doing became known on a day."""
    acted = np.zeros(len(history.customers), dtype=bool)
    for role in (*taxonomy.life_roles, "cancel"):
        rows: DayRows | None = history.roles.get(role)
        if rows is not None:
            acted[rows.customer[np.maximum(rows.day, rows.known_day) == day]] = True
    return acted
