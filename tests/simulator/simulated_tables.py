"""Reading what the simulator wrote."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq


def read(folder: Path, table: str, columns: list[str] | None = None) -> pa.Table:
    parts = sorted((folder / table).glob("part-*.parquet"))
    return pa.concat_tables([pq.read_table(part, columns=columns) for part in parts])


def frame(folder: Path, table: str, columns: list[str] | None = None) -> pd.DataFrame:
    found = read(folder, table, columns).to_pandas(date_as_object=False)
    for name in found.columns:
        if isinstance(found[name].dtype, pd.CategoricalDtype):
            found[name] = found[name].astype("str")
    return found


def moments(events: pd.DataFrame) -> pd.Series:
    return events["occurred_at"].dt.tz_localize(None)


def orders_of(folder: Path) -> pd.DataFrame:
    """One row an order: customer_id, at, value."""
    events = frame(
        folder, "events", ["customer_id", "occurred_at", "event_type", "order_id", "value"]
    )
    bought = events[events["event_type"] == "purchase"].assign(at=moments)
    grouped = bought.groupby(["customer_id", "order_id"], as_index=False)
    return grouped.agg(at=("at", "min"), value=("value", "sum"))
