"""The column that says which rows are one order, by its name or by what it holds."""

from __future__ import annotations

import pandas as pd

from flows.setup import column_synonyms
from flows.setup.amount_inference import copied_rows
from flows.setup.column_synonyms import plain_name, synonym_rank
from flows.setup.source_draft import SourceProposal, best_column, used_columns
from flows.setup.table_profiling import ColumnProfile, ProfiledTable

# Names that are no order's by themselves: what the column holds decides.
_MAY_BE_NUMBERS = ("name", "sale", "purchase", "transaction", "booking", "reservation", "reference")
# What repeats within orders, but is no key of them.
_NO_ORDERS = (
    *column_synonyms.VALUE,
    *column_synonyms.UNIT_PRICE,
    *column_synonyms.QUANTITY,
    *column_synonyms.EMAIL,
    *column_synonyms.SESSION,
    *column_synonyms.EVENT_ID,
    *column_synonyms.ANONYMOUS,
)
_SHARE_OF_LINES = 0.1  # of the orders of a table of lines have several rows, at least


def order_column(found: SourceProposal, table: ProfiledTable) -> ColumnProfile | None:
    """The column of order numbers; None where neither a name nor the rows tell of one.

    Parameters
    ----------
    found
        With the columns of customers and times. A note is added where no name says so.
    table
        From `profile_table`.
    """
    named = best_column(
        table.columns,
        column_synonyms.ORDER,
        lambda c: c.name not in used_columns(found) and c.kind != "time" and c.filled > 0.5,
    )
    return named or _numbered_name(found, table) or _key_of_lines(found, table)


def _numbered_name(found: SourceProposal, table: ProfiledTable) -> ColumnProfile | None:
    """The column `Name` or `Sale` where it holds order numbers (#1001, S50000)."""
    for column in table.columns.values():
        cells = column.cells.dropna().astype(str)
        free = column.name not in used_columns(found)
        if free and plain_name(column.name) in _MAY_BE_NUMBERS and len(cells):
            numbered = cells.str.fullmatch(r"#?[A-Za-z]{0,4}-?\d{2,}")
            if column.kind == "text" and numbered.mean() > 0.95:
                return column
    return None


def _key_of_lines(found: SourceProposal, table: ProfiledTable) -> ColumnProfile | None:
    """A column without a known name that ties rows together as the lines of orders are tied.

    Each of its values has one customer and one time, though many stand on several rows.
    """
    who, when = found.columns["customer_id"], found.columns["occurred_at"]
    if not isinstance(when, dict) or best_column(table.columns, column_synonyms.VALUE) is None:
        return None
    once = ~copied_rows(table).to_numpy()
    rows = pd.DataFrame(
        {"who": table.columns[str(who)].cells, "when": table.columns[when["column"]].cells}
    )[once]
    for column in table.columns.values():
        if column.name in used_columns(found) or not _may_be_key(column):
            continue
        keys = rows.groupby(column.cells[once])
        if (keys.size() > 1).mean() >= _SHARE_OF_LINES and keys.nunique().le(1).all(axis=None):
            found.notes["order_id"] = (
                f"CHECK: {column.name!r} is taken for the order: on all {column.distinct:,} "
                "values the customer and the time are one, and many have several rows."
            )
            return column
    return None


def _may_be_key(column: ColumnProfile) -> bool:
    """Whether a column holds ids that repeat, by its form; its name says nothing else."""
    if column.time is not None or column.filled < 1 or column.unique or column.distinct < 2:
        return False
    if column.kind == "number" and not (column.cells % 1 == 0).all():
        return False
    return column.kind in ("text", "number") and synonym_rank(column.name, _NO_ORDERS) is None
