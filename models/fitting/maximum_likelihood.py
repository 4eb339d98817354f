"""Maximum likelihood with bounds: what the fits of all purchase and contract models share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import minimize

from features.arrays import Array

Objective = Callable[[Array], tuple[float, Array]]

# Bounds on the log parameters after scaling. In a population without spread in purchase rates or
# drop-out the likelihood rises along a ridge without end; the bound then stands for infinity.
LOG_BOUNDS = (float(np.log(1e-6)), float(np.log(1e5)))


def minimise(
    objective: Objective, starts: list[Array], bounds: list[tuple[float, float]], max_iter: int
) -> Any:
    """Best of L-BFGS-B runs from several starting points."""
    options = {"maxiter": max_iter, "ftol": 1e-14, "gtol": 1e-9, "maxcor": 20}
    best_run = None
    for start in starts:
        lower, upper = np.array(bounds).T
        attempt = minimize(
            objective,
            np.clip(start, lower, upper),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options=options,
        )
        if np.isfinite(attempt.fun) and (best_run is None or attempt.fun < best_run.fun):
            best_run = attempt
    return best_run


def is_optimal(minimum: Any, bounds: list[tuple[float, float]]) -> bool:
    """True if the projected gradient vanishes, whatever status the optimiser reports."""
    lower, upper = np.array(bounds).T
    gradient_step = np.clip(minimum.x - minimum.jac, lower, upper) - minimum.x
    return bool(np.isfinite(minimum.fun) and np.abs(gradient_step).max() < 1e-4)


def check_columns(values: Array, names: str) -> Array:
    """The values as a matrix of floats with one column a name.

    Raises
    ------
    ValueError
        For another number of columns, no rows, or values that are missing or infinite.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != len(names.split(",")):
        raise ValueError(f"expected a two-dimensional array with the columns {names}")
    if not len(values):
        raise ValueError("no customers to fit on")
    if not np.isfinite(values).all():
        raise ValueError(f"{names} hold missing or infinite values")
    return values


def purchase_patterns(values: Array) -> tuple[Array, Array, Array, Array]:
    """Distinct histories (x, t_x, T) in rising order, and the customers who have each.

    Parameters
    ----------
    values
        n x 3: repeat purchase days x, time of the last one since the first t_x (0 where x is 0),
        time observed since the first T.

    Raises
    ------
    ValueError
        For values that are missing or infinite, or do not satisfy x >= 0 and 0 <= t_x <= T.
    """
    checked = check_columns(values, "x, t_x, T")
    if (checked < 0).any() or (checked[:, 1] > checked[:, 2] + 1e-9).any():
        raise ValueError("x, t_x and T must satisfy x >= 0 and 0 <= t_x <= T")
    patterns, customers = np.unique(checked, axis=0, return_counts=True)
    x, t_x, age = np.ascontiguousarray(patterns.T)
    return x, t_x, age, customers.astype(np.float64)
