"""What the events of a table are: a column of types and their roles, or one type for all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from flows.setup import column_synonyms
from flows.setup.column_synonyms import role_of, snake_case, synonym_rank
from flows.setup.source_draft import SourceProposal, best_column, used_columns
from flows.setup.table_profiling import ColumnProfile, ProfiledTable


def propose_types(
    found: SourceProposal, table: ProfiledTable, said: Mapping[str, ColumnProfile]
) -> None:
    """Set event type, roles and ignored types of a source."""
    column = said.get("event_type") or _type_column(found, table)
    if column is None:
        constant, note = _constant(found, table)
        found.event_type = constant
        if note:
            found.notes["event_type"] = note
        return
    found.event_type = {"column": column.name}
    values = column.types or tuple(str(value) for value in column.cells.dropna().unique())
    roles: dict[str, list[str]] = {}
    for value in sorted(values):
        known, role = role_of(value)
        if role in ("cancel", "refund") and _tells_how_orders_end(column):
            # An order that was called off brought nothing; it is no event of its own.
            role = "refund" if role == "refund" and _negative(found, table, column, value) else None
        if role is None:
            found.ignored.append(value)
        else:
            roles.setdefault(role, []).append(value)
        if not known:
            found.notes["event_type"] = "CHECK: types of unknown meaning are ignored, see below."
    if "purchase" not in roles and "value" in found.columns:
        _paid_type_is_a_purchase(found, table, column, roles)
    found.roles = roles


def _type_column(found: SourceProposal, table: ProfiledTable) -> ColumnProfile | None:
    used = used_columns(found)

    def telling(column: ColumnProfile) -> bool:
        if column.kind != "text" or column.distinct > 200 or column.name in used:
            return False
        recognised = column.cells.dropna().map(lambda value: role_of(str(value))[0])
        least = 0.0 if synonym_rank(column.name, column_synonyms.EVENT_TYPE) == 0 else 0.5
        return bool(len(recognised)) and float(recognised.mean()) > least

    return best_column(table.columns, column_synonyms.EVENT_TYPE, telling)


def _tells_how_orders_end(column: ColumnProfile) -> bool:
    return "status" in snake_case(column.name)


def _negative(
    found: SourceProposal, table: ProfiledTable, column: ColumnProfile, value: str
) -> bool:
    if "value" not in found.columns:
        return False
    amounts = table.columns[found.columns["value"]].cells[column.cells == value]
    return bool((amounts.dropna() < 0).mean() > 0.5)


def _paid_type_is_a_purchase(
    found: SourceProposal, table: ProfiledTable, column: ColumnProfile, roles: dict[str, list[str]]
) -> None:
    """Of types that no name tells, the one whose rows carry amounts is the purchase."""
    amounts = table.columns[found.columns["value"]].cells.notna()
    paid = amounts.groupby(column.cells).mean()
    paid = paid[[name in found.ignored for name in paid.index]]
    if len(paid) and float(paid.max()) > 0.5:
        name = str(paid.idxmax())
        found.ignored.remove(name)
        roles["purchase"] = [name]
        found.notes["event_type"] = f"CHECK: {name!r} has amounts, so it is taken as the purchase."


def _constant(found: SourceProposal, table: ProfiledTable) -> tuple[str, str]:
    location = table.location
    stem = Path(location).stem if isinstance(location, str) else getattr(location, "table", "")
    _, role = role_of(re.sub(r"[\d_.*?-]+$", "", stem))
    bought = "value" in found.columns or "order_id" in found.columns
    if bought and role not in ("refund", "purchase"):
        return "purchase", ""
    if role is not None:
        return role, "" if role == "purchase" else "CHECK: by the name of the file."
    return "touch", "CHECK: nothing tells what these events are; taken as touches."
