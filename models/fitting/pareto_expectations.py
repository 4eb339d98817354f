"""Pareto/NBD: gamma-distributed purchase rates, gamma-distributed rates of drop-out at any time.

`pareto` below is a JSON object: r, alpha (shape and rate of the purchase rates), s, beta (shape and
rate of the drop-out rates). The time unit is that of x, t_x and T as fitted.

Sources: Schmittlein, Morrison and Colombo (1987), Counting your customers, Management Science 33;
Fader and Hardie (2005), A note on deriving the Pareto/NBD model and related expressions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from features.arrays import Array

_STEP, _NODES = 0.25, 13  # of the tanh-sinh rule: 27 nodes on (0, 1)
_LEAST_EXPONENT = 1.5  # of the variable of integration, which needs more than 1


def _tanh_sinh() -> tuple[Array, Array, Array]:
    """Nodes u on (0, 1), 1 - u without cancellation, and weights (Takahasi and Mori, 1974)."""
    steps = _STEP * np.arange(-_NODES, _NODES + 1)
    halves = 0.5 * np.pi * np.sinh(steps)
    nodes, complements = 1.0 / (1.0 + np.exp(-2 * halves)), 1.0 / (1.0 + np.exp(2 * halves))
    weights = _STEP * 0.5 * np.pi * np.cosh(steps) * 2.0 * nodes * complements
    return nodes, complements, weights / weights.sum()


_NODE, _COMPLEMENT, _WEIGHT = _tanh_sinh()


def power_integral(
    alpha: float, p: Array, beta: float, q: float, start: Array, end: Array
) -> tuple[Array, Array, Array]:
    """Log of the integral of (alpha + t)^-p (beta + t)^-q from start to end, and its nodes.

    The papers write it as the difference of two Gauss hypergeometric functions. With 1 - z =
    ((m + start) / (m + t))^k it is (m + start)^-k / k times the integral over z of (m + t)^(k + 1)
    (alpha + t)^-p (beta + t)^-q. A customer's m and k make the log of that function flat at the
    start: its first derivative is 0, and the second one, too, where k does not become too small.
    For alpha = beta, or one of them so large that its factor is 1, the function is constant.

    Parameters
    ----------
    alpha, beta, q
        Above 0.
    p, start, end
        One a customer; p + q > 1.

    Returns
    -------
    Log of the integral (n), the times of the nodes (n x nodes) and their shares of the integral,
    which sum to 1 for a customer.
    """
    p, first = np.asarray(p, float)[:, None], np.asarray(start, float)[:, None]
    slope = p / (alpha + first) + q / (beta + first)
    bend = p / (alpha + first) ** 2 + q / (beta + first) ** 2
    exponent = np.maximum(slope**2 / bend, np.minimum(p + q, _LEAST_EXPONENT))  # k + 1
    power, offset = exponent - 1.0, exponent / slope  # k and m + start
    log_width = power * np.log1p((np.asarray(end, float)[:, None] - first) / offset)
    width = -np.expm1(-log_width)
    # log(1 - z) at the nodes, exact near both ends.
    near_end = np.log(np.exp(-log_width) + width * _COMPLEMENT + 1e-300)
    near_start = np.log1p(-np.minimum(width * _NODE, 0.5))
    log_left = np.where(width * _NODE < 0.5, near_start, near_end)
    since = offset * np.expm1(-log_left / power)
    times = first + since
    log_height = exponent * np.log(offset + since) - p * np.log(alpha + times)
    log_height = log_height - q * np.log(beta + times)
    highest = log_height.max(axis=1, keepdims=True)
    shares = _WEIGHT * np.exp(log_height - highest)
    total = shares.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):  # no time between start and end: log 0
        log_integral = np.log(width) - np.log(power) - power * np.log(offset)
    return (log_integral + highest + np.log(total))[:, 0], times, shares / total


def drop_out_nodes(
    pareto: Mapping[str, Any], x: Array, start: Array, end: Array
) -> tuple[Array, Array, Array]:
    """Log likelihood of a drop-out between `start` and `end`, and when in between it happens.

    The integral of s (alpha + t)^-(r + x) (beta + t)^-(s + 1); returns as `power_integral`.
    """
    r, alpha, s, beta = (float(pareto[name]) for name in ("r", "alpha", "s", "beta"))
    log_integral, times, shares = power_integral(
        alpha, r + np.asarray(x, float), beta, s + 1.0, start, end
    )
    return np.log(s) + log_integral, times, shares


def _log_survival(pareto: Mapping[str, Any], x: Array, end: Array) -> Array:
    """Log likelihood of no drop-out before `end`, up to the same factor as `drop_out_nodes`."""
    purchases = (pareto["r"] + x) * np.log(pareto["alpha"] + end)
    return np.asarray(-purchases - pareto["s"] * np.log(pareto["beta"] + end))


def pareto_p_alive(pareto: Mapping[str, Any], x: Array, t_x: Array, age: Array) -> Array:
    """P(still active at the end of the observed time); NaN inputs give NaN.

    Parameters
    ----------
    pareto
        Fitted parameters, see above.
    x, t_x, age
        Repeat purchase days, time of the last one since the first, time observed since the first.
    """
    log_alive = _log_survival(pareto, x, age)
    log_dead, _, _ = drop_out_nodes(pareto, x, t_x, age)
    with np.errstate(invalid="ignore"):  # NaN inputs
        return np.asarray(np.exp(log_alive - np.logaddexp(log_alive, log_dead)))


def pareto_expected_orders(
    pareto: Mapping[str, Any], x: Array, t_x: Array, age: Array, *, horizon: float
) -> Array:
    """Expected purchase days within `horizon` after the observed time; NaN inputs give NaN.

    P(alive) (r + x) / (alpha + T) times the expected active time, (beta + T) (1 - e^(-(s - 1) l)) /
    (s - 1) with l = log((beta + T + horizon) / (beta + T)); no singularity at s = 1.
    """
    growth = np.log1p(horizon / (pareto["beta"] + age))
    excess = pareto["s"] - 1.0
    active = growth if abs(excess) < 1e-9 else -np.expm1(-excess * growth) / excess
    rate = (pareto["r"] + x) / (pareto["alpha"] + age)
    return np.asarray(pareto_p_alive(pareto, x, t_x, age) * rate * (pareto["beta"] + age) * active)
