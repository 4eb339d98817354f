"""Stages of all customers at some dates: sizes, and moves from one date to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.arrays import Array
from features.calendar import day_date, day_number
from features.lifecycle.sub_stages_and_flags import stage_path
from features.table.snapshot_builder import Builder

NEWCOMERS = "newcomers"  # customers who did not exist at the previous date


@dataclass(frozen=True)
class Movement:
    """Stages of all customers at some dates.

    Attributes
    ----------
    days
        Day numbers, ascending.
    codes
        Stage codes, dates x customers (int8); -1 before a customer's first event.
    names
        Stage names by code.
    """

    days: tuple[int, ...]
    codes: Array
    names: tuple[str, ...]


def month_starts(first: int, last: int, *, most: int) -> list[int]:
    """Return the last snapshot and the first days of the months before it, ascending.

    Parameters
    ----------
    first
        First day of the data; only later dates are returned.
    last
        Day number of the last snapshot; always the last date.
    most
        Maximum number of dates.
    """
    month_days, end_date = [last], day_date(last)
    month = end_date.year * 12 + end_date.month - 1
    while len(month_days) < most:
        start = day_number(end_date.replace(year=month // 12, month=month % 12 + 1, day=1))
        if start <= first:
            break
        if start < month_days[0]:
            month_days.insert(0, start)
        month -= 1
    return month_days


def stages_over_time(builder: Builder, days: Sequence[int]) -> Movement:
    """Return the stages of all customers at ascending dates, each by what was known before it."""
    codes = np.full((len(days), len(builder.history.customers)), -1, dtype=np.int8)
    for number, (_, positions, stage_codes) in enumerate(
        stage_path(builder.taxonomy, builder.history, days)
    ):
        codes[number, positions] = stage_codes
    return Movement(tuple(days), codes, tuple(builder.taxonomy.names))


def stage_sizes(movement: Movement) -> pd.DataFrame:
    """Count customers by stage at every date.

    Returns
    -------
    DataFrame
        at (date), stage, n, share (of the customers at that date): one row per date and stage.
    """
    size_rows = []
    for day, codes in zip(movement.days, movement.codes, strict=True):
        counts = np.bincount(codes[codes >= 0], minlength=len(movement.names))
        total = max(int(counts.sum()), 1)
        size_rows += [
            (day_date(day), stage, int(customers), float(customers) / total)
            for stage, customers in zip(movement.names, counts, strict=True)
        ]
    return pd.DataFrame(size_rows, columns=["at", "stage", "n", "share"])


def stage_moves(movement: Movement) -> pd.DataFrame:
    """Count moves between stages from each date to the next.

    Returns
    -------
    DataFrame
        from_at, to_at (dates), from_stage (`NEWCOMERS`: did not exist at the previous date),
        to_stage, n, share (of the customers in from_stage); only pairs that occur.
    """
    labels = [*movement.names, NEWCOMERS]
    label_count, move_rows = len(labels), []
    for number in range(len(movement.days) - 1):
        before, after = (
            movement.codes[number].astype(np.int64),
            movement.codes[number + 1].astype(np.int64),
        )
        existing = after >= 0
        before = np.where(before < 0, label_count - 1, before)
        pairs = np.bincount(
            before[existing] * label_count + after[existing], minlength=label_count * label_count
        )
        table = pairs.reshape(label_count, label_count)
        dates = (
            day_date(movement.days[number]),
            day_date(movement.days[number + 1]),
        )
        for from_code, to_code in zip(*np.nonzero(table), strict=True):
            customers = int(table[from_code, to_code])
            move_rows.append(
                (
                    *dates,
                    labels[from_code],
                    labels[to_code],
                    customers,
                    customers / int(table[from_code].sum()),
                )
            )
    return pd.DataFrame(
        move_rows, columns=["from_at", "to_at", "from_stage", "to_stage", "n", "share"]
    )
