"""States of all customers at past dates: stage, silence and rhythm, coarse enough to be counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.arrays import Array
from features.contracts import LIFELESS_ROLES
from features.history.day_rows import FAR_PAST
from features.history.history import History
from features.history.windows import Window
from features.lifecycle.sub_stages_and_flags import stage_path
from features.lifecycle.taxonomy import Taxonomy

STEP_DAYS = 30
_SILENCE = (7, 14, STEP_DAYS, 60, 90, 180, 270, 365, 545)  # days since the last order: upper ends
_RHYTHM_DAYS = 90
_RHYTHM = (0, 1, 2, 4, 8)  # order days in that time: upper ends
_ACTIVITY = (STEP_DAYS, 90)  # of people who never bought: days since the last activity
_LOYALTY = (1, 3)  # order days in all: upper ends
_LOYALTIES = len(_LOYALTY) + 1
_SILENCES, _RHYTHMS = len(_SILENCE) + 2, (len(_RHYTHM) + 1) * _LOYALTIES
STATES_OF_STAGE = _SILENCES * _RHYTHMS  # codes of a stage follow each other
_ACTIVE_SILENCES = 1 + _SILENCE.index(STEP_DAYS)  # codes 1 to this one: ordered within a step


@dataclass(frozen=True)
class StageStates:
    """States of all customers on a grid of dates.

    Attributes
    ----------
    days
        Day numbers, ascending, equally far apart.
    cell
        Code of the state, dates x customers (int32); -1 before a customer's first event.
    names
        Stage names by code.
    """

    days: tuple[int, ...]
    cell: Array
    names: tuple[str, ...]

    def until(self, day: int) -> StageStates:
        """The same up to a day, as it was known then."""
        count = int(np.searchsorted(self.days, day, side="right"))
        return StageStates(self.days[:count], self.cell[:count], self.names)


def stage_of(cell: Array) -> Array:
    """Stage code of each state code."""
    return np.asarray(cell) // STATES_OF_STAGE


def silence_group(cell: Array) -> Array:
    """Code of stage and silence together, the coarser state."""
    return np.asarray(cell) // _RHYTHMS


def is_active(cell: Array) -> Array:
    """True for states with an order (of people who never bought: activity) in the last step."""
    silence = silence_group(cell) % _SILENCES
    rhythm = np.asarray(cell) % _RHYTHMS
    active: Array = np.where(silence == 0, rhythm < _LOYALTIES, silence <= _ACTIVE_SILENCES)
    return active


def stage_states(
    taxonomy: Taxonomy, history: History, days: Sequence[int], positions: Array | None = None
) -> StageStates:
    """States of customers at ascending dates, each by what was known before it.

    Parameters
    ----------
    taxonomy, history
        Rules of the stages, and the days of the customers.
    days
        Day numbers.
    positions
        Customers that count; None: all.
    """
    chosen = history if positions is None else history.take(positions)
    cell = np.full((len(days), len(chosen.customers)), -1, dtype=np.int32)
    for number, (day, existing, codes) in enumerate(stage_path(taxonomy, chosen, days)):
        state = codes.astype(np.int32) * _SILENCES + _silence(chosen, day)[existing]
        cell[number, existing] = state * _RHYTHMS + _rhythm(chosen, day)[existing]
    return StageStates(tuple(days), cell, tuple(taxonomy.names))


def _silence(history: History, day: int) -> Array:
    """Class of the days since the last order; 0 for customers who never bought."""
    last = _last_day(history, ("purchase",), day)
    classes = np.searchsorted(_SILENCE, day - last, side="left") + 1
    return np.where(last == FAR_PAST, 0, classes)


def _rhythm(history: History, day: int) -> Array:
    """Class of the order days of late and in all; before a first order: days since activity."""
    bought = _last_day(history, ("purchase",), day) != FAR_PAST
    roles = [role for role in history.roles if role not in LIFELESS_ROLES]
    quiet = np.searchsorted(_ACTIVITY, day - _last_day(history, roles, day), side="left")
    if "purchase" not in history.roles:
        return quiet * _LOYALTIES
    known = history.roles["purchase"].known_before(day)
    of_late = np.searchsorted(_RHYTHM, Window(known, day - _RHYTHM_DAYS, day).days, side="left")
    in_all = np.searchsorted(_LOYALTY, Window(known, FAR_PAST, day).days, side="left")
    return np.where(bought, of_late * _LOYALTIES + in_all, quiet * _LOYALTIES)


def _last_day(history: History, roles: Sequence[str], day: int) -> Array:
    """Day of the last event of some roles before a day; `FAR_PAST` where there is none."""
    last = np.full(len(history.customers), FAR_PAST)
    for role in roles:
        if role in history.roles:
            known = history.roles[role].known_before(day)
            last = np.maximum(last, Window(known, FAR_PAST, day).last_day)
    return last
