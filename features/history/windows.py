"""Windows of days: every windowed fact of every customer, from where it begins and ends."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from features.arrays import Array
from features.history.day_rows import FAR_PAST, DayRows, Edge


@dataclass(frozen=True)
class Window:
    """Facts of one role in ``[lo, hi)``, one value a customer.

    Attributes
    ----------
    rows
        The role's facts.
    lo, hi
        Day numbers, either one for all or one a customer.
    who
        Positions of the customers looked at, rising; None: all.
    start, end
        The edges at `lo` and `hi`, where they are known.
    """

    rows: DayRows
    lo: Array | int
    hi: Array | int
    who: Array | None = None
    start: Edge | None = None
    end: Edge | None = None

    @cached_property
    def edges(self) -> tuple[Edge, Edge]:
        """Where the window begins and ends; an empty one ends where it begins."""
        start = self.rows.edge(self.lo, self.who) if self.start is None else self.start
        end = self.rows.edge(self.hi, self.who) if self.end is None else self.end
        if isinstance(self.lo, int) and isinstance(self.hi, int) and self.lo <= self.hi:
            return start, end
        return start, Edge(self.rows, np.maximum(start.row, end.row))

    @cached_property
    def count(self) -> Array:
        """Number of events."""
        start, end = self.edges
        return end.count - start.count

    @property
    def value(self) -> Array:
        """Sum in integer minor units."""
        start, end = self.edges
        return end.value - start.value

    @cached_property
    def days(self) -> Array:
        """Number of distinct days with an event."""
        start, end = self.edges
        return end.row - start.row

    @cached_property
    def last_day(self) -> Array:
        """Day number of the last row; `FAR_PAST` where there is none."""
        if not len(self.rows.day):
            return np.full(len(self.days), FAR_PAST)
        last_row = np.maximum(self.edges[1].row - 1, 0)
        return np.where(self.days > 0, self.rows.day[last_row], FAR_PAST)

    @cached_property
    def first_day(self) -> Array:
        """Day number of the first row; `FAR_PAST` where there is none."""
        if not len(self.rows.day):
            return np.full(len(self.days), FAR_PAST)
        first_row = np.minimum(self.edges[0].row, len(self.rows.day) - 1)
        return np.where(self.days > 0, self.rows.day[first_row], FAR_PAST)

    def last_fact(self, name: str) -> Array:
        """A fact of the last row (float64); NaN where there is none."""
        facts = self.rows.facts[name]
        if not len(facts):
            return np.full(len(self.days), np.nan)
        return np.where(self.days > 0, facts[np.maximum(self.edges[1].row - 1, 0)], np.nan)

    def top(self, name: str) -> Array:
        """Largest value of a fact (float64); NaN where there are no rows."""
        facts = self.rows.facts[name]
        largest = np.full(len(self.days), np.nan)
        nonempty = np.flatnonzero(self.days > 0)
        if len(nonempty):
            # Every other run lies between two windows; the last one may end beyond the rows.
            start, end = (edge.row[nonempty] for edge in self.edges)
            run_edges = np.stack([start, end], axis=1).ravel()
            padded_facts = np.append(facts, np.iinfo(np.int64).min)
            largest[nonempty] = np.maximum.reduceat(padded_facts, run_edges)[::2]
        return largest
