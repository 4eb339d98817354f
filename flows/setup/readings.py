"""Orders and money of a proposed source in its sampled rows, to show either reading of a doubt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from features.contracts import LEFT_OUT
from flows.setup.source_draft import SourceProposal


def amounts(found: SourceProposal) -> pd.Series | None:
    """Amount of every sampled row in major units; None for a source without amounts."""
    columns, cells = found.columns, found.table.columns
    if "value" not in columns:
        return None
    amount = _numbers(cells[columns["value"]].cells)
    for name in found.fill_from.get(columns["value"], ()):
        amount = amount.fillna(_numbers(cells[name].cells))
    if "value_times" in columns:
        amount = amount * _numbers(cells[columns["value_times"]].cells)
    direction = amount.lt(0).map({True: -1.0, False: 1.0})
    for name in columns.get("value_less", ()):
        amount = amount - direction * _numbers(cells[name].cells).fillna(0).abs()
    if found.event_id is not None and found.event_id == columns.get("order_id"):
        # Each order counts once, by its last row.
        amount = amount.where(~cells[found.event_id].cells.duplicated(keep="last"))
    return amount * found.value_scale


def _numbers(cells: pd.Series) -> pd.Series:
    return pd.to_numeric(cells, errors="coerce").astype(float)


def as_word(cell: object) -> str:
    """A cell as its file has it: 1 for a number kept as 1.0."""
    if isinstance(cell, float) and cell.is_integer():
        return f"{cell:.0f}"
    return str(cell).strip()


def counted(found: SourceProposal, rows: pd.Series | None = None) -> str:
    """Orders and money of some sampled rows (default: all), in words."""
    table = found.table
    chosen = np.ones(table.rows, dtype=bool) if rows is None else rows.to_numpy(bool)
    order_id = found.columns.get("order_id")
    orders = int(chosen.sum())
    if order_id is not None:
        orders = int(table.columns[order_id].cells[chosen].nunique())
    amount = amounts(found)
    money = "" if amount is None else f", {amount[chosen].sum():,.2f}"
    return f"{orders:,} orders{money}"


def is_allowed(found: SourceProposal) -> pd.Series:
    """Whether each sampled row counts by `only`."""
    allowed = pd.Series(True, index=pd.RangeIndex(found.table.rows))
    for name, words in found.only.items():
        cells = found.table.columns[name].cells.reset_index(drop=True)
        if set(words) <= {">0", "<0"}:
            sign = 1 if ">0" in words else -1
            allowed &= _numbers(cells) * sign > 0
        elif "*" in words:
            allowed &= cells.notna()
        else:
            written = cells.astype("object").map(lambda cell: as_word(cell).lower())
            plain = [word.strip().lower() for word in words]
            allowed &= written.isin(plain) | (cells.isna() & ("" in plain))
    return allowed


def is_purchase(found: SourceProposal) -> pd.Series:
    """Whether each sampled row is a purchase as proposed."""
    kind: Any = found.event_type
    index = pd.RangeIndex(found.table.rows)
    if isinstance(kind, str):
        is_bought = kind == "purchase" or kind in found.roles.get("purchase", ())
        return pd.Series(is_bought, index=index) & is_allowed(found)
    written = found.table.columns[kind["column"]].cells.reset_index(drop=True).astype("object")
    if "otherwise" in kind:
        other = found.table.columns[kind["otherwise"]].cells.reset_index(drop=True)
        written = written.where(written.notna(), other)
    words = {word.lower(): name for word, name in kind.get("words", {}).items()}
    written = written.where(written.notna(), "" if "" in words else None)
    types = written.map(lambda cell: words.get(as_word(cell).lower(), as_word(cell)))
    bought = {"purchase", *found.roles.get("purchase", ())} - {LEFT_OUT}
    return types.isin(bought) & written.notna() & is_allowed(found)
