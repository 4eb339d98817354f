"""Since when, and from where: the present stay of every customer in a stage."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from features.arrays import Array
from features.history.day_rows import FAR_PAST, DayRows, Subject
from features.history.history import History
from features.lifecycle.identity_changes import caused_by_link
from features.lifecycle.rule_language import CLOCKS, Compare, leaves
from features.lifecycle.stage_engine import stage_at
from features.lifecycle.taxonomy import Taxonomy

BLOCK = 10_000  # customers looked at together
FEW = 0.1  # share of a block that is left for the end


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
        ``behaviour`` (the customer did something the day before), ``clock``, ``identity`` (a link
        made known what an unknown visitor had done, and nothing else moved them) or
        ``first_load`` (they came into existence in this stage).
    """

    since: Array
    previous: Array
    cause: Array


def present_stay(taxonomy: Taxonomy, history: History, at: int) -> Stay:
    """Since when every customer has been in their stage at `at`, exact to the day.

    Looks back from one day on which the stage may have changed to the one before: a day on which
    something became known, or on which an event crossed the edge of a window.
    """
    first = history.exists_from
    code = stage_at(taxonomy, history, at)
    since = np.where(first <= at, first, at)
    previous = np.full(len(code), -1, dtype=np.int64)
    needed = history.only(taxonomy.stage_subjects())
    there, days = np.flatnonzero(first <= at), np.full(len(code), at, dtype=np.int64)
    left: list[Array] = []
    # A block of customers stays in the processor's cache while their days are looked at; the few
    # of each block whose stay is long are looked at together in the end.
    blocks = [there[start : start + BLOCK] for start in range(0, len(there), BLOCK)]
    for block in blocks:
        left.append(_look_back(taxonomy, needed, block, code, first, since, previous, days))
    rest = np.concatenate([*left, np.zeros(0, dtype=np.int64)])
    _look_back(taxonomy, needed, rest, code, first, since, previous, days, few=0)
    acted = _acted_on(taxonomy, history, since - 1)
    cause = np.where(acted, "behaviour", "clock").astype(object)
    cause[caused_by_link(taxonomy, history, since, previous)] = "identity"
    cause[previous < 0] = "first_load"
    return Stay(since=since, previous=previous, cause=cause)


def _look_back(
    taxonomy: Taxonomy,
    history: History,
    who: Array,
    code: Array,
    first: Array,
    since: Array,
    previous: Array,
    days: Array,
    *,
    few: float = FEW,
) -> Array:
    """Follow some customers back from `days` until no more than `few` of them are left.

    Writes `since`, `previous` and `days` of every customer followed; returns who is left.
    """
    part, open_ = history.take(who), np.arange(len(who))
    turns = _turns(taxonomy, part)
    while len(open_) > few * len(who):
        turn = _turn_before(turns, open_, days[who[open_]])
        older = turn > first[who[open_]]
        open_, turn = open_[older], turn[older]
        before = stage_at(taxonomy, part, turn - 1, who=open_)
        changed = before != code[who[open_]]
        moved = who[open_[changed]]
        since[moved], previous[moved] = turn[changed], before[changed]
        open_, turn = open_[~changed], turn[~changed]
        days[who[open_]] = turn - 1
    return who[open_]


# Day rows, and the days after a row on which a stage may change, rising.
Turns = list[tuple[DayRows, list[int]]]


def _turns(taxonomy: Taxonomy, history: History) -> Turns:
    """What makes the days on which stages may have changed."""
    turns: Turns = []
    for subject, offsets in _offsets(taxonomy).items():
        rows = history.rows(subject)
        if rows is None:
            continue
        turns += [(rows, sorted(offsets)), (_by_arrival(rows.late), [0])]
        if rows.parts is not None:  # a day emptied later has no row any more, and once had one
            emptied = ~np.isin(rows.parts.key, rows.key)
            turns.append((rows.parts.where(emptied), sorted(offsets)))
    return [(rows, offsets) for rows, offsets in turns if len(rows.day)]


def _turn_before(turns: Turns, who: Array, days: Array) -> Array:
    """Latest day at or before `days`, one a customer, from which on the stage stayed the same."""
    turn = np.full(len(who), FAR_PAST)
    for rows, offsets in turns:
        starts = rows.starts[who]
        for offset in offsets:
            row = rows.edge(days - offset + 1, who) - 1
            day = rows.day[np.maximum(row, 0)] + offset
            turn = np.where(row >= starts, np.maximum(turn, day), turn)
    return turn


def _offsets(taxonomy: Taxonomy) -> dict[Subject, set[int]]:
    """By subject: days after an event on which the truth of a comparison may change."""
    offsets: dict[Subject, set[int]] = {s: {1} for s in taxonomy.stage_subjects()}
    rules = [stage.rule for stage in taxonomy.stages if stage.rule is not None]
    for leaf in (leaf for rule in rules for leaf in leaves(rule)):
        if not isinstance(leaf, Compare):
            continue
        measure = leaf.measure
        if measure.kind in CLOCKS:
            limit = int(np.floor(leaf.constant))
            offsets[measure.subject] |= {d for d in (limit, limit + 1) if d >= 1}
        if measure.window is not None:
            for subject in (measure.subject, measure.other):
                if subject is not None:
                    offsets[subject].add(measure.window + 1)
    return offsets


def _by_arrival(rows: DayRows) -> DayRows:
    """Late rows under the first day on which they count."""
    known = rows.known_day + 1
    order = np.lexsort([known, rows.customer])
    return DayRows(rows.customer[order], known[order], known[order], rows.customers, {})


def _acted_on(taxonomy: Taxonomy, history: History, day: Array) -> Array:
    """Whether anything of the customer's own doing became known on a day, one day a customer."""
    acted = np.zeros(len(history.customers), dtype=bool)
    roles: Iterable[str] = (*taxonomy.life_roles, "cancel")
    for role in roles:
        rows = history.roles.get(role)
        if rows is not None:
            for each in (rows, rows.parts or rows.late):
                there = np.maximum(each.day, each.known_day) == day[each.customer]
                acted[each.customer[there]] = True
    return acted
