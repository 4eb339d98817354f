"""Check input frames and convert their columns to the types that the models read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .feature_rows import FeatureRows

_DTYPES = {
    "string": "str",
    "double": "float64",
    "int64": "Int64",
    "date": "datetime64[s]",
    "bool": "boolean",
    "timestamp": "datetime64[us]",
}


class InputRefused(ValueError):
    """Input that does not fit the model; the message names columns and shows no row."""


def prepare_input(
    frame: pd.DataFrame, head: Mapping[str, Any]
) -> tuple[FeatureRows, dict[str, pd.Series]]:
    """Check an input frame, and split it into what models read and what is passed through.

    Returns
    -------
    FeatureRows
        Keys, features (float64) and texts that are passed through, one value a row.
    dict
        Keys and known pass-through columns by name, of their types.

    Raises
    ------
    InputRefused
        If a column is missing or cannot be read as its type; the message names it.
    """
    features = [feature["name"] for feature in head["features"]]
    refuse_missing(features, frame.columns)
    if duplicated := sorted(set(frame.columns[frame.columns.duplicated()])):
        raise InputRefused(f"input columns occur twice: {duplicated[:10]}")
    numbers = frame.loc[:, features]
    if any(dtype != np.float64 for dtype in numbers.dtypes):
        numbers = pd.DataFrame({name: _as_float(numbers[name]) for name in features})
    # One block of memory, a column after the other: MLflow passes a block per column, which is
    # slow to read in.
    block = np.ascontiguousarray(numbers.to_numpy().T)
    passed = {
        "customer_id": _as_text(frame["customer_id"]),
        "snapshot_at": _as_date(frame["snapshot_at"]),
    }
    for name, column in passed.items():
        if column.isna().any():
            raise InputRefused(f"input column {name}: {int(column.isna().sum())} rows are empty")
    types = {column["name"]: column["dtype"] for column in head["pass_through"]}
    passed |= {
        name: convert_column(frame[name], dtype) for name, dtype in types.items() if name in frame
    }
    passed = {name: column.reset_index(drop=True) for name, column in passed.items()}
    texts = {name: column for name, column in passed.items() if types.get(name) == "string"}
    own = {name: column.to_numpy(dtype=object) for name, column in texts.items()}
    own |= {
        "customer_id": passed["customer_id"].to_numpy(dtype=object),
        "snapshot_at": passed["snapshot_at"].to_numpy(),
        **dict(zip(features, block, strict=True)),
    }
    return FeatureRows(own, len(frame)), passed


def refuse_missing(features: Sequence[str], names: Collection[str]) -> None:
    """Refuse an input without a key or a feature.

    Raises
    ------
    InputRefused
        It names the first ones.
    """
    missing = [name for name in ("customer_id", "snapshot_at", *features) if name not in names]
    if missing:
        raise InputRefused(
            f"{len(missing)} input columns are missing, the first of them {missing[:10]}; "
            "the model's signature lists all it needs"
        )


def check_keys_and_dates(frame: pd.DataFrame, head: Mapping[str, Any]) -> None:
    """Refuse ids and dates that a conversion before `prepare_input` would hide, such as 20240501.

    Raises
    ------
    InputRefused
        If a column cannot be read; the message names it.
    """
    passed_types = {column["name"]: column["dtype"] for column in head["pass_through"]}
    dates = ["snapshot_at", *(name for name, dtype in passed_types.items() if dtype == "date")]
    for name in (name for name in dates if name in frame):
        _as_date(frame[name])
    if "customer_id" in frame:
        _as_text(frame["customer_id"])


def _as_float(column: pd.Series) -> pd.Series:
    """A numeric or boolean column as float64, null as NaN; texts and categories are refused."""
    try:
        if isinstance(column.dtype, pd.CategoricalDtype | pd.StringDtype):
            raise TypeError(f"found {column.dtype}")
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise InputRefused(
            f"input column {column.name}: expected numbers (float64), found {column.dtype}"
        ) from error
    return pd.Series(values, index=column.index)


def _as_text(column: pd.Series) -> pd.Series:
    """A column as text; whole numbers lose nothing, null stays null."""
    if column.dtype == np.float64:
        raise InputRefused(f"input column {column.name}: expected text, found {column.dtype}")
    return column.astype("str")


def _as_date(column: pd.Series) -> pd.Series:
    """A column of local calendar days (dates, naive time stamps or ISO texts) as datetime64[s]."""
    message = f"input column {column.name}: expected local dates without a zone, found"
    if column.dtype.kind in "iufb" and column.notna().any():
        raise InputRefused(f"{message} {column.dtype}")  # numbers have no known first day
    try:
        options = {} if column.dtype.kind == "M" else {"format": "ISO8601"}
        return pd.to_datetime(column, **options).astype("datetime64[s]")
    except (TypeError, ValueError):
        raise InputRefused(f"{message} {column.dtype} with values that are no dates") from None


def convert_column(values: Any, dtype: str) -> pd.Series:
    """Convert values to a column of a type of the scored row; None is null."""
    column = values if isinstance(values, pd.Series) else pd.Series(values)
    if dtype == "date":
        return _as_date(column)
    if dtype == "string":
        return column.astype(object).where(column.notna(), None).astype("str")
    if dtype == "double":
        return _as_float(column)
    try:
        return column.astype(_DTYPES[dtype])
    except (TypeError, ValueError):
        # Not chained: the message of pandas shows the value.
        raise InputRefused(
            f"input column {column.name}: expected {dtype}, found other values ({column.dtype})"
        ) from None
