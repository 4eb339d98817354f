"""Rows that repeat the sum of others: totals of a receipt, of a month, of the file."""

from __future__ import annotations

import re

import pandas as pd

from flows.setup import foreign_words
from flows.setup.column_synonyms import plain_name
from flows.setup.order_state_inference import words_of
from flows.setup.readings import amounts, counted, is_purchase
from flows.setup.source_draft import SourceProposal, used_columns
from flows.setup.table_profiling import ProfiledTable

_MOST_WORDS, _FEWEST_ORDERS = 12, 20
_SAME_SHARE = 0.95  # of the orders have a total that equals the sum of their other rows
_CENT = 0.015
_TOTAL = rf"(?:grand_|sub_?)?totals?|sum(?:mary)?|{foreign_words.TOTAL}"
_TOTAL_ROW = rf"(?:{_TOTAL})(?:_.*)?|.*_(?:{_TOTAL})"


def leave_out_subtotals(found: SourceProposal, table: ProfiledTable) -> None:
    """Leave out rows that add up others, with a note that says both sums."""
    _of_orders(found, table)
    _of_the_list(found, table)


def _of_orders(found: SourceProposal, table: ProfiledTable) -> None:
    """Where a word marks the rows that are the sum of the other rows of their order."""
    amount, order = amounts(found), found.columns.get("order_id")
    if amount is None or order is None:
        return
    rows = pd.DataFrame({"order": table.columns[order].cells.to_numpy(), "amount": amount})
    for column in table.columns.values():
        if column.kind != "text" or column.name in used_columns(found) or column.filled < 1:
            continue
        if column.time is not None:
            continue
        words = words_of(column)
        if not 2 <= len(words) <= _MOST_WORDS:
            continue
        cells = column.cells.reset_index(drop=True).astype(str).str.strip()
        total = next((word for word in words if _sums_up(rows, cells == word)), None)
        if total is None:
            continue
        all_rows = counted(found, is_purchase(found))
        found.only[column.name] = [word for word in words if word != total]
        _note(
            found, f"rows with {total!r} in {column.name!r} are the sums of their orders", all_rows
        )
        return


def _sums_up(rows: pd.DataFrame, marked: pd.Series) -> bool:
    """Whether each marked row is the only one of its order, and the sum of the others."""
    totals = rows[marked].dropna()
    if len(totals) < _FEWEST_ORDERS or totals["order"].duplicated().any():
        return False
    others = rows[~marked].groupby("order")["amount"].agg(["sum", "count"])
    parts = others.reindex(totals["order"])
    equal = abs(parts["sum"].to_numpy() - totals["amount"].to_numpy()) < _CENT
    # Of two rows with one amount neither is the sum of the other.
    adds_up = equal[parts["count"].to_numpy() > 1]
    return bool(equal.mean() >= _SAME_SHARE and len(adds_up) and adds_up.mean() >= _SAME_SHARE)


def _of_the_list(found: SourceProposal, table: ProfiledTable) -> None:
    """Where all rows without a time are sums of a list (Total for April): they are no events."""
    when = found.columns.get("occurred_at")
    if not isinstance(when, dict):
        return
    time = table.columns[when["column"]]
    undated = time.cells.isna().reset_index(drop=True)
    if not undated.any() or undated.mean() > 0.5:
        return
    cells = pd.DataFrame(
        {name: column.cells.reset_index(drop=True) for name, column in table.columns.items()}
    )[undated].astype("object")
    written = cells[cells.notna().any(axis=1)]  # blank lines are none
    if not len(written) or not written.apply(_names_a_total, axis=1).all():
        return
    all_rows = counted(found)
    found.only[time.name] = ["*"]
    count = len(written)
    rows = (
        "1 row without a date is a sum" if count == 1 else f"{count:,} rows without a date are sums"
    )
    _note(found, f"{rows} of others", all_rows)


def _names_a_total(row: pd.Series) -> bool:
    """Whether a cell of a row says that it is a sum."""
    return any(re.fullmatch(_TOTAL_ROW, plain_name(str(cell))) for cell in row.dropna())


def _note(found: SourceProposal, what: str, all_rows: str) -> None:
    note = (
        f"CHECK: {what}; left out. With them: {all_rows}; without: "
        f"{counted(found, is_purchase(found))}."
    )
    found.notes["only"] = f"{found.notes.get('only', '')} {note}".strip()
