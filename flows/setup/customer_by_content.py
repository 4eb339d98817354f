"""Columns that may say who by what they hold, where no name does."""

from __future__ import annotations

import re

import pandas as pd

from flows.setup import column_synonyms, foreign_words
from flows.setup.column_synonyms import is_personal, plain_name, synonym_rank
from flows.setup.table_profiling import ColumnProfile, ProfiledTable

_FEWEST_PEOPLE, _LEAST_SHARE = 8, 0.01  # values, and values by rows; fewer are kinds of something
_FEWEST_ROWS = 1.1  # for each value; people come back
_FILLED, _LONGEST = 0.3, 60
_SAME_SHARE, _MOST_ROWS = 0.95, 20_000
_NAMED = 3
# What else repeats: things, places, staff, and what is said of an order.
_NO_PEOPLE = (
    *column_synonyms.ORDER,
    *column_synonyms.VALUE,
    *column_synonyms.UNIT_PRICE,
    *column_synonyms.QUANTITY,
    *column_synonyms.STATUS,
    *column_synonyms.EVENT_TYPE,
    *column_synonyms.SESSION,
    *column_synonyms.EVENT_ID,
    *column_synonyms.CURRENCY,
    *column_synonyms.CHANNEL,
    *column_synonyms.NOT_VALUE[1:],
)
_THINGS = re.compile(foreign_words.THINGS)
_PEOPLE = re.compile(foreign_words.PEOPLE)
_FORMS = (r"\+?[\d() ./-]{9,20}", r"\S+@\S+\.\w+", r"(?=\S*\d)\S{5,40}")  # phones, mail, codes


def likely_customers(table: ProfiledTable) -> list[ColumnProfile]:
    """Columns with values that come back like customers do, the likeliest first.

    Parameters
    ----------
    table
        From `profile_table`.
    """
    fitting = [column for column in table.columns.values() if _may_be_people(column)]
    return sorted(fitting, key=lambda column: _strength(column, table), reverse=True)


def note_on_customers(table: ProfiledTable, taken: ColumnProfile) -> str:
    """What to say of a column that was taken by its content, with the others that may be."""
    others = [column for column in likely_customers(table) if column.name != taken.name]
    note = (
        f"CHECK: no column is named like a customer; {taken.name!r} is taken, since its "
        f"{taken.distinct:,} values come back in {table.rows:,} rows."
    )
    if not others:
        return f"{note} For another: --column customer_id=COLUMN. "
    shown = ", ".join(f"{c.name!r} ({c.distinct:,} values)" for c in others[:_NAMED])
    return f"{note} Or {shown}: --column 'customer_id={others[0].name}'. "


def _may_be_people(column: ColumnProfile) -> bool:
    if column.kind not in ("text", "number") or column.time is not None or column.filled < _FILLED:
        return False
    cells, plain = column.cells.dropna(), plain_name(column.name)
    least = max(_FEWEST_PEOPLE, _LEAST_SHARE * len(cells))
    if not least <= column.distinct <= len(cells) / _FEWEST_ROWS:
        return False
    if column.kind == "number" and not (cells % 1 == 0).all():
        return False
    if column.kind == "text" and cells.str.len().mean() > _LONGEST:
        return False
    if _PEOPLE.search(plain):
        return True
    return synonym_rank(column.name, _NO_PEOPLE) is None and not _THINGS.search(plain)


def _strength(column: ColumnProfile, table: ProfiledTable) -> tuple[bool, bool, bool, int]:
    """How much speaks for a column: its name, the form of its cells, and that it is no article."""
    plain = plain_name(column.name)
    cells = column.cells.dropna().astype(str).head(_MOST_ROWS).str.removesuffix(".0")
    formed = any(cells.str.fullmatch(form).mean() >= _SAME_SHARE for form in _FORMS)
    named = bool(_PEOPLE.search(plain)) or is_personal(column.name)
    return named, not _sets_a_price(column, table), formed, column.distinct


def _sets_a_price(column: ColumnProfile, table: ProfiledTable) -> bool:
    """Whether each value has one amount, of several: an article has a price."""
    keys = column.cells.head(_MOST_ROWS)
    for other in table.columns.values():
        if other.kind != "number" or other.time is not None or not other.distinct >= 5:
            continue
        amounts = pd.to_numeric(other.cells, errors="coerce").head(_MOST_ROWS)
        each = amounts.groupby(keys).nunique()
        if other.name != column.name and (each == 1).mean() >= _SAME_SHARE:
            return True
    return False
