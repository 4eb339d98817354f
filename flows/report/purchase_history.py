"""Purchases by customer: how long ago, how often, and what the buyers of each month did later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.arrays import Array
from features.calendar import day_date
from features.history.history import History

_OFTEN = (1, 2, 3, 5, 9)  # least order days of each row of the grid
_MOST_COHORTS = 12


@dataclass(frozen=True)
class PurchaseDays:
    """Days with orders that were known before a date, one row a customer and day.

    Attributes
    ----------
    customer, day
        Position in the history; day number.
    spent
        Major units, before refunds.
    """

    customer: Array
    day: Array
    spent: Array


def purchase_days(history: History, at: int, *, minor_units: int) -> tuple[PurchaseDays, Array]:
    """Days with orders that were known before a day, and what customers spent in all.

    Returns
    -------
    PurchaseDays
        Sorted by customer and day.
    ndarray, shape (customers,)
        Net spend of each customer in major units, all refunds taken off.
    """
    net = np.zeros(len(history.customers))
    days = PurchaseDays(*(np.zeros(0, dtype=np.int64),) * 2, np.zeros(0))
    scale = 10.0**minor_units
    for role in ("purchase", "refund"):
        if role not in history.roles:
            continue
        rows = history.roles[role].known_before(at)
        past = rows.day < at
        np.add.at(net, rows.customer[past], rows.value[past] / scale)
        if role == "purchase":
            bought = past & (rows.count > 0)
            order = np.lexsort((rows.day[bought], rows.customer[bought]))
            days = PurchaseDays(
                rows.customer[bought][order],
                rows.day[bought][order],
                rows.value[bought][order] / scale,
            )
    return days, net


def recency_and_frequency(
    days: PurchaseDays, net: Array, groups: pd.DataFrame, at: int
) -> pd.DataFrame:
    """Customers and spend by time since the last order and number of order days.

    Parameters
    ----------
    days, net
        From `purchase_days`.
    groups
        stage and segment by position of the customer in the history; customers without a stage
        have none.
    at
        Day number of the scores.

    Returns
    -------
    DataFrame
        One row a cell, stage and segment: recency (days since the last order),
        often (words), stage, segment, n, spent (major units). Empty without buyers.
    """
    customer, first_row, order_days = np.unique(
        days.customer, return_index=True, return_counts=True
    )
    last_day = days.day[first_row + order_days - 1]
    limits = _limits(at - last_day)
    recency = np.searchsorted(limits, at - last_day, side="left")
    often = np.searchsorted(_OFTEN, order_days, side="right") - 1
    cells = pd.DataFrame(
        {
            "recency": pd.Categorical.from_codes(recency, _recency_words(limits), ordered=True),
            "often": pd.Categorical.from_codes(often, _often_words(), ordered=True),
            "stage": groups["stage"].to_numpy()[customer],
            "segment": groups["segment"].to_numpy()[customer],
            "spent": net[customer],
        }
    ).dropna()
    by = ["recency", "often", "stage", "segment"]
    sums = cells.groupby(by, observed=True)["spent"].agg(n="size", spent="sum").reset_index()
    return sums.astype({name: str for name in by})


def _limits(ago: Array) -> Array:
    """Most days ago of each fifth of the buyers; equal ones are merged."""
    if not len(ago):
        return np.zeros(1, dtype=np.int64)
    return np.unique(np.quantile(ago, [0.2, 0.4, 0.6, 0.8, 1.0], method="higher").astype(np.int64))


def _recency_words(limits: Array) -> list[str]:
    starts = [1, *(int(limit) + 1 for limit in limits[:-1])]
    return [
        f"{start} to {int(limit)}" if limit > start else str(int(limit))
        for start, limit in zip(starts, limits, strict=True)
    ]


def _often_words() -> list[str]:
    ends = [first - 1 for first in _OFTEN[1:]]
    words = [str(a) if a == b else f"{a} to {b}" for a, b in zip(_OFTEN, ends, strict=False)]
    return [*words, f"{_OFTEN[-1]} and more"]


def cohorts(days: PurchaseDays, at: int) -> pd.DataFrame:
    """What customers with a first order in the same month did later.

    Parameters
    ----------
    days
        From `purchase_days`.
    at
        Day number of the scores; months that had not ended before it are left out.

    Returns
    -------
    DataFrame
        One row a month of first orders (the last twelve) and month since: cohort (2024-03),
        later (0: the same month), customers (of the cohort), buyers (who ordered in that month),
        spent (major units, in that month, before refunds). Empty without a whole month.
    """
    if not len(days.day):
        return pd.DataFrame(columns=["cohort", "later", "customers", "buyers", "spent"])
    months = _month_numbers(days.day)
    customer, first_row = np.unique(days.customer, return_index=True)
    first_month = np.full(int(customer.max()) + 1, -1, dtype=np.int64)
    first_month[customer] = months[first_row]
    whole = int(_month_numbers(np.array([at]))[0])  # the month of the scores has not ended
    rows = pd.DataFrame(
        {
            "customer": days.customer,
            "cohort": first_month[days.customer],
            "later": months - first_month[days.customer],
            "spent": days.spent,
        }
    )[months < whole]
    sizes = pd.Series(first_month[customer]).value_counts()
    sums = rows.groupby(["cohort", "later"]).agg(
        buyers=("customer", "nunique"), spent=("spent", "sum")
    )
    shown = sorted(month for month in sizes.index if month < whole)[-_MOST_COHORTS:]
    every = [(month, later) for month in shown for later in range(whole - month)]
    table = sums.reindex(
        pd.MultiIndex.from_tuples(every, names=["cohort", "later"]), fill_value=0
    ).reset_index()
    table.insert(2, "customers", table["cohort"].map(sizes))
    table["cohort"] = [f"{month // 12}-{month % 12 + 1:02}" for month in table["cohort"]]
    return table


def _month_numbers(days: Array | Sequence[int]) -> Array:
    """Months since year 0 of day numbers."""
    unique, place = np.unique(days, return_inverse=True)
    months = [(date := day_date(int(day))).year * 12 + date.month - 1 for day in unique]
    return np.array(months, dtype=np.int64)[place]
