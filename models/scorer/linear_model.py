"""Linear predictors, and the functions they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .feature_rows import matrix as matrix
from .part import Array


def sigmoid(logits: Array) -> Array:
    """Logistic function, stable at both ends."""
    return np.exp(-np.logaddexp(0.0, -logits))


def softmax(logits: Array) -> Array:
    """Row-wise softmax, stable."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def signed_log1p(values: Array) -> Array:
    """sign(x) log(1 + |x|): compresses long tails, keeps sign and zero."""
    return np.sign(values) * np.log1p(np.abs(values))


def linear(parameters: Mapping[str, Any], features: Array) -> Array:
    """Linear predictor on standardised signed-log1p columns, missing values at the mean.

    Parameters
    ----------
    parameters
        ``means``, ``scales``, ``coefficients`` (one per column) and ``intercept``.
    features
        Raw feature values, rows x columns, NaN where missing.
    """
    standardised = (signed_log1p(features) - np.asarray(parameters["means"])) / np.asarray(
        parameters["scales"]
    )
    standardised = np.clip(np.nan_to_num(standardised, nan=0.0), -10.0, 10.0)
    # No matrix product: its rounding depends on the number of rows, but batches must give equal
    # results.
    weighted = np.ascontiguousarray(standardised * np.asarray(parameters["coefficients"]))
    return np.asarray(weighted.sum(axis=1) + parameters["intercept"])
