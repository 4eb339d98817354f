"""Acquisition spend by day and channel."""

from __future__ import annotations

import pandas as pd

from features.config.config import Config
from features.config.sources import TimeColumn
from features.errors import UserError
from features.sources.column_parsing import parse_date, parse_number
from features.sources.events import connect, engine_errors, open_table
from features.sources.files import require_column
from features.sources.key_columns import key_column
from features.sources.locations import describe_location


def read_spend(config: Config) -> pd.DataFrame | None:
    """Read the config's spend table; None if it declares none.

    Returns
    -------
    DataFrame or None
        day (local day number), channel (null if the table has none), amount (major units); one row
        per row of the table.

    Raises
    ------
    UserError
        For a missing file or column, and for any row without a readable date or amount: leaving
        it out would understate the spend silently.
    """
    spend_block = config.spend
    if spend_block is None:
        return None
    config_place, columns = (
        f"spend: {describe_location(spend_block.table)}: columns",
        spend_block.columns,
    )
    date_column = columns.date
    day_column = (
        date_column
        if isinstance(date_column, TimeColumn)
        else TimeColumn.model_validate({"column": date_column, "as": "local_date"})
    )
    if day_column.as_ != "local_date":
        raise UserError(
            f"{config_place}.date",
            found="an instant",
            expected="a calendar date: spend is counted by day",
            hint=f"write `date: {day_column.column}`",
        )
    with engine_errors(f"spend {describe_location(spend_block.table)}"):
        table = open_table(connect(), spend_block.table, spend_block)
        expressions = {
            "day": parse_date(
                require_column(table, day_column.column, f"{config_place}.date"),
                day_column,
                config_place,
            )
            .epoch_days()
            .cast("int64"),
            "amount": parse_number(
                table, columns.amount, spend_block.csv, f"{config_place}.amount"
            ),
        }
        if columns.channel is not None:
            expressions["channel"] = key_column(
                require_column(table, columns.channel, f"{config_place}.channel")
            )
        spend = table.select(**expressions).to_pandas()
    unreadable_rows = int((spend["day"].isna() | spend["amount"].isna()).sum())
    if unreadable_rows:
        raise UserError(
            f"spend: {describe_location(spend_block.table)}",
            found=f"{unreadable_rows} of {len(spend)} rows without a readable date or amount",
            expected="a date and a number in every row",
            hint="correct the export, or the `csv: {decimal: ...}` of the spend block",
        )
    spend["day"] = spend["day"].astype("int64")
    return spend if "channel" in spend else spend.assign(channel=None)
