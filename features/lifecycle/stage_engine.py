"""The rule engine: which stage every customer is in, at any date, from events before it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from features.arrays import Array
from features.history.day_rows import Subject
from features.history.history import History
from features.lifecycle.rule_evaluation import Facts
from features.lifecycle.rule_language import Compare, leaves, subjects_of
from features.lifecycle.taxonomy import Taxonomy

MOST_PURCHASES_ASKED = 10  # "purchases needed" looks no further
FURTHEST_CLOCK = 4096  # days ahead at which the clock is read at most
# So few customers are looked at on all of their days at once, which saves the calls; of many the
# days would not fit into the processor's cache, and most customers need few of them.
FEW_CUSTOMERS = 20
_DAYS_AT_ONCE = 64  # a power of two of which `FURTHEST_CLOCK` is a power


def decide(
    taxonomy: Taxonomy, facts: Facts, *, stage_truths: Mapping[int, Array] | None = None
) -> Array:
    """Stage code of every customer (int64).

    Parameters
    ----------
    taxonomy
        The stages and their rules.
    facts
        What the rules may know.
    stage_truths
        Truth by stage code that replaces the stage's own rule (labels replace silence so).
    """
    stage_truths = stage_truths or {}
    code = np.full(facts.customers, -1, dtype=np.int64)
    # The first match wins: it is written last.
    for number in reversed(taxonomy.order):
        rule = taxonomy.stages[number].rule
        if number in stage_truths:
            code[stage_truths[number]] = number
        elif rule is None:
            code[:] = number
        else:
            code[facts.holds(rule)] = number
    return code


def stage_at(
    taxonomy: Taxonomy,
    history: History,
    at: Array | int,
    *,
    known_before: int | None = None,
    added_purchases: int = 0,
    positions: Array | None = None,
) -> Array:
    """Rule stage of every customer at a date (codes, int64; also for those not yet existing).

    Parameters
    ----------
    taxonomy, history
        The rules and the events.
    at
        Reference day, one for all or one a customer; only events strictly before it count.
    known_before
        Only what was known before this day counts (default `at`). Earlier than `at`, it
        simulates silence in between.
    added_purchases
        Purchases imagined just before `at`.
    positions
        Positions of the customers asked about, rising or repeated; `at` and the result have one
        value for each. Default: all.
    """
    known_limit = at if known_before is None else known_before
    stage_history = history.only(taxonomy.stage_subjects())
    code = decide(
        taxonomy, Facts(stage_history.settled, at, known_limit, added_purchases, positions)
    )
    # Few customers have something under way at any date: only their past needs cutting.
    in_flight = stage_history.in_flight(known_limit, positions)
    if len(in_flight):
        # A customer asked about at several days may have something under way at some of them.
        rows = in_flight if positions is None else np.flatnonzero(np.isin(positions, in_flight))
        customers = in_flight if positions is None else positions[rows]
        reference_day = at if isinstance(at, int) else at[rows]
        limit = known_limit if isinstance(known_limit, int) else known_limit[rows]
        cut_history = stage_history.take(customers).known_before(limit)
        code[rows] = decide(taxonomy, Facts(cut_history, reference_day, limit, added_purchases))
    return code


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
    stage_history = history.only(taxonomy.stage_subjects())
    known_history = stage_history.known_before(at)
    period_ends = [number * period_days for number in range(1, periods + 1)]
    _look_ahead(
        taxonomy, known_history, (at + days for days in (0, 1, *period_ends, FURTHEST_CLOCK))
    )
    facts = Facts(known_history, at, at)
    code = decide(taxonomy, facts)
    # A purchase falls on the reference day itself, so it is seen one day later.
    tomorrow = facts.later(at + 1)
    silent_code, silent_period = code.copy(), np.full(len(code), periods + 1)
    for period, later_code in enumerate(_later_codes(taxonomy, facts, at, period_ends), start=1):
        moved = (later_code != code) & (silent_period > periods)
        silent_code[moved], silent_period[moved] = later_code[moved], period
    return Timers(
        code=code,
        silent_code=silent_code,
        silent_period=silent_period,
        after_purchase_code=decide(taxonomy, replace(tomorrow, added_purchases=1)),
        purchases_needed=_purchases_needed(taxonomy, tomorrow, code),
        days_to_lapse=_days_to_lapse(taxonomy, facts, code),
        # Last: it looks at other days than the clock.
        periods_in_stage=_periods_in_stage(taxonomy, history, at, code, periods, period_days),
    )


def _later_codes(
    taxonomy: Taxonomy, facts: Facts, at: int, days_ahead: Sequence[int]
) -> Iterable[Array]:
    """Stage codes of all customers after so many silent days, for each of the numbers of days."""
    customers = facts.customers
    if customers > FEW_CUSTOMERS:
        return (decide(taxonomy, facts.later(at + days)) for days in days_ahead)
    repeated = Facts(facts.history, at, at, who=np.tile(np.arange(customers), len(days_ahead)))
    days = np.repeat(np.asarray(days_ahead, dtype=np.int64), customers)
    return decide(taxonomy, repeated.later(at + days)).reshape(len(days_ahead), customers)


def _look_ahead(taxonomy: Taxonomy, history: History, days: Iterable[int]) -> None:
    """Find the rows where the windows of the stages' rules begin and end, at reference days."""
    reference_days = set(days)
    window_lengths: dict[Subject, set[int]] = {}
    for stage in taxonomy.stages:
        for leaf in () if stage.rule is None else leaves(stage.rule):
            window = leaf.measure.window if isinstance(leaf, Compare) else None
            for subject in subjects_of(leaf):
                window_lengths.setdefault(subject, {0}).add(window or 0)
    for subject, lengths in window_lengths.items():
        rows = history.rows(subject)
        if rows is not None:
            rows.look_ahead({day - length for day in reference_days for length in lengths})


def _purchases_needed(taxonomy: Taxonomy, tomorrow: Facts, code: Array) -> Array:
    purchases_needed = np.full(len(code), MOST_PURCHASES_ASKED + 1)
    for purchases in range(1, MOST_PURCHASES_ASKED + 1):
        is_open = purchases_needed > MOST_PURCHASES_ASKED
        if not is_open.any():
            break
        imagined_facts = replace(tomorrow, added_purchases=purchases)
        purchases_needed[is_open & (decide(taxonomy, imagined_facts) != code)] = purchases
    return purchases_needed


def _days_to_lapse(taxonomy: Taxonomy, facts: Facts, code: Array) -> Array:
    """Bisection: once silence has led to a silent stage, more silence does not lead out of it."""
    # By code; the last entry is that of no stage, whose code is -1.
    silent_codes, at = np.zeros(len(taxonomy.stages) + 1, dtype=bool), facts.at
    silent_codes[taxonomy.silent_codes] = True
    is_silent = silent_codes[code]
    lapses = silent_codes[decide(taxonomy, facts.later(at + FURTHEST_CLOCK))]
    positions = np.flatnonzero(lapses & ~is_silent)
    # Of few customers all days that six halvings may look at are looked at together.
    parts = _DAYS_AT_ONCE if len(code) <= FEW_CUSTOMERS else 2
    numbers, rows = np.arange(1, parts), np.arange(len(positions))
    open_facts = Facts(facts.history, at, facts.known_before, who=np.repeat(positions, parts - 1))
    longest_not_silent, span = np.zeros(len(positions), dtype=np.int64), FURTHEST_CLOCK
    while span > 1 and len(positions):
        span //= parts
        days = longest_not_silent[:, None] + span * numbers
        open_facts = open_facts.later(at + days.ravel())
        lapsed = silent_codes[decide(taxonomy, open_facts)].reshape(days.shape)
        low, high = np.zeros(len(rows), dtype=np.int64), np.full(len(rows), parts)
        while int((high - low).max()) > 1:
            middle = (low + high) // 2
            high = np.where(lapsed[rows, middle - 1], middle, high)
            low = np.where(lapsed[rows, middle - 1], low, middle)
        longest_not_silent += span * low
    shortest_silent = longest_not_silent + 1
    days = np.where(lapses, 0.0, np.nan)
    days[positions] = shortest_silent
    return days


def _periods_in_stage(
    taxonomy: Taxonomy, history: History, at: int, code: Array, periods: int, period_days: int
) -> Array:
    lasting = np.zeros(len(code), dtype=np.int64)
    open_, exists_from = np.arange(len(code)), history.exists_from
    needed = history.only(taxonomy.stage_subjects())
    if len(code) <= FEW_CUSTOMERS:
        past_days = at - period_days * np.arange(1, 2 * periods + 1)
        positions = np.repeat(open_, len(past_days))
        days = np.tile(past_days, len(code))
        same = stage_at(taxonomy, needed, days, positions=positions) == code[positions]
        same &= exists_from[positions] <= days
        return np.cumprod(same.reshape(len(code), -1), axis=1).sum(axis=1)
    days_back = (at - period * period_days for period in range(1, 2 * periods + 1))
    _look_ahead(taxonomy, needed.settled, days_back)
    for period in range(1, 2 * periods + 1):
        then = at - period * period_days
        open_ = open_[exists_from[open_] <= then]
        open_ = open_[stage_at(taxonomy, needed, then, positions=open_) == code[open_]]
        if not len(open_):
            break
        lasting[open_] = period
    return lasting
