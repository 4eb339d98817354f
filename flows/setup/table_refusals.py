"""Tables that hold no rows of events: snapshots, one column a month, groups with one id each."""

from __future__ import annotations

import re

import pandas as pd

from features.errors import UserError
from flows.setup.column_synonyms import TIME
from flows.setup.customer_column import customer_of
from flows.setup.source_draft import best_column
from flows.setup.source_inference import time_of
from flows.setup.table_profiling import ProfiledTable

_FEWEST_ROWS = 30
_FEWEST_HEADINGS = 5
_FEWEST_MONTHS = 6
_MONTH = re.compile(
    r"[^\W\d_]{3,10}[-_ .'/]*(?:[0-9]{2}|[0-9]{4})|(?:19|20)[0-9]{2}[-_./][0-9]{1,2}"
)
_YEAR = re.compile(r"(?<![0-9])(19|20)[0-9]{2}(?![0-9])")
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


def refuse_headings(table: ProfiledTable) -> None:
    """Stop at a report in which customers stand in lines of their own, above their rows.

    Raises
    ------
    UserError
        Naming the column of headings.
    """
    cells = pd.DataFrame({name: c.cells.notna().to_numpy() for name, c in table.columns.items()})
    alone = cells.sum(axis=1) == 1
    for column in table.columns.values():
        headings = cells[column.name]
        lines = headings & alone
        if column.kind != "text" or lines.sum() < _FEWEST_HEADINGS or headings.mean() > 0.5:
            continue
        below = lines.shift(1, fill_value=False) & ~headings
        if lines.sum() < 0.4 * headings.sum() or below.sum() < 0.8 * lines.sum():
            continue
        raise UserError(
            table.name,
            found=f"{int(lines.sum()):,} lines with a heading in {column.name!r} and nothing else: "
            "a report in groups, with the customer above the rows of each group",
            expected="the customer in every row, and no rows of totals",
            hint="export a list instead of a report (transaction list, sales detail as a table), "
            "or fill the heading down into a column of its own",
        )


def refuse_years(table: ProfiledTable) -> None:
    """Stop at a table with the dates and amounts of each year in columns of their own.

    Raises
    ------
    UserError
        Naming the columns.
    """
    years: dict[str, list[str]] = {}
    for name in table.columns:
        stem, year = _YEAR.sub("", name).strip(), _YEAR.search(name)
        if year is not None:
            years.setdefault(stem, []).append(name)
    months = [name for name in table.columns if _MONTH.fullmatch(name.strip())]
    if len(months) >= _FEWEST_MONTHS and _all(table, months, "number"):
        raise UserError(
            table.name,
            found=f"a column for each month: {', '.join(months[:3])}, ...",
            expected="one row a payment, with one column of dates and one of amounts",
            hint="put the months below each other (unpivot), with their first day in a column",
        )
    repeated = {stem: names for stem, names in years.items() if len(names) > 1}
    dates = [names for names in repeated.values() if _all(table, names, "time")]
    amounts = [names for names in repeated.values() if _all(table, names, "number")]
    if not dates or not amounts:
        return
    raise UserError(
        table.name,
        found=f"columns that differ by their year: {', '.join(dates[0])}; {', '.join(amounts[0])}",
        expected="one row a payment, with one column of dates and one of amounts",
        hint="put the columns of each year below each other (unpivot), with who and what beside; "
        "or export the payments behind this table",
    )


def _all(table: ProfiledTable, names: list[str], kind: str) -> bool:
    """Whether columns hold times, or numbers that are no times."""
    columns = [table.columns[name] for name in names]
    if kind == "time":
        return all(column.time is not None and column.kind != "number" for column in columns)
    return all(column.kind == "number" for column in columns)


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
