"""Anniversaries against a plain search through the calendar, and in a plan."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from campaigns.calendar_triggers import anniversary_is_near, days_to_anniversary
from campaigns.playbook_parts import Trigger

DATES = st.dates(dt.date(1900, 1, 1), dt.date(2100, 12, 31))
SNAPSHOTS = st.dates(dt.date(2015, 1, 1), dt.date(2040, 12, 31))


def naive(date: dt.date, at: dt.date) -> int:
    """Look at one day after the other."""
    day = max(at, date)
    while True:
        leap = day.year % 4 == 0 and (day.year % 100 != 0 or day.year % 400 == 0)
        wanted = (2, 28) if (date.month, date.day) == (2, 29) and not leap else (
            date.month, date.day,
        )  # fmt: skip
        if (day.month, day.day) == wanted:
            return (day - at).days
        day += dt.timedelta(days=1)


@given(DATES, SNAPSHOTS)
@example(dt.date(2000, 2, 29), dt.date(2023, 2, 28))
@example(dt.date(2000, 2, 29), dt.date(2024, 2, 28))
@example(dt.date(2000, 2, 29), dt.date(2023, 3, 1))
@example(dt.date(1990, 1, 1), dt.date(2023, 12, 31))
@example(dt.date(2030, 5, 5), dt.date(2023, 5, 1))
def test_days_are_those_of_a_search_through_the_calendar(date: dt.date, at: dt.date) -> None:
    dates = pd.Series([pd.Timestamp(date), pd.NaT])
    days = days_to_anniversary(dates, pd.Timestamp(at))
    assert days[0] == naive(date, at)
    assert np.isnan(days[1])


def fired(trigger: Trigger, at: dt.date, born: dt.date = dt.date(1980, 6, 10)) -> bool:
    dates = pd.DataFrame({"birthday": [pd.Timestamp(born)]}, index=["a"])
    scores = pd.DataFrame({"customer_id": ["a", "unknown"]})
    passes = anniversary_is_near(trigger, dates, scores, pd.Timestamp(at))
    assert not passes[1]
    return bool(passes[0])


def days_fired(**keys: int) -> list[int]:
    """Days before the birthday on which a trigger fires, of sixty days around it."""
    trigger = Trigger.model_validate({"when": "anniversary", "date": "birthday", **keys})
    days = range(-30, 31)
    return [n for n in days if fired(trigger, dt.date(2024, 6, 10) - dt.timedelta(days=n))]


def test_a_trigger_fires_from_so_many_days_before_for_so_many_days() -> None:
    assert days_fired(days_before=7) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert days_fired(days_before=7, within_days=1) == [7]
    assert days_fired(days_before=7, within_days=3) == [5, 6, 7]
    assert days_fired(days_before=2, within_days=30) == [0, 1, 2]  # never after the day
    assert days_fired() == [0]


def test_a_date_that_no_table_has_fires_never() -> None:
    trigger = Trigger.model_validate({"when": "anniversary", "date": "wedding"})
    assert not fired(trigger, dt.date(2024, 6, 10))


@pytest.mark.parametrize(
    "keys",
    [
        {"when": "anniversary"},
        {"when": "anniversary", "date": "birthday", "after_days": 3},
        {"when": "anniversary", "date": "birthday", "days_before": 400},
        {"when": "schedule", "every": "day", "date": "birthday"},
    ],
)
def test_keys_without_an_effect_are_refused(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Trigger.model_validate(keys)
