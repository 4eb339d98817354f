"""Volume and freshness of events and the daily rate of buyers, against the same weekdays before.

Days are compared at the same age: a day with late events still missing is compared with earlier
days as they were known at that age.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import t as student

from features.arrays import Array
from models.monitoring.findings import MonitorFinding

WINDOW_DAYS = (1, 2, 7)  # window lengths: short ones react fast, long ones are less noisy
WEEK_DAYS = 7
BASELINE_WEEKS = 8  # earlier weeks; their median is the expected count of a weekday
_MIN_WEEKS = 3
_SPREAD_DAYS = 84  # days that estimate the usual deviation of a day
_MIN_SPREAD_DAYS = 14
HISTORY_DAYS = _SPREAD_DAYS + WEEK_DAYS * BASELINE_WEEKS + 2 * WEEK_DAYS
_MIN_EXPECTED = 5.0
_MIN_ACTIVE_DAYS = 20  # fewest active days that estimate the longest gap of a type
_MEDIAN_NOISE = np.pi / 2  # variance of a median, as a multiple of a mean's


@dataclass(frozen=True)
class _UsualCount:
    """A count with its expected value.

    Attributes
    ----------
    observed, expected
        Count, and value expected from the same weekdays before.
    change
        ``observed / expected - 1``.
    p_value
        Two-sided p-value of Student's t test on the logarithm.
    """

    observed: float
    expected: float
    change: float
    p_value: float


def counts_by_age(rows: pd.DataFrame, first: int, through: int) -> Array:
    """Number of events of each day, as known at each age of the day.

    Parameters
    ----------
    rows
        day, known_day (numbers) and count, of one event type.
    first, through
        First and last day number.

    Returns
    -------
    array
        Counts, age (0 to 6 days) x day.
    """
    counts = np.zeros((max(WINDOW_DAYS), through - first + 1))
    inside = rows[(rows["day"] >= first) & (rows["day"] <= through)]
    day_index = inside["day"].to_numpy() - first
    delay_days = np.clip(inside["known_day"].to_numpy() - inside["day"].to_numpy(), 0, None)
    for age in range(counts.shape[0]):
        is_known = delay_days <= age
        np.add.at(counts[age], day_index[is_known], inside["count"].to_numpy()[is_known])
    return counts


def window_totals(counts: Array, days: int) -> Array:
    """Totals of the last `days` days, as known at the end of each day; NaN at the start."""
    day_count = counts.shape[1]
    totals = np.zeros(day_count)
    for age in range(days):
        totals[age:] += counts[age, : day_count - age]
    totals[: days - 1] = np.nan
    return totals


def _compare_with_usual(
    totals: Array, days: int, exposure: Array | None = None
) -> _UsualCount | None:
    """Compare the last total with the same weekdays before.

    Parameters
    ----------
    totals
        Totals of windows that end on each day, oldest first.
    days
        Length of the windows.
    exposure
        Number of customers who could have the event on each day; None: no exposure.

    Returns
    -------
    _UsualCount or None
        None if the history is too short or the counts are too small.
    """
    # Expected total of each day: median rate of the same weekday in the weeks before, x exposure.
    exposure_or_one = np.ones(len(totals)) if exposure is None else np.maximum(exposure, 1.0)
    rate = totals / exposure_or_one
    earlier_rates = np.full((BASELINE_WEEKS, len(rate)), np.nan)
    for week in range(1, BASELINE_WEEKS + 1):
        earlier_rates[week - 1, week * WEEK_DAYS :] = rate[: -week * WEEK_DAYS]
    has_enough_weeks = np.isfinite(earlier_rates).sum(axis=0) >= _MIN_WEEKS
    weekday_median = np.full(len(rate), np.nan)
    weekday_median[has_enough_weeks] = np.nanmedian(earlier_rates[:, has_enough_weeks], axis=0)
    expected = weekday_median * exposure_or_one
    deviation = np.log((totals + 0.5) / (expected + 0.5))
    # Usual deviation: median and spread over windows that share no day with the last one.
    past_deviations = deviation[:-days][-_SPREAD_DAYS:]
    past_deviations = past_deviations[np.isfinite(past_deviations)]
    if len(past_deviations) < _MIN_SPREAD_DAYS or not np.isfinite(deviation[-1]):
        return None
    centre = float(np.median(past_deviations))
    expected_count = float((expected[-1] + 0.5) * np.exp(centre) - 0.5)
    if expected_count < _MIN_EXPECTED:
        return None
    poisson_variance = (
        1 + _MEDIAN_NOISE / BASELINE_WEEKS
    ) / expected_count  # lower limit of the variance
    scale = np.sqrt(max(_spread(past_deviations, centre) ** 2, poisson_variance))
    standard_score = abs(deviation[-1] - centre) / scale
    p_value = 2 * float(student.sf(standard_score, _freedom(len(past_deviations), days)))
    change = float(np.exp(deviation[-1] - centre) - 1)
    return _UsualCount(float(totals[-1]), expected_count, change, p_value)


def _freedom(window_count: int, days: int) -> float:
    """Degrees of freedom of the variance of overlapping windows."""
    correlation_sum = sum((1 - lag / days) ** 2 for lag in range(1, days))
    return max(window_count / (1 + 2 * correlation_sum) - 1, 3.0)


def _spread(deviations: Array, centre: float) -> float:
    """Standard deviation after clipping outliers, so that an old incident hides no new one."""
    robust_spread = 1.4826 * float(np.median(np.abs(deviations - centre)))
    if robust_spread > 0:
        deviations = np.clip(deviations, centre - 4 * robust_spread, centre + 4 * robust_spread)
    return float(deviations.std(ddof=1))


def volume_findings(
    counts: pd.DataFrame, through: int, *, limit: float, level: float
) -> list[MonitorFinding]:
    """Volume of each event type over the last 1, 2 and 7 days.

    Parameters
    ----------
    counts
        event_type, day, known_day, count; at most `HISTORY_DAYS` days are used.
    through
        Day number of the last day of events.
    limit
        Smallest relative change of an alarm.
    level
        P-value below which a change is significant.
    """
    findings = []
    for name, rows in counts.groupby("event_type", observed=True, sort=True):
        first = max(int(rows["day"].min()), through - HISTORY_DAYS)
        age_counts = counts_by_age(rows, first, through)
        findings += _window_changes("volume", str(name), age_counts, None, limit=limit, level=level)
    return findings


def buyers_rate_findings(
    counts: pd.DataFrame, customers: Array, through: int, *, limit: float, level: float
) -> list[MonitorFinding]:
    """Share of all customers who buy on a day, over the last 1, 2 and 7 days.

    Parameters
    ----------
    counts
        day, known_day and count of customers who bought.
    customers
        Number of existing customers on each day up to `through`, oldest first.
    """
    first_day = through - len(customers) + 1
    age_counts = counts_by_age(counts, first_day, through)
    return _window_changes(
        "base_rate", "buyers a day", age_counts, customers, limit=limit, level=level
    )


def _window_changes(
    check: str,
    subject: str,
    age_counts: Array,
    exposure: Array | None,
    *,
    limit: float,
    level: float,
) -> list[MonitorFinding]:
    """Change of a count in each window."""
    findings = []
    for days in WINDOW_DAYS:
        measure = f"change of {days} day{'s' if days > 1 else ''}"
        comparison = None
        if age_counts.shape[1] > WEEK_DAYS:
            mean_exposure = None if exposure is None else _trailing_mean(exposure, days)
            comparison = _compare_with_usual(window_totals(age_counts, days), days, mean_exposure)
        if comparison is None:
            note = "too few events or too short a history for an expected count"
            findings.append(MonitorFinding(check, subject, measure, None, limit=limit, note=note))
            continue
        alarm = abs(comparison.change) >= limit and comparison.p_value < level
        note = f"{comparison.observed:,.0f}; {comparison.expected:,.0f} are usual"
        findings.append(
            MonitorFinding(
                check,
                subject,
                measure,
                comparison.change,
                0.0,
                limit,
                comparison.p_value,
                alarm,
                note,
            )
        )
    return findings


def _trailing_mean(values: Array, days: int) -> Array:
    """Mean over the last `days` days, each day included."""
    cumulative = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    first_day = np.maximum(np.arange(len(values)) + 1 - days, 0)
    return (cumulative[1:] - cumulative[first_day]) / (np.arange(len(values)) + 1 - first_day)


def freshness_findings(
    counts: pd.DataFrame, through: int, *, age_days: int | None, max_age_days: int | None
) -> list[MonitorFinding]:
    """Days since the last event, overall and of each type.

    A type is stale if it is silent for more than twice its longest gap so far. The age of all data
    raises an alarm only if the config sets a limit.

    Parameters
    ----------
    counts
        event_type, day, known_day, count.
    through
        Day number of the last day of events.
    age_days
        Days from the last event to today; None: not checked.
    max_age_days
        Largest age without an alarm; None: no alarm.
    """
    findings = []
    if age_days is not None:
        is_stale = max_age_days is not None and age_days > max_age_days
        findings.append(
            MonitorFinding(
                "freshness", "all events", "days", age_days, limit=max_age_days, alarm=is_stale
            )
        )
    for name, rows in counts.groupby("event_type", observed=True, sort=True):
        active_days = np.unique(rows["day"].to_numpy())
        silent_days = int(through - active_days[-1])
        longest_gap = int(np.diff(active_days).max()) if len(active_days) > 1 else 0
        if len(active_days) < _MIN_ACTIVE_DAYS:
            note = "too few days with such events for a usual gap"
            findings.append(MonitorFinding("freshness", str(name), "days", silent_days, note=note))
            continue
        limit = 2 * longest_gap + 1
        findings.append(
            MonitorFinding(
                "freshness",
                str(name),
                "days",
                silent_days,
                longest_gap,
                limit,
                alarm=silent_days > limit,
            )
        )
    return findings
