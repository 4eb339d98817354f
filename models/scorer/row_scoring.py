"""Score a few rows that are no frame: arrays by column, or a mapping of names and values a row.

The models are those of `predict`; only what surrounds them differs, since a frame of 200 columns
takes longer to make than all predictions of its row.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .feature_rows import FeatureRows
from .input_validation import InputRefused, refuse_missing
from .part import Array, Part
from .predict import predict_columns, refuse_context
from .scored_row import scored_names

_KEYS = {"customer_id": "string", "snapshot_at": "date"}
_NUMBER_TYPES = (int, float, np.number, np.bool_, type(None))


def score_columns(
    parts: Mapping[str, Part],
    columns: Mapping[str, Any],
    context: Mapping[str, Any],
    head: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Scored rows as plain values, equal to those of `predict.predict_scores` to the last bit.

    Parameters
    ----------
    parts, context, head
        As for `predict.predict_scores`.
    columns
        By name, one value a row: customer_id (text), snapshot_at (local dates), every feature of
        ``head["features"]`` (numbers; NaN or None where missing), and pass-through columns.

    Returns
    -------
    list of dict
        One a row: the columns of the scored row in their order; dates as ISO texts, missing values
        as None.

    Raises
    ------
    InputRefused
        If a column or an entry of the context is missing or of another type; the message names it.
    """
    refuse_context(context, head)
    features = [feature["name"] for feature in head["features"]]
    refuse_missing(features, columns)
    types = {column["name"]: column["dtype"] for column in head["pass_through"]} | _KEYS
    passed = {
        name: [_read(value, dtype, name) for value in _listed(columns[name])]
        for name, dtype in types.items()
        if name in columns
    }
    for name in _KEYS:
        if empty := passed[name].count(None) + passed[name].count(""):
            raise InputRefused(f"input column {name}: {empty} rows are empty")
    size = len(passed["customer_id"])
    own = {name: _numbers(columns[name], name) for name in features}
    own |= {
        name: np.array(passed[name], dtype=object) for name in passed if types[name] == "string"
    }
    own["snapshot_at"] = np.array(passed["snapshot_at"], dtype="datetime64[s]")
    if any(len(v) != size for v in own.values()) or any(len(v) != size for v in passed.values()):
        raise InputRefused("the input columns are not equally long")
    if not size:
        return []
    scored = predict_columns(parts, FeatureRows(own, size), context, head) | passed
    names = scored_names(parts, head)
    nulls = [None] * size
    plain = [
        [_written(value, dtype, name) for value in _listed(scored.get(name, nulls))]
        for name, dtype in names.items()
    ]
    return [dict(zip(names, values, strict=True)) for values in zip(*plain, strict=True)]


def columns_of(rows: Sequence[Mapping[str, Any]], head: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of `score_columns` from a mapping a row; all rows have the keys of the first.

    Raises
    ------
    InputRefused
        If the rows have different keys.
    """
    features = [feature["name"] for feature in head["features"]]
    first = rows[0] if rows else dict.fromkeys([*_KEYS, *features])
    if any(row.keys() != first.keys() for row in rows):
        raise InputRefused("the rows do not have the same columns")
    refuse_missing(features, first)
    numbers = np.empty((len(features), len(rows)))
    for position, row in enumerate(rows):
        values = [row[name] for name in features]
        if any(not issubclass(kind, _NUMBER_TYPES) for kind in set(map(type, values))):
            for name, value in zip(features, values, strict=True):
                _numbers([value], name)
        numbers[:, position] = values
    others = first.keys() - set(features)
    columns = {name: [row[name] for row in rows] for name in others}
    return {**columns, **dict(zip(features, numbers, strict=True))}


def _listed(values: Any) -> list[Any]:
    """Values as a list; those of an array of dates stay days with a unit."""
    if isinstance(values, np.ndarray) and values.dtype.kind != "M":
        return list(values.tolist())
    return list(values)


def _numbers(values: Any, name: str) -> Array:
    """A feature as float64."""
    if isinstance(values, np.ndarray) and values.dtype == np.float64:
        return values
    refused = next((v for v in values if not (v is None or _is_number(v))), None)
    if refused is not None:
        raise InputRefused(
            f"input column {name}: expected numbers (float64), found {type(refused).__name__}"
        )
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _is_number(value: Any) -> bool:
    return isinstance(value, _NUMBER_TYPES[:-1])


def _read(value: Any, dtype: str, name: str) -> Any:
    """A key or a pass-through value as a plain value; None where missing."""
    if value is None or value != value:
        return None
    try:
        return _READERS[dtype](value)
    except (TypeError, ValueError, OverflowError):
        # Not chained: the message would show the value.
        raise InputRefused(
            f"input column {name}: expected {dtype}, found {type(value).__name__}"
        ) from None


def _text(value: Any) -> str:
    if isinstance(value, float):
        raise TypeError
    return str(value)


def _day(value: Any) -> np.datetime64:
    """A local calendar day; numbers have no known first day, and zones no place here."""
    if isinstance(value, np.datetime64):
        return value.astype("datetime64[s]")
    if isinstance(value, str):
        value = dt.datetime.fromisoformat(value)
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        raise TypeError
    if not isinstance(value, dt.date):
        raise TypeError
    return np.datetime64(value.isoformat(), "s")


def _number(value: Any) -> float:
    if not _is_number(value):
        raise TypeError
    return float(value)


def _whole(value: Any) -> int:
    if not _is_number(value) or value != int(value):
        raise TypeError
    return int(value)


def _flag(value: Any) -> bool:
    if value not in (True, False):
        raise TypeError
    return bool(value)


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "string": _text,
    "double": _number,
    "int64": _whole,
    "date": _day,
    "timestamp": _day,
    "bool": _flag,
}


def _written(value: Any, dtype: str, name: str) -> Any:
    """A value of the scored row as JSON has it."""
    if value is None:
        return None
    if isinstance(value, np.datetime64):
        if np.isnat(value):
            return None
        text = str(value.astype("datetime64[s]"))
        return text.removesuffix("T00:00:00")
    if dtype == "double":
        return None if math.isnan(value) else float(value)
    return value if dtype == "string" else _read(value, dtype, name)
