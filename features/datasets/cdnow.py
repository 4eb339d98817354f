"""CDNOW: all orders of the 23,570 people who first bought in the first quarter of 1997."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pandas as pd
import pyarrow as pa

from features.errors import UserError


def cdnow_table(name: str) -> pa.Table:
    """The `orders` table: customer (text), day (date), cds (count), amount (dollars).

    The file lies in the package `lifetimes`, whose own code is never imported: it is older than
    today's pandas.

    Raises
    ------
    UserError
        For another table name, or where `lifetimes` is not installed.
    """
    if name != "orders":
        raise UserError("cdnow table", found=name, expected="orders")
    package = importlib.util.find_spec("lifetimes")
    if package is None or package.origin is None:
        raise UserError(
            "cdnow",
            found="the package lifetimes (which ships the file) is not installed",
            expected="it comes with the default dependency group",
            hint="run from a clone with `uv run`, or `pip install --no-deps lifetimes==0.11.3`",
        )
    data_file = Path(package.origin).parent / "datasets" / "CDNOW_master.txt"
    orders = pd.read_csv(
        data_file,
        sep=r"\s+",
        header=0,
        names=["customer", "day", "cds", "amount"],
        dtype={"customer": "str", "day": "str"},
    )
    orders["day"] = pd.to_datetime(orders["day"], format="%Y%m%d").dt.date
    return pa.Table.from_pandas(orders, preserve_index=False)
