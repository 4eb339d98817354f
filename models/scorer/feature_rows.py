"""Feature rows as plain arrays: what the scorer computes with, for one customer or for many.

A frame costs milliseconds to make and microseconds for every column that is looked up, however few
rows it has. `FeatureRows` costs neither. The functions of this module read both, so that fitting
(with frames) and serving (with arrays) share every model's code.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from .part import Array


@dataclass(frozen=True)
class FeatureRows:
    """Columns of some rows by name, each one array; taking rows copies what is read, when read.

    Attributes
    ----------
    own
        Columns of these rows: float64 for features, object for texts, datetime64[s] for dates.
    length
        Number of rows.
    base
        Rows that these were taken from, which have the columns that are not in `own`; None if
        these were not taken from others.
    positions
        Rows of `base` that were taken.
    """

    own: Mapping[str, Array]
    length: int
    base: FeatureRows | None = None
    positions: Array | None = None

    def __len__(self) -> int:
        return self.length

    def __contains__(self, name: object) -> bool:
        return name in self.own or (self.base is not None and name in self.base)

    def __getitem__(self, name: str) -> Array:
        """A column as it is.

        Raises
        ------
        KeyError
            If there is no such column.
        """
        if name in self.own or self.base is None:
            return self.own[name]
        return self.base[name][self.positions]

    @property
    def columns(self) -> list[str]:
        """Names of all columns."""
        return [*(() if self.base is None else self.base.columns), *self.own]


Rows: TypeAlias = "pd.DataFrame | FeatureRows"


def number_column(rows: Rows, name: str, *, missing: float = np.nan) -> Array:
    """A column as float64 (one value a row), missing values as `missing`."""
    if isinstance(rows, FeatureRows):
        values = rows[name]
        return values if np.isnan(missing) else np.where(np.isnan(values), missing, values)
    return np.asarray(rows[name].to_numpy(dtype=np.float64, na_value=missing))


def text_column(rows: Rows, name: str) -> Array:
    """A column as objects (one value a row)."""
    return np.asarray(rows[name], dtype=object)


def take_rows(rows: Rows, positions: Array) -> Any:
    """Some rows by position, as the same kind of rows."""
    if not isinstance(rows, FeatureRows):
        return rows.iloc[positions]
    if len(positions) == len(rows):  # rows are taken in rising order, each once: all of them
        return rows
    return FeatureRows({}, len(positions), rows, positions)


def with_numbers(rows: Rows, columns: Mapping[str, Array]) -> Any:
    """The rows with columns added (one float64 value a row), as the same kind of rows."""
    if isinstance(rows, FeatureRows):
        return FeatureRows({**rows.own, **columns}, len(rows), rows.base, rows.positions)
    return rows.assign(**columns)


def matrix(rows: Rows, columns: Sequence[str]) -> Array:
    """Columns in the stored order as float64 (rows x columns).

    LightGBM ignores names and reads columns by position, so all predictions use this function.
    """
    try:
        if not isinstance(rows, FeatureRows):
            frame = rows.loc[:, list(columns)]
            return np.asarray(frame.to_numpy(dtype=np.float64, na_value=np.nan))
        values = [np.empty(0), *(rows[name] for name in columns)]
    except KeyError:
        missing = [column for column in columns if column not in rows]
        raise ValueError(f"feature columns missing from the frame: {missing[:10]}") from None
    return np.concatenate(values).reshape(len(columns), len(rows)).T
