"""What the events of a table are: a column of types and their roles, or one type for all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from flows.setup import column_synonyms
from flows.setup.column_synonyms import role_of, synonym_rank
from flows.setup.contracts import propose_movements
from flows.setup.order_state_inference import (
    leave_out_lost,
    propose_ledger,
    propose_sides,
    propose_states,
    role_of_cases,
    state_column,
    words_of,
)
from flows.setup.order_states import are_order_states, state_in
from flows.setup.readings import amounts, counted
from flows.setup.row_exclusions import propose_paid_words
from flows.setup.source_draft import SourceProposal, best_column, used_columns
from flows.setup.table_profiling import ColumnProfile, ProfiledTable

_MOST_STATES = 30
_SHOWN = 5  # words named in a note
_NO_ORDERS = ("support", "cancel", "complaint", "survey_nps", "survey_csat")


def propose_types(
    found: SourceProposal, table: ProfiledTable, said: Mapping[str, ColumnProfile]
) -> None:
    """Set event type, roles and ignored types of a source."""
    column = said.get("event_type")
    if column is not None:
        if not (_holds_states(column) and propose_states(found, column)):
            _typed(found, table, column)
        leave_out_lost(found, table)
        return
    if propose_movements(found, table):
        return
    has_amounts = "value" in found.columns
    role = role_of_table(table)
    if role in (None, "touch") and not has_amounts:
        role = role_of_cases(table) or role
    if role in _NO_ORDERS or (role not in (None, "purchase", "refund") and not has_amounts):
        column = _type_column(found, table)
        if column is not None and role not in _NO_ORDERS:
            _typed(found, table, column)
            return
        found.event_type = str(role)
        found.notes["event_type"] = (
            f"CHECK: by the name of the table its rows are of the role {role}, and no purchases."
        )
        for name in ("value", "value_times", "order_id"):
            found.columns.pop(name, None)
            found.notes.pop(name, None)
        return
    column = _type_column(found, table)
    is_ledger = role != "refund" and not _bought_in_plus(found, column)
    if is_ledger and (propose_ledger(found, table) or propose_sides(found, table)):
        return
    if column is not None:
        _typed(found, table, column)
        leave_out_lost(found, table)
        return
    if role != "refund" and (has_amounts or "order_id" in found.columns):
        states = state_column(found, table)
        if states is not None and propose_states(found, states):
            leave_out_lost(found, table)
            return
    if role != "refund" and has_amounts and propose_paid_words(found, table):
        return
    found.event_type, note = _constant(found, role)
    note = note or _uncertain_states(found, table)
    if note:
        found.notes["event_type"] = note


def _holds_states(column: ColumnProfile) -> bool:
    """Whether a column that the user named holds states of orders, and no kinds of events."""
    words = words_of(column)
    if synonym_rank(column.name, column_synonyms.STATUS) is not None:
        return True
    if any(role_of(word)[1] == "purchase" for word in words):
        return False
    return are_order_states(column.name, words)


def _uncertain_states(found: SourceProposal, table: ProfiledTable) -> str:
    """A sentence on a column that may say how orders ended, in words that are not known."""
    used = used_columns(found)
    column = best_column(
        table.columns,
        column_synonyms.STATUS,
        lambda c: c.kind == "text" and c.name not in used and 1 < c.distinct <= _MOST_STATES,
    )
    if column is None:
        return ""
    words = [str(word) for word in words_of(column)]
    shown = ", ".join(map(repr, words[:5])) + (", ..." if len(words) > 5 else "")
    return (
        f"CHECK: all rows count, whatever {column.name!r} says ({shown}). If only some of its "
        f"words are purchases: --column 'event_type={column.name}'."
    )


def role_of_table(table: ProfiledTable) -> str | None:
    """The role that a table's name tells; None where it tells none."""
    location = table.location[0] if isinstance(table.location, tuple) else table.location
    stem = Path(location).stem if isinstance(location, str) else getattr(location, "table", "")
    return role_of(re.sub(r"[\d_.*?-]+$", "", stem))[1]


def _typed(found: SourceProposal, table: ProfiledTable, column: ColumnProfile) -> None:
    """Let the values of a column of types say the role of each row."""
    kind: dict[str, object] = {"column": column.name}
    values = set(words_of(column))
    if column.filled < 1:
        second = best_column(
            table.columns,
            column_synonyms.EVENT_TYPE,
            lambda c: c.name != column.name and c.filled == 1 and c.distinct <= 200,
        )
        if second is not None:
            kind["otherwise"] = second.name
            values |= set(second.cells[column.cells.isna()].astype(str))
    found.event_type = kind
    unknown: list[str] = []
    roles: dict[str, list[str]] = {}
    for value in sorted(values):
        known, role = role_of(value)
        if role is None:
            found.ignored.append(value)
        else:
            roles.setdefault(role, []).append(value)
        if not known:
            unknown.append(value)
    if unknown:
        shown = ", ".join(map(repr, unknown[:_SHOWN])) + (", ..." if len(unknown) > _SHOWN else "")
        found.notes["event_type"] = (
            f"CHECK: {shown} in {column.name!r}: of unknown meaning, so these rows are ignored. If "
            "one of them is a purchase: --role 'WORD=purchase'."
        )
    if "value" in found.columns:
        _paid_back_is_a_refund(found, column, roles)
    if "purchase" not in roles and "value" in found.columns:
        _paid_type_is_a_purchase(found, column, roles)
    found.roles = roles


def _type_column(found: SourceProposal, table: ProfiledTable) -> ColumnProfile | None:
    used = used_columns(found)
    full = {c.name for c in table.columns.values() if c.filled == 1}
    second = any(synonym_rank(name, column_synonyms.EVENT_TYPE) is not None for name in full - used)

    def telling(column: ColumnProfile) -> bool:
        if column.kind != "text" or column.distinct > 200 or column.name in used:
            return False
        if column.filled < 0.99 and not second:
            return False
        recognised = column.cells.dropna().map(lambda value: role_of(str(value))[0])
        least = 0.0 if synonym_rank(column.name, column_synonyms.EVENT_TYPE) == 0 else 0.5
        return bool(len(recognised)) and float(recognised.mean()) > least

    return best_column(table.columns, column_synonyms.EVENT_TYPE, telling)


def _paid_back_is_a_refund(
    found: SourceProposal, column: ColumnProfile, roles: dict[str, list[str]]
) -> None:
    """Of types that no name tells, those with negative amounts only are refunds."""
    amount = amounts(found)
    assert amount is not None
    cells = column.cells.reset_index(drop=True).astype("object")
    for word in [word for word in found.ignored if not role_of(word)[0]]:
        own = amount[cells == word].dropna()
        if len(own) and (own < 0).all() and (amount > 0).mean() > (amount < 0).mean():
            found.ignored.remove(word)
            roles.setdefault("refund", []).append(word)


def _paid_type_is_a_purchase(
    found: SourceProposal, column: ColumnProfile, roles: dict[str, list[str]]
) -> None:
    """Of types that no name tells, the most frequent of those with amounts is the purchase."""
    amount = amounts(found)
    assert amount is not None
    cells = column.cells.reset_index(drop=True).astype("object")
    paid = {
        word: cells == word
        for word in found.ignored
        if (amount[cells == word] > 0).mean() > 0.5
        and state_in(column.name, word) not in ("lost", "back", "open")
    }
    rows = {word: own for word, own in paid.items() if not role_of(word)[0]}
    if not rows:
        return
    name = max(rows, key=lambda word: int(rows[word].sum()))
    parts = [word for word in paid if word != name and _same_orders(found, paid[name], paid[word])]
    if parts:
        words = sorted([name, *parts])
        found.ignored = [word for word in found.ignored if word not in words]
        # One type for all parts: an order's rows of several types would be several orders.
        found.event_type = {"column": column.name, "words": dict.fromkeys(words, "purchase")}
        found.notes["event_type"] = (
            f"CHECK: {' and '.join(map(repr, words))} in {column.name!r} are parts of the same "
            "orders, so both count: "
            + "; ".join(f"{word!r}: {counted(found, paid[word])}" for word in words)
            + ". To leave one out: --role 'WORD=ignore'."
        )
        return
    found.ignored.remove(name)
    roles["purchase"] = [name]
    others = "; ".join(f"{word!r}: {counted(found, own)}" for word, own in rows.items())
    found.notes["event_type"] = (
        f"CHECK: of unknown words in {column.name!r}, {name!r} is taken as the purchase and the "
        f"others are ignored. With amounts: {others}. For another: --role 'WORD=purchase'."
    )


def _bought_in_plus(found: SourceProposal, column: ColumnProfile | None) -> bool:
    """Whether a column of types has purchases, whose amounts are positive: no ledger of debits."""
    amount = amounts(found)
    if column is None or amount is None:
        return False
    cells = column.cells.reset_index(drop=True).astype("object")
    bought = cells.isin([word for word in words_of(column) if role_of(word)[1] == "purchase"])
    return bool(bought.any()) and bool((amount[bought] > 0).mean() > 0.5)


def _same_orders(found: SourceProposal, first: pd.Series, second: pd.Series) -> bool:
    """Whether most orders of either kind have rows of both: a deposit, and the rest."""
    order = found.columns.get("order_id")
    if order is None:
        return False
    ids = found.table.columns[order].cells.reset_index(drop=True)
    one, other = set(ids[first].dropna()), set(ids[second].dropna())
    return len(one & other) > 0.5 * min(len(one), len(other))


def _constant(found: SourceProposal, role: str | None) -> tuple[str, str]:
    if "value" in found.columns or "order_id" in found.columns:
        return ("refund", "") if role == "refund" else ("purchase", "")
    if role is not None:
        return role, "" if role == "purchase" else "CHECK: by the name of the file."
    return "touch", "CHECK: nothing tells what these events are; taken as touches."
