"""Triggers of the calendar: the first planning of a period, and days that come back every year."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from campaigns.playbook_parts import Trigger


def schedule_is_due(trigger: Trigger, at: pd.Timestamp, previous: dt.date | None) -> bool:
    """True at the first planning of the trigger's period; weeks begin on Monday."""
    if previous is None or trigger.every == "day":
        return True
    period = {"week": "W-SUN", "month": "M", "quarter": "Q"}[str(trigger.every)]
    return bool(at.to_period(period) != pd.Timestamp(previous).to_period(period))


def anniversary_is_near(
    trigger: Trigger, dates: pd.DataFrame, scores: pd.DataFrame, at: pd.Timestamp
) -> npt.NDArray[np.bool_]:
    """Whether the day of the trigger's date comes back soon enough, for each scored customer.

    Parameters
    ----------
    trigger
        With `date`, `days_before`, and `within_days` (null: until the day itself).
    dates
        Dates by customer id and name; customers without one do not pass.
    scores
        Scored rows.
    at
        Date of the scores.
    """
    if trigger.date not in dates:
        return np.zeros(len(scores), dtype=bool)
    known = dates[trigger.date].reindex(pd.Index(scores["customer_id"]))
    remaining = days_to_anniversary(known, at)
    last = 0 if trigger.within_days is None else trigger.days_before - trigger.within_days + 1
    # Without a date the number is NaN, which is on no side of a limit.
    return np.asarray((remaining <= trigger.days_before) & (remaining >= max(last, 0)))


def days_to_anniversary(dates: pd.Series[Any], at: pd.Timestamp) -> npt.NDArray[np.float64]:
    """Days until the day and month of each date come back; 0: today, NaN: unknown.

    A date that lies in the future counts from its first coming. 29 February comes on 28 February
    in years that have none.
    """
    midnight = at.normalize()
    first = pd.to_datetime(dates)
    coming = _in_year(first, np.full(len(first), midnight.year))
    is_over = (coming < midnight).to_numpy(dtype=bool)
    coming = _in_year(first, midnight.year + is_over.astype(int))
    days = (coming - midnight).dt.days.to_numpy(dtype=np.float64, na_value=np.nan)
    until_first = (first - midnight).dt.days.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.asarray(np.maximum(days, until_first))


def _in_year(dates: pd.Series[Any], years: npt.NDArray[np.int_]) -> pd.Series[Any]:
    """The day and month of each date in another year."""
    is_leap = (years % 4 == 0) & ((years % 100 != 0) | (years % 400 == 0))
    is_leap_day = ((dates.dt.month == 2) & (dates.dt.day == 29)).to_numpy(dtype=bool)
    days = dates.dt.day.to_numpy(dtype=np.float64, na_value=np.nan) - (is_leap_day & ~is_leap)
    parts = pd.DataFrame({"year": years, "month": dates.dt.month.to_numpy(), "day": days})
    known = parts.dropna()
    placed = pd.to_datetime(known.astype(int)).reindex(parts.index)
    return placed.set_axis(dates.index)
