"""Events and buyers of each day, counted from stored tallies: what the monitor watches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.aggregates import segments

_COLUMNS = ["event_type", "day", "known_day", "count"]


def daily_counts(tallies: Path, first: int) -> pd.DataFrame:
    """Events of every type by day and by the day they became known.

    Parameters
    ----------
    tallies
        Folder of the stored tallies.
    first
        Day number of the first day.

    Returns
    -------
    DataFrame
        event_type, day, known_day (numbers), count (events; purchases: orders).
    """
    return _added_up(_read(tallies, first), ["event_type", "day", "known_day"], "sum")


def daily_buyers(tallies: Path, first: int, types: Sequence[str]) -> pd.DataFrame:
    """Customers who bought on each day, by the day that became known.

    Parameters
    ----------
    types
        Event types of the role purchase.

    Returns
    -------
    DataFrame
        day, known_day (numbers), count (customers).
    """
    rows = _read(tallies, first)
    bought = pa.array(
        np.isin(rows["event_type"].to_numpy(zero_copy_only=False), list(types))
        & (rows["count"].to_numpy() > 0)
    )
    return _added_up(rows.filter(bought), ["day", "known_day"], "count")


def _read(tallies: Path, first: int) -> pa.Table:
    parts = [
        pq.read_table(path, columns=_COLUMNS, filters=[("day", ">=", first)])
        for path in segments.files(tallies, "daily")
    ]
    rows = pa.concat_tables(
        [part.set_column(0, "event_type", part["event_type"].cast(pa.string())) for part in parts]
    )
    return rows


def _added_up(rows: pa.Table, keys: list[str], how: str) -> pd.DataFrame:
    counted = rows.group_by(keys).aggregate([("count", how)])
    frame = counted.rename_columns({f"count_{how}": "count"}).to_pandas()
    return frame[[*keys, "count"]].sort_values(keys, ignore_index=True)
