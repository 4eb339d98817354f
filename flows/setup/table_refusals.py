"""Tables that hold no rows of events: snapshots, one column a month, groups with one id each."""

from __future__ import annotations

from features.errors import UserError
from flows.setup.column_synonyms import TIME
from flows.setup.customer_column import customer_of
from flows.setup.source_draft import best_column
from flows.setup.source_inference import time_of
from flows.setup.table_profiling import ProfiledTable

_FEWEST_ROWS = 30
_MOST_FILLED = 0.6  # share of the rows with a customer, above which gaps are guests


def refuse_snapshot(table: ProfiledTable) -> None:
    """Stop at a table with one row a customer and no times: it holds no history.

    Raises
    ------
    UserError
        Saying what to bring.
    """
    customer = customer_of(table)
    named_time = best_column(table.columns, TIME)
    if customer is None or not customer.unique or named_time or table.rows < _FEWEST_ROWS:
        return
    raise UserError(
        table.name,
        found=f"one row a customer ({table.rows:,} rows, {customer.name!r} is new in each) and no "
        "date of an order: a snapshot of customers without history",
        expected="events: one row an order, payment or visit, with customer and date",
        hint="export the orders or payments behind this table, and name that file instead",
    )


def refuse_groups(table: ProfiledTable) -> None:
    """Stop at a pivot table: each customer stands on the first row of a group, and never again.

    Raises
    ------
    UserError
        Saying how to repeat the customer.
    """
    customer = customer_of(table)
    if customer is None or time_of(table) is None or customer.filled > _MOST_FILLED:
        return
    named = customer.cells.dropna()
    if len(named) < 5 or not named.is_unique or customer.cells.iloc[:1].isna().any():
        return
    raise UserError(
        table.name,
        found=f"{customer.name!r} in {len(named):,} of {table.rows:,} rows, and each value once: a "
        "report in groups, with the customer on the first row of each group",
        expected="the customer in every row, and no rows of totals",
        hint="in the pivot table choose `repeat all item labels` and switch subtotals off; or "
        "export the list behind it",
    )
