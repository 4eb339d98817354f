"""Feature matrices and linear predictors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .part import Array


def matrix(frame: pd.DataFrame, columns: Sequence[str]) -> Array:
    """Columns of `frame` in the stored order as float64 (rows x columns).

    LightGBM ignores names and takes columns by position, so every prediction goes through here.
    """
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise ValueError(f"feature columns missing from the frame: {missing[:10]}")
    return frame.loc[:, list(columns)].to_numpy(dtype=np.float64, na_value=np.nan)


def sigmoid(z: Array) -> Array:
    """Logistic function, stable at both ends."""
    return np.exp(-np.logaddexp(0.0, -z))


def softmax(z: Array) -> Array:
    """Row-wise softmax, stable."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def signed_log1p(x: Array) -> Array:
    """sign(x) log(1 + |x|): squeezes long tails and keeps the sign and the zero."""
    return np.sign(x) * np.log1p(np.abs(x))


def linear(parameters: Mapping[str, Any], x: Array) -> Array:
    """Linear predictor on standardised signed-log1p columns, missing values at the mean.

    Parameters
    ----------
    parameters
        ``means``, ``scales``, ``coefficients`` (one a column) and ``intercept``.
    x
        Raw feature values, rows x columns, NaN where missing.
    """
    z = (signed_log1p(x) - np.asarray(parameters["means"])) / np.asarray(parameters["scales"])
    z = np.clip(np.nan_to_num(z, nan=0.0), -10.0, 10.0)
    # Not a matrix product: its rounding depends on the number of rows, and batches must be equal.
    weighted = np.ascontiguousarray(z * np.asarray(parameters["coefficients"]))
    return np.asarray(weighted.sum(axis=1) + parameters["intercept"])
