"""Volume and freshness of events, and the daily rate of buyers: today against the same weekdays.

What a day is compared with was known at the same age: a day whose late events are still to come
is compared with earlier days as they stood then.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t as student

from features.arrays import Array
from models.monitoring.findings import Finding

WINDOWS = (1, 2, 7)  # days added up: short ones are quick, long ones see through noise
WEEK = 7
WEEKS = 8  # weeks before of which the median is what a weekday usually has
FEWEST_WEEKS = 3
SPREAD_DAYS = 84  # days whose deviations tell how far a day may be off
FEWEST_DAYS = 14
HISTORY_DAYS = SPREAD_DAYS + WEEK * WEEKS + 2 * WEEK
FEWEST_EXPECTED = 5.0
GAPS = 20  # active days that tell how long a type is silent at times
_MEDIAN_NOISE = np.pi / 2  # variance of a median, as a multiple of a mean's


@dataclass(frozen=True)
class Usual:
    """A count beside what it usually is.

    Attributes
    ----------
    observed, expected
        The count, and what the weekdays before make expect.
    change
        ``observed / expected - 1``.
    p_value
        Two-sided, by Student's t on the logarithm.
    """

    observed: float
    expected: float
    change: float
    p_value: float


def seen_counts(rows: pd.DataFrame, first: int, through: int) -> Array:
    """Events of each day as they stood so many days later.

    Parameters
    ----------
    rows
        day, known_day (numbers) and count, of one event type.
    first, through
        The first and the last day.

    Returns
    -------
    array
        Age (0 to 6 days) by day: what was known of the day at that age.
    """
    counts = np.zeros((max(WINDOWS), through - first + 1))
    inside = rows[(rows["day"] >= first) & (rows["day"] <= through)]
    day = inside["day"].to_numpy() - first
    late = np.clip(inside["known_day"].to_numpy() - inside["day"].to_numpy(), 0, None)
    for age in range(counts.shape[0]):
        known = late <= age
        np.add.at(counts[age], day[known], inside["count"].to_numpy()[known])
    return counts


def in_windows(counts: Array, days: int) -> Array:
    """Counts of the last so many days, as they stood at the end of every day; NaN at first."""
    n = counts.shape[1]
    total = np.zeros(n)
    for age in range(days):
        total[age:] += counts[age, : n - age]
    total[: days - 1] = np.nan
    return total


def usual(totals: Array, days: int, exposure: Array | None = None) -> Usual | None:
    """The last of daily totals against the same weekdays before.

    Parameters
    ----------
    totals
        Totals of windows that end on each day, oldest first.
    days
        Length of the windows.
    exposure
        How many could have had the event on each day (None: not counted).

    Returns
    -------
    Usual or None
        None where the history is too short or too thin.
    """
    base = np.ones(len(totals)) if exposure is None else np.maximum(exposure, 1.0)
    rate = totals / base
    before = np.full((WEEKS, len(rate)), np.nan)
    for week in range(1, WEEKS + 1):
        before[week - 1, week * WEEK :] = rate[: -week * WEEK]
    enough = np.isfinite(before).sum(axis=0) >= FEWEST_WEEKS
    weekday = np.full(len(rate), np.nan)
    weekday[enough] = np.nanmedian(before[:, enough], axis=0)
    expected = weekday * base
    deviation = np.log((totals + 0.5) / (expected + 0.5))
    past = deviation[:-days][-SPREAD_DAYS:]  # windows that share no day with the last
    past = past[np.isfinite(past)]
    if len(past) < FEWEST_DAYS or not np.isfinite(deviation[-1]):
        return None
    centre = float(np.median(past))
    foreseen = float((expected[-1] + 0.5) * np.exp(centre) - 0.5)
    if foreseen < FEWEST_EXPECTED:
        return None
    chance = (1 + _MEDIAN_NOISE / WEEKS) / foreseen  # a count varies at least as Poisson's
    scale = np.sqrt(max(_spread(past, centre) ** 2, chance))
    z = abs(deviation[-1] - centre) / scale
    p_value = 2 * float(student.sf(z, _freedom(len(past), days)))
    change = float(np.exp(deviation[-1] - centre) - 1)
    return Usual(float(totals[-1]), foreseen, change, p_value)


def _freedom(n: int, days: int) -> float:
    """Degrees of freedom that so many overlapping windows leave for their variance."""
    shared = sum((1 - lag / days) ** 2 for lag in range(1, days))
    return max(n / (1 + 2 * shared) - 1, 3.0)


def _spread(past: Array, centre: float) -> float:
    """Standard deviation with single wild days pulled in: an old incident hides no new one."""
    middle = 1.4826 * float(np.median(np.abs(past - centre)))
    if middle > 0:
        past = np.clip(past, centre - 4 * middle, centre + 4 * middle)
    return float(past.std(ddof=1))


def volume(counts: pd.DataFrame, through: int, *, limit: float, level: float) -> list[Finding]:
    """Volume of every event type over the last 1, 2 and 7 days.

    Parameters
    ----------
    counts
        event_type, day, known_day, count: `HISTORY_DAYS` of them, as far as there are.
    through
        Day number of the last day of events.
    limit
        Share of change from which it is large.
    level
        P-value below which it is no accident.
    """
    found = []
    for name, rows in counts.groupby("event_type", observed=True, sort=True):
        first = max(int(rows["day"].min()), through - HISTORY_DAYS)
        seen = seen_counts(rows, first, through)
        found += changes("volume", str(name), seen, None, limit=limit, level=level)
    return found


def buyers_rate(
    counts: pd.DataFrame, customers: Array, through: int, *, limit: float, level: float
) -> list[Finding]:
    """Share of all customers who buy on a day, over the last 1, 2 and 7 days.

    Parameters
    ----------
    counts
        day, known_day and count of customers who bought.
    customers
        How many existed on each of the days up to `through`, oldest first.
    """
    first = through - len(customers) + 1
    seen = seen_counts(counts, first, through)
    return changes("base_rate", "buyers a day", seen, customers, limit=limit, level=level)


def changes(
    check: str,
    subject: str,
    seen: Array,
    exposure: Array | None,
    *,
    limit: float,
    level: float,
) -> list[Finding]:
    """A count's change in each of the windows."""
    found = []
    for days in WINDOWS:
        measure = f"change of {days} day{'s' if days > 1 else ''}"
        told = None
        if seen.shape[1] > WEEK:
            there = None if exposure is None else _trailing_mean(exposure, days)
            told = usual(in_windows(seen, days), days, there)
        if told is None:
            note = "too few events or too short a history to say what is usual"
            found.append(Finding(check, subject, measure, None, limit=limit, note=note))
            continue
        alarm = abs(told.change) >= limit and told.p_value < level
        note = f"{told.observed:,.0f} where {told.expected:,.0f} are usual"
        found.append(
            Finding(check, subject, measure, told.change, 0.0, limit, told.p_value, alarm, note)
        )
    return found


def _trailing_mean(values: Array, days: int) -> Array:
    """Mean over each day and those before it, so many days in all."""
    total = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    first = np.maximum(np.arange(len(values)) + 1 - days, 0)
    return (total[1:] - total[first]) / (np.arange(len(values)) + 1 - first)


def freshness(
    counts: pd.DataFrame, through: int, *, age_days: int | None, max_age_days: int | None
) -> list[Finding]:
    """Days since the last event, of all and of every type.

    A type is stale when silent for longer than twice the longest silence of the time before. How
    old all data are counts only where the config says from when on they are stale.

    Parameters
    ----------
    counts
        event_type, day, known_day, count.
    through
        Day number of the last day of events.
    age_days
        Days from the last event to today; None where today plays no part.
    max_age_days
        From where on that is an alarm.
    """
    found = []
    if age_days is not None:
        stale = max_age_days is not None and age_days > max_age_days
        found.append(
            Finding("freshness", "all events", "days", age_days, limit=max_age_days, alarm=stale)
        )
    for name, rows in counts.groupby("event_type", observed=True, sort=True):
        days = np.unique(rows["day"].to_numpy())
        silent = int(through - days[-1])
        longest = int(np.diff(days).max()) if len(days) > 1 else 0
        if len(days) < GAPS:
            note = "too few days with such events to say what is usual"
            found.append(Finding("freshness", str(name), "days", silent, note=note))
            continue
        limit = 2 * longest + 1
        found.append(
            Finding("freshness", str(name), "days", silent, longest, limit, alarm=silent > limit)
        )
    return found
