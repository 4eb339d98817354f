"""Several tables -> sources: which hold events, and which only add columns to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from features.errors import UserError
from flows.setup.column_synonyms import snake_case
from flows.setup.source_draft import Lookup, SourceProposal
from flows.setup.source_inference import customer_of, propose_source, time_of
from flows.setup.table_profiling import ColumnProfile, ProfiledTable

_SHARED_SHARE = 0.5  # share of the rows whose key must be in the other table
_PEOPLE = ("customer", "client", "user", "member", "contact", "household", "kunde", "profile")


@dataclass(frozen=True)
class Assembly:
    """Proposed sources, and tables that were left out, with why."""

    sources: tuple[SourceProposal, ...]
    left_out: tuple[tuple[str, str], ...]


def assemble(tables: Sequence[ProfiledTable], *, zone: str, given: Mapping[str, str]) -> Assembly:
    """Sources of some tables.

    Parameters
    ----------
    tables
        As inspected.
    zone
        Of clock times that tell none.
    given
        Event column: table column, as the user said; of the tables that have it.

    Raises
    ------
    UserError
        Where a table holds no events and adds nothing to one that does.
    """
    for name, column in given.items():
        if not any(column in table.columns for table in tables):
            there = "; ".join(f"{t.name}: {', '.join(t.columns)}" for t in tables)
            raise UserError(
                f"--column {name}={column}", found=f"no column {column!r}", expected=there
            )
    people = [t for t in tables if len(tables) > 1 and _of_people(t)]
    left_out = [(t.name, "one row a customer; no events") for t in people]
    tables = [t for t in tables if t not in people]
    whole = [t for t in tables if _complete(t, given)]
    parts = [t for t in tables if t not in whole]
    sources: list[tuple[ProfiledTable, tuple[Lookup, ...]]] = []
    heads: list[ProfiledTable] = []
    for part in list(parts):
        for head in whole:
            key = _key(part, head)
            if key is not None:
                # Lines of orders: who and when stand with the order.
                sources.append((_joined(part, head, key), (Lookup(head, key),)))
                heads.append(head)
                parts.remove(part)
                break
    sources = [(t, ()) for t in whole if t not in heads] + sources
    for part in parts:
        sources = _added(sources, part)
    proposals = tuple(
        propose_source(
            table,
            zone=zone,
            lookups=lookups,
            given={name: column for name, column in given.items() if column in table.columns},
        )
        for table, lookups in sources
    )
    return Assembly(proposals, tuple(left_out))


def _complete(table: ProfiledTable, given: Mapping[str, str]) -> bool:
    who = given.get("customer_id") in table.columns or customer_of(table) is not None
    when = given.get("occurred_at") in table.columns or time_of(table) is not None
    return who and when


def _of_people(table: ProfiledTable) -> bool:
    customer = customer_of(table)
    named = snake_case(table.name.rsplit(".", 1)[0]).startswith(_PEOPLE)
    return customer is not None and customer.unique and named


def _added(
    sources: list[tuple[ProfiledTable, tuple[Lookup, ...]]], part: ProfiledTable
) -> list[tuple[ProfiledTable, tuple[Lookup, ...]]]:
    """The sources, with a table's columns where they share a key with it."""
    grown, found = [], False
    for table, lookups in sources:
        key = _key(table, part)
        if key is not None:
            found = True
            table, lookups = _joined(table, part, key), (*lookups, Lookup(part, key))
        grown.append((table, lookups))
    if not sources:
        propose_source(part, zone="UTC")  # says what is missing
    if not found:
        raise UserError(
            part.name,
            found=f"neither customers with times, nor a key of another table (columns: "
            f"{', '.join(list(part.columns)[:15])})",
            expected="events (who and when), or rows named by a column that an event table has too",
            hint="leave the table out, or name columns: --column customer_id=..., "
            "--column occurred_at=...",
        )
    return grown


def _key(table: ProfiledTable, other: ProfiledTable) -> str | None:
    """A column of both that names each row of the other once, and most rows of the table."""
    for name in table.columns:
        right = other.columns.get(name)
        if right is not None and right.unique and right.time is None:
            left, there = _aligned(table.columns[name].cells, right.cells)
            if left.isin(there).mean() >= _SHARED_SHARE:
                return name
    return None


def _aligned(left: pd.Series, right: pd.Series) -> tuple[pd.Series, pd.Series]:
    if left.dtype == right.dtype:
        return left, right
    return left.astype(str), right.astype(str)


def _joined(table: ProfiledTable, other: ProfiledTable, key: str) -> ProfiledTable:
    """A table with the other's columns, by a key that is unique there."""
    left, right = _aligned(table.columns[key].cells, other.columns[key].cells)
    place = pd.Series(range(len(right)), index=right).reindex(left).to_numpy()
    columns: dict[str, ColumnProfile] = dict(table.columns)
    for name, column in other.columns.items():
        if name not in columns:
            cells = column.cells.reset_index(drop=True).reindex(place).reset_index(drop=True)
            columns[name] = replace(column, cells=cells)
    return replace(table, columns=columns)
