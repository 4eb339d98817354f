"""The table of products: margins, returns to stock and attributes."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd

from features.config.config import Config
from features.sources.typed_rows import TypedTable


def read_products(config: Config, snapshot_date: dt.date) -> pd.DataFrame | None:
    """Read the products as of a date; None if the config declares none.

    Returns
    -------
    DataFrame
        product_id, margin (share of the price, null if unknown), restocked_at (date of the last
        return to stock before the date, null if none), and the declared attributes.
    """
    table = config.products
    if table is None:
        return None
    table_columns = table.columns
    text_columns = [
        *table_columns.attributes.values(),
        *([table_columns.margin] if table_columns.margin else []),
    ]
    time_columns = [table_columns.restocked_at] if table_columns.restocked_at else []
    source = TypedTable("products", table.table, table.csv, config.timezone)
    rows, wall_clocks = source.rows(text_columns, time_columns, keys=[table_columns.product_id])
    catalogue = pd.DataFrame({"product_id": rows[table_columns.product_id]})
    catalogue["margin"] = (
        pd.to_numeric(rows[table_columns.margin], errors="coerce")
        if table_columns.margin
        else np.nan
    )
    restock_day = pd.Series(pd.NaT, index=rows.index, dtype="datetime64[s]")
    if table_columns.restocked_at is not None:
        restock_day = (
            wall_clocks[table_columns.restocked_at.column].dt.normalize().astype("datetime64[s]")
        )
    catalogue["restocked_at"] = restock_day.where(restock_day < pd.Timestamp(snapshot_date))
    for attribute, column in table_columns.attributes.items():
        if attribute not in config.sensitive:
            catalogue[attribute] = rows[column].to_numpy(dtype=object)
    return catalogue
