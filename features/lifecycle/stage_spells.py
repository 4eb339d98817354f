"""Since when, and from where: the present stay of every customer in a stage."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from features.arrays import Array
from features.history.day_rows import DAYS, FAR_PAST, DayRows, Subject
from features.history.history import History
from features.lifecycle.identity_changes import caused_by_link
from features.lifecycle.rule_language import CLOCKS, Compare, leaves
from features.lifecycle.stage_engine import FEW_CUSTOMERS, stage_at
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
    exists_from = history.exists_from
    code = stage_at(taxonomy, history, at)
    since = np.where(exists_from <= at, exists_from, at)
    previous = np.full(len(code), -1, dtype=np.int64)
    stage_history = history.only(taxonomy.stage_subjects())
    existing, latest_day = np.flatnonzero(exists_from <= at), np.full(len(code), at, dtype=np.int64)
    if len(code) <= FEW_CUSTOMERS:
        _look_at_all_days(taxonomy, stage_history, existing, code, exists_from, since, previous, at)
        existing = existing[:0]
    unfinished: list[Array] = []
    # A block of customers stays in the processor's cache while their days are looked at; the few
    # of each block whose stay is long are looked at together in the end.
    blocks = [existing[start : start + BLOCK] for start in range(0, len(existing), BLOCK)]
    for block in blocks:
        unfinished.append(
            _look_back(
                taxonomy, stage_history, block, code, exists_from, since, previous, latest_day
            )
        )
    long_stays = np.concatenate([*unfinished, np.zeros(0, dtype=np.int64)])
    _look_back(
        taxonomy,
        stage_history,
        long_stays,
        code,
        exists_from,
        since,
        previous,
        latest_day,
        share_left=0,
    )
    has_acted = _acted_on(taxonomy, history, since - 1)
    cause = np.where(has_acted, "behaviour", "clock").astype(object)
    cause[caused_by_link(taxonomy, history, since, previous)] = "identity"
    cause[previous < 0] = "first_load"
    return Stay(since=since, previous=previous, cause=cause)


def _look_back(
    taxonomy: Taxonomy,
    history: History,
    positions: Array,
    code: Array,
    exists_from: Array,
    since: Array,
    previous: Array,
    latest_day: Array,
    *,
    share_left: float = FEW,
) -> Array:
    """Follow customers back from `latest_day` until at most `share_left` of them are left.

    Writes `since`, `previous` and `latest_day` of every customer followed; returns who is left.
    """
    block_history, still_open = history.take(positions), np.arange(len(positions))
    possible_changes = _turns(taxonomy, block_history)
    while len(still_open) > share_left * len(positions):
        change_day = _turn_before(possible_changes, still_open, latest_day[positions[still_open]])
        within_life = change_day > exists_from[positions[still_open]]
        still_open, change_day = still_open[within_life], change_day[within_life]
        stage_before = stage_at(taxonomy, block_history, change_day - 1, positions=still_open)
        changed = stage_before != code[positions[still_open]]
        moved_positions = positions[still_open[changed]]
        since[moved_positions], previous[moved_positions] = (
            change_day[changed],
            stage_before[changed],
        )
        still_open, change_day = still_open[~changed], change_day[~changed]
        latest_day[positions[still_open]] = change_day - 1
    return positions[still_open]


def _look_at_all_days(
    taxonomy: Taxonomy,
    history: History,
    positions: Array,
    code: Array,
    exists_from: Array,
    since: Array,
    previous: Array,
    at: int,
) -> None:
    """As `_look_back` without a rest: the stage on all days on which it may change, at once."""
    pairs = [
        rows.customer * DAYS + rows.day + offset - FAR_PAST
        for rows, offsets in _turns(taxonomy, history)
        for offset in offsets
    ]
    if not pairs:
        return
    customer, day = np.divmod(np.unique(np.concatenate(pairs)), DAYS)
    day += FAR_PAST
    relevant = (day <= at) & (day > exists_from[customer]) & np.isin(customer, positions)
    customer, day = customer[relevant], day[relevant]
    stage_before = stage_at(taxonomy, history, day - 1, positions=customer)
    # Days rise: the last one with another stage before it stays.
    for row in np.flatnonzero(stage_before != code[customer]):
        since[customer[row]], previous[customer[row]] = day[row], stage_before[row]


# Day rows, and the days after a row on which a stage may change, rising.
Turns = list[tuple[DayRows, list[int]]]


def _turns(taxonomy: Taxonomy, history: History) -> Turns:
    """What makes the days on which stages may have changed."""
    possible_changes: Turns = []
    for subject, offsets in _offsets(taxonomy).items():
        rows = history.rows(subject)
        if rows is None:
            continue
        possible_changes += [(rows, sorted(offsets)), (_by_arrival(rows.late), [0])]
        if rows.parts is not None:  # a day emptied later has no row any more, and once had one
            emptied = ~np.isin(rows.parts.key, rows.key)
            possible_changes.append((rows.parts.where(emptied), sorted(offsets)))
    return [(rows, offsets) for rows, offsets in possible_changes if len(rows.day)]


def _turn_before(possible_changes: Turns, positions: Array, days: Array) -> Array:
    """Latest day at or before `days`, one a customer, from which on the stage stayed the same."""
    latest_change = np.full(len(positions), FAR_PAST)
    for rows, offsets in possible_changes:
        starts = rows.starts[positions]
        for offset in offsets:
            row = rows.edge(days - offset + 1, positions).row - 1
            day = rows.day[np.maximum(row, 0)] + offset
            latest_change = np.where(row >= starts, np.maximum(latest_change, day), latest_change)
    return latest_change


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
    counts_from = rows.known_day + 1
    order = np.lexsort([counts_from, rows.customer])
    return DayRows(rows.customer[order], counts_from[order], counts_from[order], rows.customers, {})


def _acted_on(taxonomy: Taxonomy, history: History, day: Array) -> Array:
    """Whether anything of the customer's own doing became known on a day, one day a customer."""
    has_acted = np.zeros(len(history.customers), dtype=bool)
    roles: Iterable[str] = (*taxonomy.life_roles, "cancel")
    for role in roles:
        rows = history.roles.get(role)
        if rows is not None:
            for day_rows in (rows, rows.parts or rows.late):
                became_known = (
                    np.maximum(day_rows.day, day_rows.known_day) == day[day_rows.customer]
                )
                has_acted[day_rows.customer[became_known]] = True
    return has_acted
