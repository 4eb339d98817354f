"""Facts by customer and day, with running sums of which windows are the differences.

Rows are sorted by customer and day. A window ``[lo, hi)`` of customer *i* is a run of rows; both
its ends are found by one `searchsorted` over the combined key ``customer * DAYS + day``, and a
count or sum is the difference of two running sums. Values stay integers, so results are exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from features.arrays import Array
from features.history.running_sums import running

# One customer's days fit between two multiples of this: day numbers to the year 4800.
DAYS = 1 << 20
FAR_PAST = -(1 << 19)
MOST_EDGES = 1 << 26  # looked up ahead and kept, by all customers and days: half a GB


@dataclass(frozen=True)
class Subject:
    """What a rule speaks of: a role or an event type, perhaps only with some attribute values.

    Attributes
    ----------
    name
        A role, or an event type of the data.
    attribute, choices
        A declared attribute and the values of it that count; None for all events.
    """

    name: str
    attribute: str | None = None
    choices: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.attribute is None:
            return self.name
        return f"{self.name} where {self.attribute} is {' or '.join(self.choices)}"


# Facts of a day: how those of two parts of one day become one.
SUMMED = ("count", "value")
TOPPED = ("largest", "last_at")


@dataclass(frozen=True)
class Edge:
    """Where a day begins in day rows: what windows begin and end at.

    Attributes
    ----------
    rows
        The day rows.
    row
        First row of every customer at or after the day; the next customer's where there is none.
    """

    rows: DayRows
    row: Array

    @cached_property
    def count(self) -> Array:
        """Events in all rows before."""
        return self.rows.running_count[self.row]

    @cached_property
    def value(self) -> Array:
        """Value in all rows before, in integer minor units."""
        return self.rows.running_value[self.row]

    def of(self, positions: Array) -> Edge:
        """The edge of the customers at some positions."""
        return Edge(self.rows, self.row[positions])


@dataclass(frozen=True)
class DayRows:
    """Facts of one role by customer and day, sorted by both.

    Attributes
    ----------
    customer
        Position of the customer in the history's list (int64).
    day, known_day
        Local day numbers of the event and of when it became known.
    customers
        Number of customers in the history, with and without rows.
    facts
        By name (int64): ``count`` of events (purchases: orders), ``value`` (sum of the day in
        integer minor units), ``largest`` and ``latest`` (value of one event), ``last_at``
        (instant of the last event).
    parts
        The parts of all days of which something was learned late, as they became known; None
        where nothing was. The rows themselves are as they stand once all is known.
    """

    customer: Array
    day: Array
    known_day: Array
    customers: int
    facts: Mapping[str, Array]
    parts: DayRows | None = None
    _edges: dict[int, Edge] = field(default_factory=dict, init=False, compare=False, repr=False)

    @classmethod
    def empty(cls, customers: int) -> DayRows:
        """No rows of so many customers."""
        none = np.zeros(0, dtype=np.int64)
        return cls(none, none, none, customers, dict.fromkeys((*SUMMED, *TOPPED, "latest"), none))

    @property
    def count(self) -> Array:
        """Events (purchases: orders) of the day."""
        return self.facts["count"]

    @property
    def value(self) -> Array:
        """Sum of the day in integer minor units."""
        return self.facts["value"]

    @cached_property
    def key(self) -> Array:
        """Combined sort key, rising."""
        return self.customer * DAYS + self.day

    @cached_property
    def first_day(self) -> int:
        """Day number of the earliest row; there must be rows."""
        return int(self.day.min())

    @cached_property
    def days_after_first(self) -> Array:
        """Days of every row after the earliest row."""
        return self.day - self.first_day

    @cached_property
    def firsts(self) -> Array:
        """The first row of every customer and day; there must be rows."""
        return np.flatnonzero(np.concatenate([[True], self.key[1:] != self.key[:-1]]))

    @cached_property
    def running_count(self) -> Array:
        """Events in all rows before each row, and in all (length rows + 1)."""
        return np.concatenate([[0], np.cumsum(self.count)])

    @cached_property
    def running_value(self) -> Array:
        """Value in all rows before each row, and in all (length rows + 1)."""
        return np.concatenate([[0], np.cumsum(self.value)])

    @cached_property
    def starts(self) -> Array:
        """First row of every customer (length customers)."""
        return np.searchsorted(self.customer, np.arange(self.customers), side="left")

    @cached_property
    def settled(self) -> DayRows:
        """The rows as they stand once all is known."""
        return self if self.parts is None else replace(self, parts=None)

    @cached_property
    def late(self) -> DayRows:
        """What became known on a later day than it happened, in rows of their own."""
        if self.parts is None:
            return DayRows.empty(self.customers)
        return self.parts.where(self.parts.known_day > self.parts.day)

    def in_flight(self, day: Array | int, positions: Array | None = None) -> Array:
        """Customers with something that had happened and was not known before a day.

        `day` is one day for all or one per position; `positions` (rising) default to everyone.
        """
        late_rows = self.late
        if positions is None:
            limit = day if isinstance(day, int) else day[late_rows.customer]
            return late_rows.customer[(late_rows.day < limit) & (late_rows.known_day >= limit)]
        row_numbers, lengths = late_rows.index_of(positions)
        limit = day if isinstance(day, int) else np.repeat(day, lengths)
        hidden = (late_rows.day[row_numbers] < limit) & (late_rows.known_day[row_numbers] >= limit)
        return late_rows.customer[row_numbers[hidden]]

    @cached_property
    def beginning(self) -> Edge:
        """Edge before all rows of every customer."""
        return Edge(self, self.starts)

    def edge(self, day: Array | int, only_positions: Array | None = None) -> Edge:
        """Where a day begins in the rows of every customer, or of those at some positions."""
        if isinstance(day, int):
            known_edge = self.beginning if day <= FAR_PAST + 1 else self._edges.get(day)
            if known_edge is not None:
                return known_edge if only_positions is None else known_edge.of(only_positions)
        positions = (
            np.arange(self.customers, dtype=np.int64) if only_positions is None else only_positions
        )
        wanted_keys = positions * DAYS + np.maximum(day, FAR_PAST + 1)
        return Edge(self, np.asarray(np.searchsorted(self.key, wanted_keys, side="left")))

    def index_of(self, positions: Array) -> tuple[Array, Array]:
        """Row numbers of some customers, and how many rows each of them has."""
        # Row numbers of customer i: start_i, start_i + 1, ...; laid out one customer after another
        # as a counter that jumps to each start.
        starts = self.starts[positions]
        lengths = np.append(self.starts[1:], len(self.day))[positions] - starts
        rows_before = np.cumsum(lengths) - lengths
        return np.repeat(starts - rows_before, lengths) + np.arange(int(lengths.sum())), lengths

    def first_rows(self, days: Array) -> Array:
        """First row of every customer at or after each of some rising days (days x customers).

        One look at the rows for all of the days: what `edge` finds by a search for each.
        """
        if not len(self.day):
            return np.zeros((len(days), self.customers), dtype=np.int64)
        # Count the rows of every customer between two edges (bins x customers), then add the bins
        # up: rows before an edge, plus the customer's first row, is the row number wanted.
        day_range = np.arange(self.first_day, int(self.day.max()) + 1)
        first_cell_of_day = np.searchsorted(days, day_range, side="right") * self.customers
        cell_of_row = first_cell_of_day[self.days_after_first]
        cell_of_row += self.customer
        rows_before_edge = running(
            np.bincount(cell_of_row, minlength=(len(days) + 1) * self.customers), len(days) + 1
        )[:-1]
        rows_before_edge += self.starts
        return rows_before_edge

    def edges(self, days: Iterable[int]) -> dict[int, Edge]:
        """Edges of some days, by day, found in one look at the rows."""
        wanted_days = np.unique(np.fromiter(days, dtype=np.int64))
        first_rows = self.first_rows(wanted_days)
        edges = [Edge(self, rows) for rows in first_rows]
        return dict(zip(wanted_days.tolist(), edges, strict=True))

    def look_ahead(self, days: Iterable[int]) -> None:
        """Find the edges of some days in one look at the rows, and keep them for `edge`.

        The next call replaces what is kept. Nothing is kept of more days than memory should hold.
        """
        wanted_days = set(days)
        self._edges.clear()
        if 0 < len(wanted_days) * self.customers <= MOST_EDGES:
            self._edges.update(self.edges(wanted_days))

    def known_before(self, day: Array | int) -> DayRows:
        """Rows known before a day (one for all, or one a customer); later days may stay.

        Days with late parts are merged from what was known, emptied days dropped.
        """
        parts = self.parts
        if parts is None:
            return self
        # Customer days of which a part was still hidden at the limit.
        limit = day if isinstance(day, int) else day[parts.customer]
        hidden = parts.known_day >= limit
        partly_known_keys = np.unique(parts.key[hidden & (parts.day < limit)])
        if not len(partly_known_keys):
            return self.settled
        # Those days once more, from the parts that were known; none where nothing of a day was.
        known_parts = parts.where(np.isin(parts.key, partly_known_keys) & ~hidden).merged()
        # Rows that hold those days in full give way to what was known of them.
        places = np.searchsorted(self.key, partly_known_keys)
        is_present = (
            self.key[np.minimum(places, len(self.key) - 1)] == partly_known_keys
            if len(self.key)
            else []
        )
        replaced_rows = places[np.asarray(is_present, dtype=bool)]
        return self.settled._replaced(replaced_rows, known_parts)

    def _replaced(self, removed: Array, new_rows: DayRows) -> DayRows:
        """Without some rows, and with new ones in their places."""
        places = np.searchsorted(np.delete(self.key, removed), new_rows.key)

        def swap(old_values: Array, new_values: Array) -> Array:
            return np.insert(np.delete(old_values, removed), places, new_values)

        return DayRows(
            swap(self.customer, new_rows.customer),
            swap(self.day, new_rows.day),
            swap(self.known_day, new_rows.known_day),
            self.customers,
            {name: swap(fact, new_rows.facts[name]) for name, fact in self.facts.items()},
        )

    def where(self, selection: Array) -> DayRows:
        """Some of the rows, of the same customers."""
        return DayRows(
            self.customer[selection],
            self.day[selection],
            self.known_day[selection],
            self.customers,
            {name: fact[selection] for name, fact in self.facts.items()},
        )

    def merged(self) -> DayRows:
        """One row a customer and day; a day whose events were withdrawn disappears."""
        if not len(self.day):
            return self
        first_rows, facts = self.firsts, self.facts
        if len(first_rows) < len(self.day):
            facts = _merged_facts(facts, first_rows)
        earliest_known = np.minimum.reduceat(self.known_day, first_rows)
        rows = DayRows(
            self.customer[first_rows], self.day[first_rows], earliest_known, self.customers, facts
        )
        has_events = (
            rows.count > 0
        )  # a day whose only order moved to an earlier day is no purchase day
        return rows if has_events.all() else rows.where(has_events)

    def take(self, positions: Array) -> DayRows:
        """The rows of some customers, renumbered in the given rising order."""
        row_numbers, lengths = self.index_of(positions)
        rows = self.where(row_numbers)
        return replace(
            rows,
            customer=np.repeat(np.arange(len(positions)), lengths),
            customers=len(positions),
            parts=None if self.parts is None else self.parts.take(positions),
        )


def _merged_facts(facts: Mapping[str, Array], first_rows: Array) -> dict[str, Array]:
    """Facts of runs of rows that begin at `first_rows`, merged."""
    merged = {name: np.add.reduceat(facts[name], first_rows) for name in SUMMED}
    merged |= {name: np.maximum.reduceat(facts[name], first_rows) for name in TOPPED}
    # `latest` is the value of the run's last event: others are hidden below every real value.
    run_lengths = np.diff(np.append(first_rows, len(facts["latest"])))
    is_last_event = facts["last_at"] == np.repeat(merged["last_at"], run_lengths)
    latest = np.where(is_last_event, facts["latest"], np.iinfo(np.int64).min)
    return {**merged, "latest": np.maximum.reduceat(latest, first_rows)}
