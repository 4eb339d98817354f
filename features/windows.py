"""The window kernel: every windowed fact of every customer, as differences of running sums.

Rows are sorted by customer and day. A window ``[lo, hi)`` of customer *i* is a run of rows; both
its ends are found by one `searchsorted` over the combined key ``customer * DAYS + day``, and a
count or sum is the difference of two running sums. Values stay integers, so results are exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from features.tallies import NEGATIVE, Tallies

Array = np.ndarray[Any, Any]
# One customer's days fit between two multiples of this: day numbers to the year 4800.
DAYS = 1 << 20
FAR_PAST = -(1 << 19)


@dataclass(frozen=True)
class DayRows:
    """Facts of one role by customer and day, sorted by both.

    Attributes
    ----------
    customer
        Position of the customer in the history's list (int64).
    day, known_day
        Local day numbers of the event and of when it became known.
    count
        Events (purchases: orders) of the day.
    value
        Sum of the day in integer minor units.
    customers
        Number of customers in the history, with and without rows.
    """

    customer: Array
    day: Array
    known_day: Array
    count: Array
    value: Array
    customers: int

    @cached_property
    def key(self) -> Array:
        """Combined sort key, rising."""
        return self.customer * DAYS + self.day

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
        return self.edge(np.full(self.customers, FAR_PAST + 1))

    @cached_property
    def has_late(self) -> bool:
        """Whether any row became known on a later day than it happened."""
        return bool((self.known_day > self.day).any())

    def edge(self, day: Array | int) -> Array:
        """First row of every customer at or after a day (length customers)."""
        days = np.maximum(np.broadcast_to(day, self.customers), FAR_PAST + 1)
        wanted = np.arange(self.customers, dtype=np.int64) * DAYS + days
        return np.searchsorted(self.key, wanted, side="left")

    def known_before(self, day: int) -> DayRows:
        """Rows known before a day, days with late parts merged, emptied days dropped."""
        if not self.has_late:
            return self
        seen = self.known_day < day
        return _merge_days(
            self.customer[seen], self.day[seen], self.count[seen], self.value[seen], self.customers
        )

    def take(self, positions: Array) -> DayRows:
        """The rows of some customers, renumbered in the given rising order."""
        renumber = np.full(self.customers, -1, dtype=np.int64)
        renumber[positions] = np.arange(len(positions))
        kept = renumber[self.customer] >= 0
        return DayRows(
            renumber[self.customer[kept]],
            self.day[kept],
            self.known_day[kept],
            self.count[kept],
            self.value[kept],
            len(positions),
        )


def _merge_days(customer: Array, day: Array, count: Array, value: Array, customers: int) -> DayRows:
    """One row a customer and day; a day whose events were withdrawn disappears."""
    if len(day) == 0:
        empty = np.zeros(0, dtype=np.int64)
        return DayRows(empty, empty, empty, empty, empty, customers)
    key = customer.astype(np.int64) * DAYS + day
    order = np.argsort(key, kind="stable")
    key = key[order]
    first = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]]))
    counts = np.add.reduceat(count[order], first)
    values = np.add.reduceat(value[order], first)
    kept = counts > 0  # a day whose only order moved to an earlier day is no purchase day
    merged_customer, merged_day = customer[order][first][kept], day[order][first][kept]
    return DayRows(merged_customer, merged_day, merged_day, counts[kept], values[kept], customers)


@dataclass(frozen=True)
class Choices:
    """Which value of a declared attribute each customer chose, when, and how often.

    One group is a customer, an attribute and a value; groups are sorted in that order.

    Attributes
    ----------
    position, attribute, choice
        Of each group: the customer's position, and codes into `attributes` and `choices`.
    group, known_from, count
        Of each row: its group, the first snapshot day that may know it, and its lines.
    attributes, choices
        Names by code.
    """

    position: Array
    attribute: Array
    choice: Array
    group: Array
    known_from: Array
    count: Array
    attributes: Array
    choices: Array

    def counts_at(self, at: int) -> Array:
        """Lines of every group known and past at a snapshot day (float64)."""
        counted = np.where(self.known_from <= at, self.count, 0)
        return np.bincount(self.group, weights=counted, minlength=len(self.position))


@dataclass(frozen=True)
class History:
    """Every role's day rows of a set of customers: what features, rules and labels are made of.

    Attributes
    ----------
    customers
        Customer ids in rising order.
    roles
        Day rows by role; a role without events is absent.
    choices
        Attribute choices by kind: ``bought`` (purchases) and ``viewed`` (touches, intents).
    """

    customers: Array
    roles: Mapping[str, DayRows]
    choices: Mapping[str, Choices]

    @cached_property
    def exists_from(self) -> Array:
        """First snapshot day at which each customer exists: an event both past and known."""
        first = np.full(len(self.customers), np.iinfo(np.int64).max - 1)
        for rows in self.roles.values():
            np.minimum.at(first, rows.customer, np.maximum(rows.day, rows.known_day))
        return first + 1

    def known_before(self, day: int) -> History:
        """The history as it stood before a day: nothing learned later is in it."""
        roles = {name: rows.known_before(day) for name, rows in self.roles.items()}
        return History(self.customers, roles, self.choices)

    def take(self, positions: Array) -> History:
        """The day rows of some customers, without their choices."""
        roles = {name: rows.take(positions) for name, rows in self.roles.items()}
        return History(self.customers[positions], roles, {})


def history(tallies: Tallies, role_types: Mapping[str, Sequence[str]]) -> History:
    """Day rows by role from tallies.

    Parameters
    ----------
    tallies
        Of any number of customers.
    role_types
        Event types of every role; negative purchase totals join the role ``refund``.
    """
    daily = tallies.daily
    customers = np.sort(np.array(pa.compute.unique(daily["customer_id"]).to_pylist(), dtype=str))
    codes = {customer: number for number, customer in enumerate(customers)}
    position = _positions(daily["customer_id"], codes)
    types = _encoded(daily["event_type"])
    columns = {
        name: daily[name].to_numpy().astype(np.int64)
        for name in ("day", "known_day", "count", "value")
    }
    roles = {}
    for role, names in role_types.items():
        wanted = [*names, NEGATIVE] if role == "refund" else list(names)
        mask = types.isin(wanted)
        if mask.any():
            roles[role] = _day_rows(
                position[mask], {k: v[mask] for k, v in columns.items()}, len(customers)
            )
    chosen = {
        kind: _choices(tallies.attributes, codes, [t for r in of for t in role_types.get(r, ())])
        for kind, of in (("bought", ("purchase",)), ("viewed", ("touch", "intent")))
    }
    return History(customers, roles, {k: v for k, v in chosen.items() if v is not None})


def _encoded(column: Any) -> Any:
    return pd.Categorical(column.to_pandas())


def _choices(attributes: pa.Table, codes: Mapping[str, int], types: list[str]) -> Choices | None:
    wanted = attributes.filter(
        pa.compute.is_in(attributes["event_type"], value_set=pa.array(types, pa.string()))
    )
    if wanted.num_rows == 0:
        return None
    position = _positions(wanted["customer_id"], codes)
    attribute, choice = _encoded(wanted["attribute"]), _encoded(wanted["choice"])
    size = len(choice.categories)
    key = (position * len(attribute.categories) + attribute.codes) * size + choice.codes
    groups, group = np.unique(key, return_inverse=True)
    known = np.maximum(wanted["day"].to_numpy(), wanted["known_day"].to_numpy())
    return Choices(
        position=groups // size // len(attribute.categories),
        attribute=groups // size % len(attribute.categories),
        choice=groups % size,
        group=group,
        known_from=known.astype(np.int64) + 1,
        count=wanted["count"].to_numpy(),
        attributes=attribute.categories.to_numpy(dtype=str),
        choices=choice.categories.to_numpy(dtype=str),
    )


def _positions(ids: Any, codes: Mapping[str, int]) -> Array:
    encoded = ids.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    table = np.array([codes[str(v)] for v in encoded.dictionary.to_pylist()], dtype=np.int64)
    return table[encoded.indices.to_numpy()] if len(table) else np.zeros(0, dtype=np.int64)


def _day_rows(customer: Array, columns: Mapping[str, Array], customers: int) -> DayRows:
    """Sorted rows; on-time rows of one day merged, late ones kept apart."""
    late = columns["known_day"] > columns["day"]
    if not late.any():
        return _merge_days(customer, columns["day"], columns["count"], columns["value"], customers)
    order = np.lexsort([columns["known_day"], columns["day"], customer])
    return DayRows(
        customer[order],
        columns["day"][order],
        columns["known_day"][order],
        columns["count"][order],
        columns["value"][order],
        customers,
    )


@dataclass(frozen=True)
class Window:
    """Facts of one role in ``[lo, hi)``, one value a customer.

    ``lo`` and ``hi`` are day numbers, either one for all or one a customer.
    """

    rows: DayRows
    lo: Array | int
    hi: Array | int

    @cached_property
    def _ends(self) -> tuple[Array, Array]:
        start, end = self.rows.edge(self.lo), self.rows.edge(self.hi)
        return start, np.maximum(start, end)

    @property
    def count(self) -> Array:
        """Number of events."""
        start, end = self._ends
        return self.rows.running_count[end] - self.rows.running_count[start]

    @property
    def value(self) -> Array:
        """Sum in integer minor units."""
        start, end = self._ends
        return self.rows.running_value[end] - self.rows.running_value[start]

    @property
    def days(self) -> Array:
        """Number of distinct days with an event."""
        start, end = self._ends
        return end - start

    @property
    def last_day(self) -> Array:
        """Day number of the last row; `FAR_PAST` where there is none."""
        start, end = self._ends
        safe = np.maximum(end - 1, 0)
        day = self.rows.day[safe] if len(self.rows.day) else np.zeros(len(end), dtype=np.int64)
        return np.where(end > start, day, FAR_PAST)

    @property
    def first_day(self) -> Array:
        """Day number of the first row; `FAR_PAST` where there is none."""
        start, end = self._ends
        if len(self.rows.day) == 0:
            return np.full(len(end), FAR_PAST)
        day = self.rows.day[np.minimum(start, len(self.rows.day) - 1)]
        return np.where(end > start, day, FAR_PAST)
