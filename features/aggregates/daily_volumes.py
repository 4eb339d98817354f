"""Events and buyers per day from the stored tallies, for the monitor."""

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
    """Count events of every type by day and known day.

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
    return _totals(_read(tallies, first), ["event_type", "day", "known_day"], "sum")


def daily_buyers(tallies: Path, first: int, types: Sequence[str]) -> pd.DataFrame:
    """Count the customers who bought on each day, by known day.

    Parameters
    ----------
    types
        Event types of the role purchase.

    Returns
    -------
    DataFrame
        day, known_day (numbers), count (customers).
    """
    tally_rows = _read(tallies, first)
    bought = pa.array(
        np.isin(tally_rows["event_type"].to_numpy(zero_copy_only=False), list(types))
        & (tally_rows["count"].to_numpy() > 0)
    )
    return _totals(tally_rows.filter(bought), ["day", "known_day"], "count")


def _read(tallies: Path, first: int) -> pa.Table:
    part_tables = [
        pq.read_table(path, columns=_COLUMNS, filters=[("day", ">=", first)])
        for path in segments.table_files(tallies, "daily")
    ]
    tally_rows = pa.concat_tables(
        [
            part.set_column(0, "event_type", part["event_type"].cast(pa.string()))
            for part in part_tables
        ]
    )
    return tally_rows


def _totals(rows: pa.Table, keys: list[str], how: str) -> pd.DataFrame:
    aggregated = rows.group_by(keys).aggregate([("count", how)])
    totals = aggregated.rename_columns({f"count_{how}": "count"}).to_pandas()
    return totals[[*keys, "count"]].sort_values(keys, ignore_index=True)
