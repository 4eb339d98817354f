"""The history of a set of customers: their day rows by role, made from tallies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from features.aggregates.daily_aggregates import NEGATIVE, Tallies
from features.arrays import Array
from features.contracts import ROLES
from features.history.day_rows import DAYS, SUMMED, TOPPED, DayRows, Subject
from features.history.day_rows import FAR_PAST as FAR_PAST
from features.history.day_rows import Window as Window

# Roles whose events choose: what was bought, what was viewed or clicked, where messages went.
CHOICE_KINDS = {"bought": ("purchase",), "viewed": ("touch", "intent"), "sent": ("sent",)}


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
        Attribute choices by kind (`CHOICE_KINDS`): ``bought``, ``viewed`` and ``sent``.
    subjects
        Day rows of what rules ask for beside whole roles; empty rows where there are no events.
    """

    customers: Array
    roles: Mapping[str, DayRows]
    choices: Mapping[str, Choices]
    subjects: Mapping[Subject, DayRows] = field(default_factory=dict)

    @cached_property
    def exists_from(self) -> Array:
        """First snapshot day at which each customer exists: an event both past and known."""
        first = np.full(len(self.customers), np.iinfo(np.int64).max - 1)
        for rows in self.roles.values():
            for each in (rows, rows.late):
                np.minimum.at(first, each.customer, np.maximum(each.day, each.known_day))
        return first + 1

    def rows(self, subject: Subject) -> DayRows | None:
        """Day rows of a subject; None where the data have no such role."""
        if subject in self.subjects:
            return self.subjects[subject]
        if subject.attribute is None and subject.name in ROLES:
            return self.roles.get(subject.name)
        raise ValueError(f"the history was made without {subject}")

    def with_roles(self, roles: Iterable[str]) -> History:
        """The same, with empty rows of roles that these customers have no events of."""
        none = DayRows.empty(len(self.customers))
        return replace(self, roles={**dict.fromkeys(roles, none), **self.roles})

    @property
    def there(self) -> set[str]:
        """Names of the roles and event types with events."""
        return set(self.roles) | {s.name for s, rows in self.subjects.items() if len(rows.day)}

    def only(self, subjects: Iterable[Subject]) -> History:
        """Nothing but the rows of some subjects: what rules need, at less cost."""
        found = {s: rows for s in subjects if (rows := self.rows(s)) is not None}
        whole = {s.name: rows for s, rows in found.items() if s not in self.subjects}
        beside = {s: rows for s, rows in found.items() if s in self.subjects}
        return History(self.customers, whole, {}, beside)

    @property
    def settled(self) -> History:
        """The history once all is known."""
        roles = {name: rows.settled for name, rows in self.roles.items()}
        subjects = {s: rows.settled for s, rows in self.subjects.items()}
        return History(self.customers, roles, self.choices, subjects)

    def in_flight(self, day: Array | int, who: Array | None = None) -> Array:
        """Customers of whom something had happened and was not known before a day, rising.

        `who` are the positions asked about (default: all), `day` one for all or one for each.
        """
        found = [r.in_flight(day, who) for r in (*self.roles.values(), *self.subjects.values())]
        return np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *found]))

    def known_before(self, day: Array | int) -> History:
        """The history as it stood before a day: nothing learned later is in it."""
        roles = {name: rows.known_before(day) for name, rows in self.roles.items()}
        subjects = {s: rows.known_before(day) for s, rows in self.subjects.items()}
        return History(self.customers, roles, self.choices, subjects)

    def take(self, positions: Array) -> History:
        """The day rows of some customers, without their choices."""
        roles = {name: rows.take(positions) for name, rows in self.roles.items()}
        subjects = {s: rows.take(positions) for s, rows in self.subjects.items()}
        return History(self.customers[positions], roles, {}, subjects)


def history(
    tallies: Tallies,
    role_types: Mapping[str, Sequence[str]],
    subjects: Iterable[Subject] = (),
    *,
    choices: bool = True,
) -> History:
    """Day rows by role from tallies.

    Parameters
    ----------
    tallies
        Of any number of customers.
    role_types
        Event types of every role; negative purchase totals join the role ``refund``.
    subjects
        What rules ask for; those that are not whole roles get rows of their own.
    choices
        Whether to know what customers chose.
    """
    daily = tallies.daily
    customers = np.sort(np.array(daily["customer_id"].unique().to_pylist(), dtype=str))
    codes = pa.array(customers, pa.string())
    position = _positions(daily["customer_id"], codes)
    type_codes, types = _encoded(daily["event_type"])
    columns = {name: _whole(daily[name]) for name in _COLUMNS}

    def rows_of(names: Sequence[str]) -> DayRows:
        mask = np.isin(types, list(names))[type_codes]
        return _day_rows(position, columns, len(customers), np.flatnonzero(mask))

    roles = {role: rows_of(names) for role, names in roles_of(role_types, types).items()}
    beside: dict[Subject, DayRows] = {}
    for subject in subjects:
        kinds = role_types.get(subject.name, (subject.name,))
        if subject.attribute is not None:
            beside[subject] = _lines(tallies.attributes, codes, subject, kinds)
        elif subject.name not in ROLES:
            beside[subject] = rows_of(kinds)
    chosen = {
        kind: _choices(tallies.attributes, codes, [t for r in of for t in role_types.get(r, ())])
        for kind, of in CHOICE_KINDS.items()
        if choices
    }
    return History(
        customers,
        {role: rows for role, rows in roles.items() if len(rows.day)},
        {k: v for k, v in chosen.items() if v is not None},
        beside,
    )


def roles_of(
    role_types: Mapping[str, Sequence[str]], there: Iterable[str]
) -> dict[str, tuple[str, ...]]:
    """The roles that have events of some types, each with those types of its own."""
    known = set(there)
    found = {
        role: tuple(n for n in (*names, *([NEGATIVE] if role == "refund" else ())) if n in known)
        for role, names in role_types.items()
    }
    return {role: names for role, names in found.items() if names}


_COLUMNS = ("day", "known_day", *SUMMED, *TOPPED, "latest")


def _whole(column: Any) -> Array:
    """A column as whole numbers; instants as microseconds."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", tz=column.type.tz)).cast(pa.int64())
    return np.asarray(column.to_numpy()).astype(np.int64, copy=False)


def _lines(
    attributes: pa.Table, codes: pa.Array, subject: Subject, types: Sequence[str]
) -> DayRows:
    """Lines with the attribute values that a subject asks for; they have no amounts."""
    compute = pa.compute
    mask = compute.and_(
        compute.is_in(attributes["event_type"], value_set=pa.array(types, pa.string())),
        compute.and_(
            compute.equal(attributes["attribute"], subject.attribute),
            compute.is_in(attributes["choice"], value_set=pa.array(subject.choices, pa.string())),
        ),
    )
    found = attributes.filter(mask)
    columns = {name: _whole(found[name]) for name in ("day", "known_day", "count")}
    none = np.zeros(found.num_rows, dtype=np.int64)
    columns |= dict.fromkeys(("value", *TOPPED, "latest"), none)
    position = _positions(found["customer_id"], codes)
    return _day_rows(position, columns, len(codes), np.arange(len(position)))


def _encoded(column: Any) -> tuple[Array, Array]:
    """Codes of the texts of a column, and the texts themselves, rising."""
    encoded = _one_dictionary(column)
    texts = np.array(encoded.dictionary.to_pylist(), dtype=str)
    order = np.argsort(texts, kind="stable")
    places = np.empty(len(texts), dtype=np.int64)
    places[order] = np.arange(len(texts))
    return places[encoded.indices.to_numpy()], texts[order]


def _one_dictionary(column: Any) -> Any:
    """A column of texts as one array of places in one dictionary."""
    encoded = column.dictionary_encode().unify_dictionaries().combine_chunks()
    return encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded


def _choices(attributes: pa.Table, codes: pa.Array, types: list[str]) -> Choices | None:
    wanted = attributes.filter(
        pa.compute.is_in(attributes["event_type"], value_set=pa.array(types, pa.string()))
    )
    if wanted.num_rows == 0:
        return None
    position = _positions(wanted["customer_id"], codes)
    attribute, names = _encoded(wanted["attribute"])
    choice, choices = _encoded(wanted["choice"])
    size = len(choices)
    key = (position * len(names) + attribute) * size + choice
    groups, group = np.unique(key, return_inverse=True)
    known = np.maximum(wanted["day"].to_numpy(), wanted["known_day"].to_numpy())
    return Choices(
        position=groups // size // len(names),
        attribute=groups // size % len(names),
        choice=groups % size,
        group=group,
        known_from=known.astype(np.int64) + 1,
        count=wanted["count"].to_numpy(),
        attributes=names,
        choices=choices,
    )


def _positions(ids: Any, customers: pa.Array) -> Array:
    """Places of ids among the customers."""
    encoded = _one_dictionary(ids)
    # A dictionary may name more than there are rows of: nobody, who has no place, has no rows.
    places = pa.compute.index_in(encoded.dictionary.cast(pa.string()), value_set=customers)
    table = places.fill_null(-1).to_numpy().astype(np.int64)
    return table[encoded.indices.to_numpy()] if len(table) else np.zeros(0, dtype=np.int64)


def _day_rows(
    customer: Array, columns: Mapping[str, Array], customers: int, chosen: Array
) -> DayRows:
    """Some of the rows, sorted; on-time rows of one day merged, late ones kept apart."""
    order = _order(*(column[chosen] for column in (customer, columns["day"], columns["known_day"])))
    if order is not None:
        chosen = chosen[order]
    facts = {name: columns[name][chosen] for name in (*SUMMED, *TOPPED, "latest")}
    day, known_day = columns["day"][chosen], columns["known_day"][chosen]
    rows = DayRows(customer[chosen], day, known_day, customers, facts)
    late = rows.known_day > rows.day
    if not late.any():
        return rows.merged()
    first = rows.firsts
    lengths = np.diff(np.append(first, len(late)))
    learned_late = np.repeat(np.logical_or.reduceat(late, first), lengths)
    return replace(rows.merged(), parts=rows.where(learned_late))


def _order(customer: Array, day: Array, known: Array) -> Array | None:
    """Order by customer, day and the day it became known; None where they stand so already."""
    key, delay = customer * DAYS + day, known - day
    if not len(key):
        return None
    least, width = int(delay.min()), int(delay.max() - delay.min()) + 1
    if int(key.max()) * width > np.iinfo(np.int64).max // 2:
        return np.lexsort([delay, key])
    key = key * width + (delay - least)
    if (key[1:] >= key[:-1]).all():
        return None
    return np.argsort(key, kind="stable")  # quick where long runs are in order


def customers_by_day(history: History, first: int, through: int) -> Array:
    """How many customers existed on each day: an event before it, and known before it."""
    since = np.sort(history.exists_from)
    return np.searchsorted(since, np.arange(first, through + 1), side="right")
