"""The column that says who: a key before an address, and an address before a name."""

from __future__ import annotations

import re

import pandas as pd

from flows.setup import column_synonyms, foreign_words
from flows.setup.column_synonyms import is_code, plain_name, synonym_rank
from flows.setup.source_draft import best_column
from flows.setup.table_profiling import ColumnProfile, ProfiledTable

_MOST_CELLS = 50_000
_FEWEST_CELLS = 20  # fewer say nothing of a constant
_STAFF, _ROWS_OF_STAFF = 4, 100  # so few people, with so many rows each, are no customers
_ONE_PERSON = 0.98  # share of the keys that must have one name
_MOST_KEYS = 2.0  # for each name; more are orders, not people
_FEWEST_ROWS = 1.1  # for each key; keys of people come back


def customer_of(table: ProfiledTable) -> ColumnProfile | None:
    """The column that says who; where it holds names, the key that stands beside them."""
    named = _by_name(table)
    return named if named is None else _key_beside(table, named) or named


def note_on_names(table: ProfiledTable, column: ColumnProfile) -> str:
    """What to say where people are known by a name, or were until a key was seen; or nothing."""
    named = _by_name(table)
    if named is None or not _holds_names(named):
        return ""
    if column.name == named.name:
        return "CHECK: people are told apart by name; two people of one name count as one."
    if column.distinct == named.distinct:
        return f"{named.name!r} is left out: a name."
    return (
        f"CHECK: {named.name!r} has {named.distinct:,} names for {column.distinct:,} values of "
        f"{column.name!r}, which is taken."
    )


def note_on_surnames(table: ProfiledTable, column: ColumnProfile) -> str:
    """What to say where people are known by a surname, and first names stand beside it."""
    if not re.fullmatch(foreign_words.SURNAME, plain_name(column.name)):
        return ""
    first = best_column(table.columns, (foreign_words.FIRST_NAME,), lambda c: c.kind == "text")
    if first is None or first.name == column.name:
        return ""
    whole = pd.DataFrame({"last": column.cells, "first": first.cells}).dropna()
    return (
        f"CHECK: {column.name!r} holds {column.distinct:,} surnames, with {first.name!r} "
        f"{len(whole.drop_duplicates()):,} people: people of one surname count as one. Add a "
        "column of both, better a key or the e-mail address. "
    )


def _by_name(table: ProfiledTable) -> ColumnProfile | None:
    """The likeliest column by its name; e-mail addresses where there is nothing else."""

    def may_be(column: ColumnProfile) -> bool:
        # One customer in all rows is the owner of the account.
        constant = column.distinct == 1 and len(column.cells) >= _FEWEST_CELLS
        # A few people in all rows are those at the till.
        staff = column.distinct <= _STAFF and len(column.cells) >= _ROWS_OF_STAFF * _STAFF
        return (
            column.filled > 0 and column.kind in ("text", "number") and not constant and not staff
        )

    return best_column(table.columns, column_synonyms.CUSTOMER, may_be) or best_column(
        table.columns, column_synonyms.EMAIL, may_be
    )


def _holds_names(column: ColumnProfile) -> bool:
    """Whether cells are names of people or firms: words with spaces, under no name of a code."""
    if column.kind != "text" or is_code(plain_name(column.name)):
        return False
    cells = column.cells.dropna().astype(str).head(_MOST_CELLS)
    return bool(len(cells)) and bool(cells.str.strip().str.contains(r"[^\W\d_]\s").mean() > 0.5)


def _key_beside(table: ProfiledTable, named: ColumnProfile) -> ColumnProfile | None:
    """A column with a value for each person, where the named one holds names."""
    if not _holds_names(named):
        return None
    keys = [column for column in table.columns.values() if _may_be_key(column, named)]
    fitting = [column for column in keys if _one_name_each(column, named)]
    return min(fitting, key=_preference, default=None)


def _preference(column: ColumnProfile) -> int:
    """Keys of customers first, other keys, then addresses."""
    if _holds_addresses(column):
        return 2
    return 0 if synonym_rank(column.name, column_synonyms.CUSTOMER) is not None else 1


def _holds_addresses(column: ColumnProfile) -> bool:
    cells = column.cells.dropna().astype(str).head(_MOST_CELLS)
    return bool(len(cells)) and bool(cells.str.fullmatch(r"\S+@\S+\.\w+").mean() > 0.9)


def _may_be_key(column: ColumnProfile, named: ColumnProfile) -> bool:
    if column.name == named.name or column.kind not in ("text", "number") or column.time:
        return False
    if synonym_rank(column.name, column_synonyms.ORDER) is not None:
        return False
    return _holds_addresses(column) or is_code(plain_name(column.name))


def _one_name_each(column: ColumnProfile, named: ColumnProfile) -> bool:
    """Whether each value has one name, not many more values than names, and values come back."""
    both = pd.DataFrame({"key": column.cells, "name": named.cells}).head(_MOST_CELLS).dropna()
    if len(both) < 0.9 * min(len(named.cells.dropna()), _MOST_CELLS) or not len(both):
        return False
    names_each = both.groupby("key")["name"].nunique()
    names = both["name"].nunique()
    return (
        bool((names_each == 1).mean() >= _ONE_PERSON)
        and names <= len(names_each) <= _MOST_KEYS * names
        and len(both) >= _FEWEST_ROWS * len(names_each)
    )
