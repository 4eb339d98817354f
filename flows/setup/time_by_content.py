"""The column that most likely says when, of several that no name tells apart."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from flows.setup import column_synonyms
from flows.setup.column_synonyms import synonym_rank
from flows.setup.datetime_formats import read_times
from flows.setup.table_profiling import ColumnProfile, ProfiledTable

_MOST_ROWS, _IN_ORDER, _EARLIEST = 5_000, 0.98, 0.9


def time_by_content(columns: Sequence[ColumnProfile]) -> ColumnProfile | None:
    """The only column of times; else the one that the rows are sorted by, or the earliest.

    What was ordered first is delivered, due or visited later. None where no column is sorted, and
    none is the earliest in nearly all rows.
    """
    if len(columns) < 2:
        return columns[0] if columns else None
    times = {column.name: _times(column) for column in columns}
    is_sorted = [column for column in columns if _is_sorted(times[column.name])]
    if len(is_sorted) == 1:
        return is_sorted[0]
    frame = pd.DataFrame(times)
    first = frame.min(axis=1)
    earliest = [c for c in columns if (frame[c.name] <= first).mean() >= _EARLIEST]
    return earliest[0] if len(earliest) == 1 else None


def note_on_time(table: ProfiledTable, taken: ColumnProfile) -> str:
    """What to say where no name told which of several columns says when; or nothing."""
    if synonym_rank(taken.name, column_synonyms.TIME) is not None:
        return ""
    others = [
        column.name
        for column in table.columns.values()
        if column.time is not None and column.kind != "number" and column.name != taken.name
    ]
    if not others:
        return ""
    return (
        f" CHECK: {taken.name!r} is taken as the time of the order, since rows are sorted by it or "
        f"it is the earliest; other dates: {', '.join(map(repr, others))}. For another: --column "
        f"'occurred_at={others[0]}'."
    )


def _times(column: ColumnProfile) -> pd.Series:
    assert column.time is not None
    cells = column.cells.reset_index(drop=True).head(_MOST_ROWS)
    return read_times(cells, column.time).where(cells.notna())


def _is_sorted(times: pd.Series) -> bool:
    """Whether (nearly) all rows follow each other in time, or go back in time."""
    steps = times.dropna().diff().dropna().dt.total_seconds()
    if not len(steps) or not steps.any():
        return False
    return bool(max((steps >= 0).mean(), (steps <= 0).mean()) >= _IN_ORDER)
