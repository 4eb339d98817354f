"""The history of a set of customers: their day rows by role, made from tallies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from features.aggregates.tallies import NEGATIVE_AMOUNT, Tallies
from features.arrays import Array
from features.contracts import ROLES
from features.history.day_rows import DAYS, SUMMED, TOPPED, DayRows, Subject

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
        first_snapshot_day = np.full(len(self.customers), np.iinfo(np.int64).max - 1)
        for rows in self.roles.values():
            for day_rows in (rows, rows.late):
                np.minimum.at(
                    first_snapshot_day,
                    day_rows.customer,
                    np.maximum(day_rows.day, day_rows.known_day),
                )
        return first_snapshot_day + 1

    def rows(self, subject: Subject) -> DayRows | None:
        """Day rows of a subject; None where the data have no such role."""
        if subject in self.subjects:
            return self.subjects[subject]
        if subject.attribute is None and subject.name in ROLES:
            return self.roles.get(subject.name)
        raise ValueError(f"the history was made without {subject}")

    def with_roles(self, roles: Iterable[str]) -> History:
        """The same, with empty rows of roles that these customers have no events of."""
        empty_rows = DayRows.empty(len(self.customers))
        return replace(self, roles={**dict.fromkeys(roles, empty_rows), **self.roles})

    @property
    def there(self) -> set[str]:
        """Names of the roles and event types with events."""
        return set(self.roles) | {s.name for s, rows in self.subjects.items() if len(rows.day)}

    def only(self, subjects: Iterable[Subject]) -> History:
        """Nothing but the rows of some subjects: what rules need, at less cost."""
        rows_by_subject = {s: rows for s in subjects if (rows := self.rows(s)) is not None}
        role_rows = {s.name: rows for s, rows in rows_by_subject.items() if s not in self.subjects}
        subject_rows = {s: rows for s, rows in rows_by_subject.items() if s in self.subjects}
        return History(self.customers, role_rows, {}, subject_rows)

    @property
    def settled(self) -> History:
        """The history once all is known."""
        roles = {name: rows.settled for name, rows in self.roles.items()}
        subjects = {s: rows.settled for s, rows in self.subjects.items()}
        return History(self.customers, roles, self.choices, subjects)

    def in_flight(self, day: Array | int, positions: Array | None = None) -> Array:
        """Customers of whom something had happened and was not known before a day, rising.

        `positions` are the positions asked about (default: all), `day` one for all or one for each.
        """
        customer_positions = [
            r.in_flight(day, positions) for r in (*self.roles.values(), *self.subjects.values())
        ]
        return np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *customer_positions]))

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
    customer_ids = pa.array(customers, pa.string())
    customer_positions = _positions(daily["customer_id"], customer_ids)
    type_codes, type_names = _encoded(daily["event_type"])
    columns = {name: _whole(daily[name]) for name in _COLUMNS}

    def rows_of(names: Sequence[str]) -> DayRows:
        mask = np.isin(type_names, list(names))[type_codes]
        return _day_rows(customer_positions, columns, len(customers), np.flatnonzero(mask))

    roles = {role: rows_of(names) for role, names in roles_of(role_types, type_names).items()}
    subject_rows: dict[Subject, DayRows] = {}
    for subject in subjects:
        event_types = role_types.get(subject.name, (subject.name,))
        if subject.attribute is not None:
            subject_rows[subject] = _lines(tallies.attributes, customer_ids, subject, event_types)
        elif subject.name not in ROLES:
            subject_rows[subject] = rows_of(event_types)
    choices_by_kind = {
        kind: _choices(
            tallies.attributes, customer_ids, [t for r in of for t in role_types.get(r, ())]
        )
        for kind, of in CHOICE_KINDS.items()
        if choices
    }
    return History(
        customers,
        {role: rows for role, rows in roles.items() if len(rows.day)},
        {k: v for k, v in choices_by_kind.items() if v is not None},
        subject_rows,
    )


def roles_of(
    role_types: Mapping[str, Sequence[str]], event_types: Iterable[str]
) -> dict[str, tuple[str, ...]]:
    """The roles that have events of some types, each with those types of its own."""
    known_types = set(event_types)
    types_by_role = {
        role: tuple(
            n
            for n in (*names, *([NEGATIVE_AMOUNT] if role == "refund" else ()))
            if n in known_types
        )
        for role, names in role_types.items()
    }
    return {role: names for role, names in types_by_role.items() if names}


_COLUMNS = ("day", "known_day", *SUMMED, *TOPPED, "latest")


def _whole(column: Any) -> Array:
    """A column as whole numbers; instants as microseconds."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", tz=column.type.tz)).cast(pa.int64())
    return np.asarray(column.to_numpy()).astype(np.int64, copy=False)


def _lines(
    attributes: pa.Table, customer_ids: pa.Array, subject: Subject, types: Sequence[str]
) -> DayRows:
    """Lines with the attribute values that a subject asks for; they have no amounts."""
    compute = pa.compute
    is_wanted = compute.and_(
        compute.is_in(attributes["event_type"], value_set=pa.array(types, pa.string())),
        compute.and_(
            compute.equal(attributes["attribute"], subject.attribute),
            compute.is_in(attributes["choice"], value_set=pa.array(subject.choices, pa.string())),
        ),
    )
    wanted_lines = attributes.filter(is_wanted)
    columns = {name: _whole(wanted_lines[name]) for name in ("day", "known_day", "count")}
    zeros = np.zeros(wanted_lines.num_rows, dtype=np.int64)
    columns |= dict.fromkeys(("value", *TOPPED, "latest"), zeros)
    customer_positions = _positions(wanted_lines["customer_id"], customer_ids)
    return _day_rows(
        customer_positions, columns, len(customer_ids), np.arange(len(customer_positions))
    )


def _encoded(column: Any) -> tuple[Array, Array]:
    """Codes of the texts of a column, and the texts themselves, rising."""
    dictionary_codes = _one_dictionary(column)
    texts = np.array(dictionary_codes.dictionary.to_pylist(), dtype=str)
    alphabetical = np.argsort(texts, kind="stable")
    code_of_entry = np.empty(len(texts), dtype=np.int64)
    code_of_entry[alphabetical] = np.arange(len(texts))
    return code_of_entry[dictionary_codes.indices.to_numpy()], texts[alphabetical]


def _one_dictionary(column: Any) -> Any:
    """A column of texts as one array of places in one dictionary."""
    dictionary_codes = column.dictionary_encode().unify_dictionaries().combine_chunks()
    return (
        dictionary_codes.combine_chunks()
        if isinstance(dictionary_codes, pa.ChunkedArray)
        else dictionary_codes
    )


def _choices(attributes: pa.Table, customer_ids: pa.Array, types: list[str]) -> Choices | None:
    wanted_lines = attributes.filter(
        pa.compute.is_in(attributes["event_type"], value_set=pa.array(types, pa.string()))
    )
    if wanted_lines.num_rows == 0:
        return None
    customer_positions = _positions(wanted_lines["customer_id"], customer_ids)
    attribute_codes, attribute_names = _encoded(wanted_lines["attribute"])
    choice_codes, choice_names = _encoded(wanted_lines["choice"])
    choice_count = len(choice_names)
    group_key = (
        customer_positions * len(attribute_names) + attribute_codes
    ) * choice_count + choice_codes
    distinct_keys, group_of_line = np.unique(group_key, return_inverse=True)
    last_known_day = np.maximum(
        wanted_lines["day"].to_numpy(), wanted_lines["known_day"].to_numpy()
    )
    return Choices(
        position=distinct_keys // choice_count // len(attribute_names),
        attribute=distinct_keys // choice_count % len(attribute_names),
        choice=distinct_keys % choice_count,
        group=group_of_line,
        known_from=last_known_day.astype(np.int64) + 1,
        count=wanted_lines["count"].to_numpy(),
        attributes=attribute_names,
        choices=choice_names,
    )


def _positions(ids: Any, customers: pa.Array) -> Array:
    """Places of ids among the customers."""
    dictionary_codes = _one_dictionary(ids)
    # A dictionary may name more than there are rows of: nobody, who has no place, has no rows.
    entry_positions = pa.compute.index_in(
        dictionary_codes.dictionary.cast(pa.string()), value_set=customers
    )
    position_of_code = entry_positions.fill_null(-1).to_numpy().astype(np.int64)
    return (
        position_of_code[dictionary_codes.indices.to_numpy()]
        if len(position_of_code)
        else np.zeros(0, dtype=np.int64)
    )


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
    is_late = rows.known_day > rows.day
    if not is_late.any():
        return rows.merged()
    first_rows = rows.firsts
    run_lengths = np.diff(np.append(first_rows, len(is_late)))
    learned_late = np.repeat(np.logical_or.reduceat(is_late, first_rows), run_lengths)
    return replace(rows.merged(), parts=rows.where(learned_late))


def _order(customer: Array, day: Array, known_day: Array) -> Array | None:
    """Order by customer, day and the day it became known; None where they stand so already."""
    sort_key, delay = customer * DAYS + day, known_day - day
    if not len(sort_key):
        return None
    least_delay, delay_range = int(delay.min()), int(delay.max() - delay.min()) + 1
    if int(sort_key.max()) * delay_range > np.iinfo(np.int64).max // 2:
        return np.lexsort([delay, sort_key])
    sort_key = sort_key * delay_range + (delay - least_delay)
    if (sort_key[1:] >= sort_key[:-1]).all():
        return None
    return np.argsort(sort_key, kind="stable")  # quick where long runs are in order


def customers_by_day(history: History, first: int, through: int) -> Array:
    """How many customers existed on each day: an event before it, and known before it."""
    exists_from = np.sort(history.exists_from)
    return np.searchsorted(exists_from, np.arange(first, through + 1), side="right")
