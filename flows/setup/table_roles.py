"""Several tables -> sources: which hold events, and which only add columns to them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from features.errors import Problems, UserError
from flows.setup.amount_inference import copied_rows
from flows.setup.column_synonyms import CUSTOMER, VALUE, snake_case
from flows.setup.contracts import contract_ends
from flows.setup.customer_by_content import likely_customers
from flows.setup.customer_column import customer_of
from flows.setup.event_type_inference import role_of_table
from flows.setup.overlapping_purchases import settle_purchases
from flows.setup.presets import (
    missing_columns,
    preset_columns,
    preset_named,
    recognise,
)
from flows.setup.source_draft import Lookup, SourceProposal, best_column
from flows.setup.source_inference import propose_source, time_of
from flows.setup.table_joins import Join, SharedKey, join_tables, names_rows, shared_key
from flows.setup.table_profiling import ColumnProfile, ProfiledTable
from flows.setup.table_refusals import (
    refuse_groups,
    refuse_headings,
    refuse_snapshot,
    refuse_years,
)

_OWN_ID = 0.95  # share of the orders with a customer of their own from which an id is doubted
_FEWEST_ORDERS = 30
_PEOPLE = re.compile(
    "(^|_)(customer|client|user|member|contact|household|kunde|profile|account|people|person)"
    "(s|n|en)?(_|$)"
)


@dataclass(frozen=True)
class Assembly:
    """Proposed sources, tables that were left out with why, and how the tables hang together."""

    sources: tuple[SourceProposal, ...]
    left_out: tuple[tuple[str, str], ...]
    relations: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Joined:
    """A table with the columns of its lookups, and what the relations say of its columns."""

    table: ProfiledTable
    lookups: tuple[Lookup, ...] = ()
    given: tuple[tuple[str, str], ...] = ()
    note: str = ""

    def with_lookup(self, other: ProfiledTable, key: SharedKey) -> _Joined:
        joined = join_tables(self.table, other, key)
        return _Joined(joined, (*self.lookups, Lookup(other, key)), self.given, self.note)


def assemble(
    tables: Sequence[ProfiledTable],
    *,
    zone: str,
    given: Mapping[str, str],
    preset: str | None = None,
    joins: Sequence[Join] = (),
) -> Assembly:
    """Sources of some tables.

    Parameters
    ----------
    tables
        As inspected.
    zone
        Of clock times that tell none.
    given
        Event column: table column, as the user said; of the tables that have it.
    preset
        Name of a preset for every table that has its columns.
    joins
        Keys that the user said tables share.

    Raises
    ------
    UserError
        Where a table holds no events and adds nothing to one that does, and for a column that
        the user named and no source uses.
    """
    for name, column in given.items():
        if not any(column in table.columns for table in tables):
            there = "; ".join(f"{t.name}: {', '.join(t.columns)}" for t in tables)
            raise UserError(
                f"--column {name}={column}", found=f"no column {column!r}", expected=there
            )
    forced = _forced(tables, preset)
    people = [t for t in tables if len(tables) > 1 and _of_people(t) and recognise(t) is None]
    others = [t for t in tables if t not in people]
    if not others:
        others, people = people, []
    for table in others:
        refuse_years(table)
    if not any(_complete(table, given) for table in others):
        refuse_snapshot(others[0])
    for table in others:
        refuse_headings(table)
        refuse_groups(table)
    joined, left_out = _with_parts(others, given, joins)
    named_people = [(person, _with_person(joined, person, given, joins)) for person in people]
    for person, widened in named_people:
        if widened is None:
            left_out.append((person.name, "one row a customer; no events"))
        else:
            joined = widened
    problems, proposals = Problems(), []
    for part in joined:
        with problems.collect():
            own = {name: column for name, column in given.items() if column in part.table.columns}
            source = propose_source(
                part.table,
                zone=zone,
                lookups=part.lookups,
                given={**dict(part.given), **own},
                preset=preset if part.table.name in forced else None,
            )
            if part.note:
                source.notes["customer_id"] = part.note
            proposals.append(source)
            cancelled = contract_ends(source, part.table)
            if cancelled is not None:
                proposals.append(cancelled)
    problems.refuse()
    _refuse_unused(given, proposals)
    kept, doubles = settle_purchases(proposals)
    relations = tuple(_relation(part) for part in joined if part.lookups)
    return Assembly(tuple(kept), (*left_out, *doubles), relations)


def _with_parts(
    tables: Sequence[ProfiledTable], given: Mapping[str, str], joins: Sequence[Join]
) -> tuple[list[_Joined], list[tuple[str, str]]]:
    """Tables of events with the columns of the tables that belong to them."""
    whole = [t for t in tables if _complete(t, given)] or _likely_events(tables, given)
    parts = [t for t in tables if t not in whole]
    left_out: list[tuple[str, str]] = []
    lines: list[_Joined] = []
    heads: list[ProfiledTable] = []
    for part in list(parts):
        head, key = next(
            ((h, k) for h in whole if (k := shared_key(part, h, joins)) is not None), (None, None)
        )
        if head is None or key is None:
            continue
        parts.remove(part)
        if _has_amounts(head) and not _has_amounts(part):
            left_out.append((part.name, f"belongs to {head.name}, which carries the amounts"))
            continue
        # Lines of orders: who and when stand with the order.
        customer = customer_of(head)
        is_order = customer is None or customer.name != key.other
        known = (("order_id", key.column),) if is_order and "order_id" not in given else ()
        lines.append(_Joined(part, given=known).with_lookup(head, key))
        heads.append(head)
    joined = [_Joined(t) for t in whole if t not in heads] + lines
    for part in parts:
        joined = _added(joined, part, joins)
    return joined, left_out


def _has_amounts(table: ProfiledTable) -> bool:
    return best_column(table.columns, VALUE, lambda c: c.kind == "number") is not None


def _forced(tables: Sequence[ProfiledTable], preset: str | None) -> set[str]:
    """Names of the tables that a preset is forced on: those that have who and when of it.

    Raises
    ------
    UserError
        Where there is none.
    """
    if preset is None:
        return set()
    form, forced, lacking = preset_named(preset), set(), []
    for table in tables:
        there = preset_columns(form, table)
        if "occurred_at" in there and ("customer_id" in there or "anonymous_id" in there):
            forced.add(table.name)
        lacking += [f"{table.name}: {name}" for name in missing_columns(form, table)]
    if not forced:
        raise UserError(
            f"--preset {preset}",
            found=f"no table with its columns; missing: {'; '.join(lacking)}",
            expected=f"an export of {form.title}",
            hint="leave --preset out, and name columns with --column",
        )
    return forced


def _complete(table: ProfiledTable, given: Mapping[str, str]) -> bool:
    if recognise(table) is not None:
        return True
    who = given.get("customer_id") in table.columns or customer_of(table) is not None
    when = given.get("occurred_at") in table.columns or time_of(table) is not None
    return who and when


def _likely_events(
    tables: Sequence[ProfiledTable], given: Mapping[str, str]
) -> list[ProfiledTable]:
    """The only table with times, where a column may be that of customers by its content."""
    timed = [t for t in tables if given.get("occurred_at") in t.columns or time_of(t) is not None]
    return timed if len(timed) == 1 and likely_customers(timed[0]) else []


def _of_people(table: ProfiledTable) -> bool:
    customer = customer_of(table)
    if customer is None or role_of_table(table) in ("purchase", "refund"):
        return False
    if not names_rows(customer) and not _names_rows_but_for_copies(table, customer):
        return False
    named = _PEOPLE.search(snake_case(table.name.rsplit(".", 1)[0])) is not None
    return named or time_of(table) is None


def _names_rows_but_for_copies(table: ProfiledTable, customer: ColumnProfile) -> bool:
    """Whether a customer stands twice only where the whole row does."""
    originals = customer.cells.reset_index(drop=True)[~copied_rows(table)].dropna()
    return customer.filled > 0.9 and originals.is_unique


def _with_person(
    joined: list[_Joined],
    person: ProfiledTable,
    given: Mapping[str, str],
    joins: Sequence[Join],
) -> list[_Joined] | None:
    """The tables with columns of a table of people that say who; None where it says nothing new."""
    grown, helps = [], False
    for part in joined:
        key = shared_key(part.table, person, joins)
        column = None if key is None else _better_customer(part, person, key.column, given)
        if key is None or column is None:
            grown.append(part)
            continue
        helps = True
        widened = part.with_lookup(person, key)
        distinct = widened.table.columns[column.name].distinct
        note = (
            f"CHECK: {key.column!r} is new with nearly every order; {column.name!r} of "
            f"{person.name} repeats ({distinct:,} customers), so it is taken."
        )
        said = "customer_id" in given
        grown.append(
            _Joined(
                widened.table,
                widened.lookups,
                (("customer_id", column.name),),
                "" if said else note,
            )
        )
    return grown if helps else None


def _better_customer(
    part: _Joined, person: ProfiledTable, key: str, given: Mapping[str, str]
) -> ColumnProfile | None:
    wanted = person.columns.get(given.get("customer_id", ""))
    if wanted is not None:
        return None if wanted.name in part.table.columns else wanted
    customer = customer_of(part.table)
    if customer is None or customer.name != key or not _is_new_with_every_order(part):
        return None
    return best_column(
        person.columns,
        (*CUSTOMER, r".*(customer|client|user|buyer|person|unique).*(id|key|no|nr|number)"),
        lambda c: c.name not in part.table.columns and not c.unique and c.filled == 1,
    )


def _is_new_with_every_order(part: _Joined) -> bool:
    """Whether nearly every order has a customer of its own."""
    head = part.lookups[0].table if part.lookups else part.table
    customer = customer_of(head)
    if customer is None or len(customer.cells) < _FEWEST_ORDERS:
        return False
    return customer.distinct >= _OWN_ID * len(customer.cells)


def _added(joined: list[_Joined], part: ProfiledTable, joins: Sequence[Join]) -> list[_Joined]:
    """The tables, with another's columns where they share a key with it."""
    grown, helps = [], False
    for each in joined:
        key = shared_key(each.table, part, joins)
        helps = helps or key is not None
        grown.append(each if key is None else each.with_lookup(part, key))
    if not joined:
        propose_source(part, zone="UTC")  # says what is missing
    if not helps:
        raise UserError(
            part.name,
            found=f"neither customers with times, nor a key of another table (columns: "
            f"{', '.join(list(part.columns)[:15])})",
            expected="events (who and when), or rows named by a column that an event table has too",
            hint="leave the table out, name columns (--column customer_id=..., "
            "--column occurred_at=...), or the key that it shares with another: "
            "--join TABLE.COLUMN=TABLE.COLUMN",
        )
    return grown


def _refuse_unused(given: Mapping[str, str], sources: Sequence[SourceProposal]) -> None:
    """Stop at a column that the user named and that no source uses in that meaning.

    Raises
    ------
    UserError
        Naming every such option.
    """
    problems = Problems()
    for name, column in given.items():
        used = False
        for source in sources:
            kind = source.event_type
            column_used = {
                "event_type": kind if isinstance(kind, str) else kind["column"],
                "event_id": source.event_id,
            }.get(name, source.columns.get(name))
            if isinstance(column_used, dict):
                column_used = column_used["column"]
            used = used or column_used == column
        if not used:
            problems.add(
                UserError(
                    f"--column {name}={column}",
                    found=f"column {column!r} is used by no source in this meaning",
                    expected="a column of a table of events, or of a table joined to one",
                    hint="leave the option out, or bring the table in which the column stands",
                )
            )
    problems.refuse()


def _relation(part: _Joined) -> str:
    """How a table hangs together with its lookups, in rows."""
    names = [f"{lookup.table.name} {lookup.table.rows:,}" for lookup in part.lookups]
    keys = ", ".join(
        dict.fromkeys(
            key.column if key.column == key.other else f"{key.column} = {key.other}"
            for key in (lookup.key for lookup in part.lookups)
        )
    )
    return f"{' + '.join(names)} -> {part.table.name} {part.table.rows:,} (by {keys})"
