"""Contracts as payments and cancel events tell them: the latest one of every customer.

A contract begins with the first payment after a cancel event (or ever) and ends on the day of the
first cancel event on or after its last payment. A payment of 0 before any other is a trial.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.arrays import Array
from features.history.day_rows import DayRows


@dataclass(frozen=True)
class ContractSpells:
    """The latest contract of every customer before a day, one float64 a customer.

    Attributes
    ----------
    age, length
        Days since its start, and from its start to its end. Null: never paid; no end so far.
    paid
        Days from its start to its last payment day.
    payments
        Payment days in it.
    trial
        Days from its start to its first payment above 0; 0 without a trial. Null: none so far.
    price
        Amount of its last payment day above 0. Null: none so far.
    previous, pause
        Days that the contract before it lasted, and from its end to the start. Null: none before.
    """

    age: Array
    length: Array
    paid: Array
    payments: Array
    trial: Array
    price: Array
    previous: Array
    pause: Array

    @classmethod
    def of(cls, purchases: DayRows, cancels: DayRows, at: int) -> ContractSpells:
        """Contracts by what happened before a day number; amounts in minor units."""
        payments, ends = purchases.where(purchases.day < at), cancels.where(cancels.day < at)
        size, count = len(payments.day), purchases.customers
        if not size:
            return cls(*np.full((8, count), np.nan))
        rows = np.arange(size)
        next_end = np.searchsorted(ends.key, payments.key)
        is_start = np.ones(size, dtype=bool)
        is_start[1:] = (np.diff(payments.customer) > 0) | (np.diff(next_end) > 0)
        start_of_row = np.maximum.accumulate(np.where(is_start, rows, 0))
        is_paid = payments.value > 0
        last_paid = np.maximum.accumulate(np.where(is_paid, rows, -1))
        first_paid = np.minimum.accumulate(np.where(is_paid, rows, size)[::-1])[::-1]
        last = np.append(np.flatnonzero(np.diff(payments.customer)), size - 1)
        first = start_of_row[last]
        owner, start_day = payments.customer[last], payments.day[first].astype(np.float64)
        has_previous = (first > 0) & (payments.customer[first - 1] == owner)
        earlier = np.where(has_previous, first - 1, 0)  # last payment of the contract before
        end_day = _end_days(ends, next_end[last], owner)
        previous_end = np.where(
            has_previous, _end_days(ends, next_end[earlier], payments.customer[earlier]), np.nan
        )
        trial_row, price_row = first_paid[first], last_paid[last]
        columns = (
            at - start_day,
            end_day - start_day,
            payments.day[last] - start_day,
            last - first + 1.0,
            np.where(
                trial_row <= last, payments.day[np.minimum(trial_row, size - 1)], np.nan
            ) - start_day,
            np.where(price_row >= first, payments.value[np.maximum(price_row, 0)], np.nan),
            previous_end - payments.day[start_of_row[earlier]],
            start_day - previous_end,
        )  # fmt: skip
        spread = np.full((len(columns), count), np.nan)
        spread[:, owner] = columns
        return cls(*spread)


def _end_days(ends: DayRows, positions: Array, owner: Array) -> Array:
    """Day of the end at each position, NaN where that row is of another customer or none."""
    if not len(ends.day):
        return np.full(len(positions), np.nan)
    row = np.minimum(positions, len(ends.day) - 1)
    is_own = (positions < len(ends.day)) & (ends.customer[row] == owner)
    return np.where(is_own, ends.day[row], np.nan)
