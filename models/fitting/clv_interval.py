"""Interval of CLV: conformal 10 % and 90 % quantiles of root spend, calibrated by predicted value.

Errors grow with the square root of the expected spend, roughly, and their distribution changes with
it: most small buyers spend nothing. The quantiles are therefore taken within bins of predicted
value, with equal tails, on origins that the models have not seen.
"""

from __future__ import annotations

import numpy as np

from features.arrays import Array

TAIL_SHARE = 0.1  # of the customers below and above the interval
_BINS = 10
_MIN_BIN = 50  # rows of a bin


def conformal_offsets(prediction: Array, target: Array) -> dict[str, list[float]]:
    """Offsets of the interval's ends from the root of the prediction, by bins of prediction.

    Parameters
    ----------
    prediction, target
        Expected and actual spend over the mean level, at least 0.

    Returns
    -------
    ``roots`` (mean root of the prediction in each bin, rising), ``low`` and ``high`` (offsets of
    the 10 % and 90 % quantiles of root spend, with the finite-sample correction of split conformal
    prediction: ranks among n + 1 values).
    """
    order = np.argsort(prediction, kind="stable")
    roots, root_spend = np.sqrt(prediction[order]), np.sqrt(target[order])
    bin_count = int(np.clip(len(order) // _MIN_BIN, 1, _BINS))
    offsets: dict[str, list[float]] = {"roots": [], "low": [], "high": []}
    for rows in np.array_split(np.arange(len(order)), bin_count):
        residuals = np.sort(root_spend[rows] - roots[rows])
        outside = int(np.floor(TAIL_SHARE * (len(rows) + 1)))
        # With fewer than ten rows no rank is small enough: the extremes are taken.
        position = max(outside - 1, 0)
        offsets["roots"].append(float(roots[rows].mean()))
        offsets["low"].append(float(residuals[position]))
        offsets["high"].append(float(residuals[len(rows) - 1 - position]))
    return offsets
