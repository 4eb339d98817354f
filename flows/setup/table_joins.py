"""Keys that two tables share, and a table with another's columns."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from flows.setup.table_profiling import ColumnProfile, ProfiledTable

_SHARED_SHARE = 0.5  # share of the rows whose key must be in the other table


def shared_key(table: ProfiledTable, other: ProfiledTable) -> str | None:
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


def join_tables(table: ProfiledTable, other: ProfiledTable, key: str) -> ProfiledTable:
    """A table with the other's columns, by a key that is unique there."""
    left, right = _aligned(table.columns[key].cells, other.columns[key].cells)
    place = pd.Series(range(len(right)), index=right).reindex(left).to_numpy()
    columns: dict[str, ColumnProfile] = dict(table.columns)
    for name, column in other.columns.items():
        if name not in columns:
            cells = column.cells.reset_index(drop=True).reindex(place).reset_index(drop=True)
            columns[name] = replace(column, cells=cells)
    return replace(table, columns=columns)
