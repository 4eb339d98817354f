"""The history as a feed shows it that runs days behind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from features.history.day_rows import DayRows
from features.history.history import Choices, History


def seen_before(history: History, day: int) -> History:
    """The history of which nothing is known that happened or was learned on a day or later.

    Unlike `History.known_before` it ends there: asked at a later date, it says what was known on
    that day of the past, and nothing of the days between.
    """
    return History(
        history.customers,
        {name: _rows(rows, day) for name, rows in history.roles.items()},
        {kind: _choices(choices, day) for kind, choices in history.choices.items()},
        {subject: _rows(rows, day) for subject, rows in history.subjects.items()},
    )


def _rows(rows: DayRows, day: int) -> DayRows:
    known_rows = rows.known_before(day)
    past_rows = known_rows.where(known_rows.day < day)
    if rows.parts is None:
        return past_rows
    # The parts stay, so that still earlier dates see what was not known then.
    parts = rows.parts
    return replace(past_rows, parts=parts.where((parts.day < day) & (parts.known_day < day)))


def _choices(choices: Choices, day: int) -> Choices:
    return replace(choices, count=np.where(choices.known_from <= day, choices.count, 0))
