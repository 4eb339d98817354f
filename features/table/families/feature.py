"""What a feature is (name, unit, window, null meaning, plain sentence), and what it may see."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from features.arrays import Array
from features.history.contract_spells import ContractSpells
from features.history.day_rows import DAYS, FAR_PAST, DayRows, Edge
from features.history.history import History
from features.history.preference_smoothing import Choosing, choosing
from features.history.windows import Window

YEAR = 364  # whole weeks, so that week days line up


@dataclass(frozen=True)
class FeatureSpec:
    """What features are built: fixed when a model is trained, the same when it scores.

    Attributes
    ----------
    windows
        Window lengths in days.
    roles
        Roles that the data hold, in the order of the contract.
    attributes
        Declared attributes of purchases.
    minor_units
        Decimal places of the currency.
    contracts
        Whether churn is a cancel event, so that customers have contracts.
    """

    windows: tuple[int, ...]
    roles: tuple[str, ...]
    attributes: tuple[str, ...]
    minor_units: int = 2
    contracts: bool = False

    def edges(self, at: int) -> tuple[int, ...]:
        """Days on which the families' windows begin or end at a snapshot."""
        back = {0, YEAR, *self.windows}
        for days in (w for w in self.windows if w <= YEAR // 2):
            back |= {2 * days, YEAR - days}
        return tuple(sorted(at - days for days in back))


@dataclass(frozen=True)
class View:
    """What one snapshot may see of every customer; shared work is done once.

    Attributes
    ----------
    history
        Already cut to what was known before the snapshot.
    at
        Day number of the snapshot.
    minor_units
        Decimal places of amounts.
    edges
        Days on which windows will begin or end; they are found in one look at the rows.
    """

    history: History
    at: int
    minor_units: int
    edges: tuple[int, ...] = ()
    _windows: dict[tuple[str, int, int], Window] = field(default_factory=dict, compare=False)
    _edges: dict[str, dict[int, Edge]] = field(default_factory=dict, compare=False)
    _chosen: dict[str, Choosing] = field(default_factory=dict, compare=False)

    @property
    def customers(self) -> int:
        """Number of customers."""
        return len(self.history.customers)

    def between(self, role: str, start: int, end: int) -> Window:
        """Facts of a role from `start` days before the snapshot to before `end` days before it.

        A `start` of zero or less means the whole past.
        """
        key = (role, start, end)
        if key not in self._windows:
            lo, hi = self.at - start if start > 0 else FAR_PAST + 1, self.at - end
            rows, edges = self._rows(role), self._role_edges(role)
            self._windows[key] = Window(rows, lo, hi, start=edges.get(lo), end=edges.get(hi))
        return self._windows[key]

    def _role_edges(self, role: str) -> dict[int, Edge]:
        """Edges of a role's rows at the days on which windows begin or end."""
        if role not in self._edges:
            self._edges[role] = self._rows(role).edges(self.edges)
        return self._edges[role]

    def _rows(self, role: str) -> DayRows:
        rows = self.history.roles.get(role)
        if rows is not None:
            return rows
        return DayRows.empty(self.customers)

    def last(self, role: str, days: int) -> Window:
        """Facts of a role in the last `days` days; 0 for the whole past."""
        return self.between(role, days, 0)

    def chosen(self, kind: str) -> Choosing | None:
        """Attribute choices of a kind known by now; None where the data have none."""
        choices = self.history.choices.get(kind)
        if choices is not None and kind not in self._chosen:
            self._chosen[kind] = choosing(choices, self.at)
        return self._chosen.get(kind)

    def money(self, minor: Array) -> Array:
        """Amounts in major units from integer minor units."""
        return minor / 10.0**self.minor_units

    @cached_property
    def contracts(self) -> ContractSpells:
        """The latest contract of every customer."""
        return ContractSpells.of(self._rows("purchase"), self._rows("cancel"), self.at)

    @cached_property
    def purchases(self) -> PurchaseDays:
        """The ordered purchase days of every customer."""
        rows = self._rows("purchase")
        past = rows.day < self.at
        return PurchaseDays(
            rows.customer[past],
            rows.day[past],
            self.money(rows.value[past]),
            self.customers,
            self.at,
        )


@dataclass(frozen=True)
class PurchaseDays:
    """Ordered purchase days of every customer before a snapshot, and the gaps between them.

    Arrays of rows are sorted by customer and day; every method gives one float64 value a
    customer, NaN where there are too few purchase days for it.
    """

    customer: Array
    day: Array
    amount: Array
    customers: int
    at: int

    @cached_property
    def n(self) -> Array:
        """Purchase days of every customer."""
        return np.bincount(self.customer, minlength=self.customers)

    @cached_property
    def _end(self) -> Array:
        return np.cumsum(self.n)

    def nth_last(self, values: Array, back: int) -> Array:
        """The value of the row `back` before the last one (0: the last)."""
        has = self.n > back
        index = np.where(has, self._end - 1 - back, 0)
        if len(values) == 0:
            return np.full(self.customers, np.nan)
        return np.where(has, values[index], np.nan)

    def first(self, values: Array) -> Array:
        """The value of each customer's first row."""
        if len(values) == 0:
            return np.full(self.customers, np.nan)
        start = np.minimum(self._end - self.n, len(values) - 1)
        return np.where(self.n > 0, values[start], np.nan)

    @cached_property
    def gaps(self) -> tuple[Array, Array]:
        """Customer and length in days of every gap, in order."""
        same = self.customer[1:] == self.customer[:-1]
        return self.customer[1:][same], (self.day[1:] - self.day[:-1])[same].astype(np.float64)

    def mean(self, customer: Array, values: Array, *, least: int = 1) -> Array:
        """Mean by customer."""
        n = np.bincount(customer, minlength=self.customers)
        total = np.bincount(customer, weights=values, minlength=self.customers)
        return np.where(n >= least, total / np.maximum(n, 1), np.nan)

    def sd(self, customer: Array, values: Array) -> Array:
        """Standard deviation by customer (n - 1); NaN under two values."""
        n = np.bincount(customer, minlength=self.customers)
        mean = np.nan_to_num(self.mean(customer, values))
        square = (values - mean[customer]) ** 2
        total = np.bincount(customer, weights=square, minlength=self.customers)
        return np.where(n >= 2, np.sqrt(total / np.maximum(n - 1, 1)), np.nan)

    def largest(self, customer: Array, values: Array) -> Array:
        """Largest value by customer."""
        n = np.bincount(customer, minlength=self.customers)
        top = np.full(self.customers, np.nan)
        if len(values):
            top[n > 0] = np.maximum.reduceat(values, (np.cumsum(n) - n)[n > 0])
        return top

    @cached_property
    def gap_mean(self) -> Array:
        """Mean gap in days."""
        return self.mean(*self.gaps)

    @cached_property
    def gap_sd(self) -> Array:
        """Standard deviation of the gaps in days."""
        return self.sd(*self.gaps)

    @cached_property
    def gap_max(self) -> Array:
        """Longest gap in days."""
        return self.largest(*self.gaps)

    @cached_property
    def gap_median(self) -> Array:
        """Median gap in days."""
        customer, values = self.gaps
        if len(values) == 0:
            return np.full(self.customers, np.nan)
        # Sorted by customer and length in one key: gaps are whole days.
        ranked = np.sort(customer * DAYS + values.astype(np.int64)) % DAYS
        n = np.bincount(customer, minlength=self.customers)
        start = np.cumsum(n) - n
        low = np.minimum(start + np.maximum(n - 1, 0) // 2, len(ranked) - 1)
        high = np.minimum(start + n // 2, len(ranked) - 1)
        return np.where(n > 0, (ranked[low] + ranked[high]) / 2.0, np.nan)


@dataclass(frozen=True)
class Feature:
    """One catalogued column.

    Attributes
    ----------
    name
        Column name with window and unit where it has them.
    unit
        events, days, money, ratio, share or code.
    meaning
        A sentence a marketer understands.
    null
        What a missing value means; empty where there is none.
    window_days
        Its window; None for the whole past.
    of
        Its value for every customer, from a view.
    """

    name: str
    unit: str
    meaning: str
    of: Callable[[View], Array]
    null: str = ""
    window_days: int | None = None
