"""How customers moved through the stages: sizes at some dates, and who went where in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.arrays import Array
from features.calendar import day_date, day_number
from features.lifecycle.sub_stages_and_flags import stage_path
from features.table.snapshot_builder import Builder

NEWCOMERS = "newcomers"  # who did not exist at the date before


@dataclass(frozen=True)
class Movement:
    """Stages of all customers at some dates.

    Attributes
    ----------
    days
        Day numbers, rising.
    codes
        Dates x customers: stage code, -1 for who did not exist yet (int8).
    names
        Stage names by code.
    """

    days: tuple[int, ...]
    codes: Array
    names: tuple[str, ...]


def month_starts(first: int, last: int, *, most: int) -> list[int]:
    """The last snapshot and the first days of months before it, rising day numbers.

    Parameters
    ----------
    first
        First day of the data: no date before it is given.
    last
        Day number of the last snapshot; always the last of the dates.
    most
        Most dates.
    """
    days, end = [last], day_date(last)
    month = end.year * 12 + end.month - 1
    while len(days) < most:
        start = day_number(end.replace(year=month // 12, month=month % 12 + 1, day=1))
        if start <= first:
            break
        if start < days[0]:
            days.insert(0, start)
        month -= 1
    return days


def movement(builder: Builder, days: Sequence[int]) -> Movement:
    """Follow everyone over some dates (rising); a stage at a date is what was known before it."""
    codes = np.full((len(days), len(builder.history.customers)), -1, dtype=np.int8)
    for row, (_, who, code) in enumerate(stage_path(builder.taxonomy, builder.history, days)):
        codes[row, who] = code
    return Movement(tuple(days), codes, tuple(builder.taxonomy.names))


def stage_sizes(moved: Movement) -> pd.DataFrame:
    """Customers by stage at every date.

    Returns
    -------
    DataFrame
        at (date), stage, n, share (of those who existed then): one row a date and stage.
    """
    rows = []
    for day, codes in zip(moved.days, moved.codes, strict=True):
        counts = np.bincount(codes[codes >= 0], minlength=len(moved.names))
        whole = max(int(counts.sum()), 1)
        rows += [
            (day_date(day), name, int(n), float(n) / whole)
            for name, n in zip(moved.names, counts, strict=True)
        ]
    return pd.DataFrame(rows, columns=["at", "stage", "n", "share"])


def stage_moves(moved: Movement) -> pd.DataFrame:
    """Who went from which stage to which between each date and the next.

    Returns
    -------
    DataFrame
        from_at, to_at (dates), from_stage (`NEWCOMERS`: did not exist at the date before),
        to_stage, n, share (of those who were in from_stage): pairs that occur.
    """
    labels = [*moved.names, NEWCOMERS]
    size, rows = len(labels), []
    for at in range(len(moved.days) - 1):
        before, after = moved.codes[at].astype(np.int64), moved.codes[at + 1].astype(np.int64)
        there = after >= 0
        before = np.where(before < 0, size - 1, before)
        pairs = np.bincount(before[there] * size + after[there], minlength=size * size)
        table = pairs.reshape(size, size)
        dates = (day_date(moved.days[at]), day_date(moved.days[at + 1]))
        for a, b in zip(*np.nonzero(table), strict=True):
            n = int(table[a, b])
            rows.append((*dates, labels[a], labels[b], n, n / int(table[a].sum())))
    return pd.DataFrame(rows, columns=["from_at", "to_at", "from_stage", "to_stage", "n", "share"])
