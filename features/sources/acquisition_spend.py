"""What was spent to win people, by day and channel."""

from __future__ import annotations

import pandas as pd

from features.config.config import Config
from features.config.sources import TimeColumn
from features.errors import UserError
from features.sources.column_parsing import as_date, as_number
from features.sources.events import connect, open_table, reading
from features.sources.files import describe, require
from features.sources.keys import key_column


def read_spend(config: Config) -> pd.DataFrame | None:
    """The config's spend table; None where it names none.

    Returns
    -------
    DataFrame or None
        day (local day number), channel (null where the table has none), amount (major units); one
        row a row of the table.

    Raises
    ------
    UserError
        For a missing file or column, and for a row whose date or amount cannot be read: a sum
        over what is left would be too small, and nobody would see it.
    """
    block = config.spend
    if block is None:
        return None
    where, columns = f"spend: {describe(block.table)}: columns", block.columns
    date = columns.date
    spec = (
        date
        if isinstance(date, TimeColumn)
        else TimeColumn.model_validate({"column": date, "as": "local_date"})
    )
    if spec.as_ != "local_date":
        raise UserError(
            f"{where}.date",
            found="an instant",
            expected="a calendar date: spend is told by the day",
            hint=f"write `date: {spec.column}`",
        )
    with reading(f"spend {describe(block.table)}"):
        table = open_table(connect(), block.table, block)
        cells = {
            "day": as_date(require(table, spec.column, f"{where}.date"), spec, where)
            .epoch_days()
            .cast("int64"),
            "amount": as_number(table, columns.amount, block.csv, f"{where}.amount"),
        }
        if columns.channel is not None:
            cells["channel"] = key_column(require(table, columns.channel, f"{where}.channel"))
        rows = table.select(**cells).to_pandas()
    bad = int((rows["day"].isna() | rows["amount"].isna()).sum())
    if bad:
        raise UserError(
            f"spend: {describe(block.table)}",
            found=f"{bad} of {len(rows)} rows without a readable date or amount",
            expected="a date and a number in every row",
            hint="fix the export, or the `csv: {decimal: ...}` of the spend block",
        )
    rows["day"] = rows["day"].astype("int64")
    return rows if "channel" in rows else rows.assign(channel=None)
