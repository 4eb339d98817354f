"""Buy-till-you-die models: BG/NBD and MBG/NBD, with Gamma-Gamma order values.

`btyd` below is a JSON object: model (bg_nbd, mbg_nbd), r, alpha, a, b, and value = {p, q, v} or
null. The time unit is that of x, t_x and T as fitted.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from .feature_rows import Rows, matrix
from .linear_model import sigmoid
from .part import Array

_QUADRATURE_NODES = 40


def beta_quadrature(a: Array, b: Array, nodes: int = _QUADRATURE_NODES) -> tuple[Array, Array]:
    """Gauss-Jacobi nodes and weights of Beta(a, b) densities on (0, 1).

    Golub-Welsch: eigenvalues of the symmetric tridiagonal Jacobi matrix, weights from the first
    components of its eigenvectors (Golub and Welsch, Math. Comp. 23, 1969).

    Parameters
    ----------
    a, b
        Shape parameters, above 0, one density per entry (k).
    nodes
        Number of nodes.

    Returns
    -------
    nodes and weights, each k x `nodes`; the weights of a density sum to 1.
    """
    right, left = np.asarray(b, float)[:, None] - 1.0, np.asarray(a, float)[:, None] - 1.0
    # Diagonal of the Jacobi matrix, from the recurrence of Jacobi polynomials of degree n.
    n = np.arange(nodes, dtype=np.float64)[None, :]
    total = right + left
    twice = 2.0 * n + total
    with np.errstate(divide="ignore", invalid="ignore"):
        diagonal = (left**2 - right**2) / (twice * (twice + 2.0))
    diagonal[:, :1] = (left - right) / (total + 2.0)
    # Squares of its off-diagonal.
    k, step = n[:, 1:], twice[:, 1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        square = 4.0 * k * (k + right) * (k + left) * (k + total)
        square = square / (step**2 * (step + 1.0) * (step - 1.0))
    first = 4.0 * (1.0 + right) * (1.0 + left) / ((2.0 + total) ** 2 * (3.0 + total))
    square[:, :1] = first
    # Nodes are the eigenvalues, moved from (-1, 1) to (0, 1).
    jacobi = np.zeros((diagonal.shape[0], nodes, nodes))
    index = np.arange(nodes)
    jacobi[:, index, index] = diagonal
    jacobi[:, index[1:], index[:-1]] = np.sqrt(square)
    values, vectors = np.linalg.eigh(jacobi)
    weights = vectors[:, 0, :] ** 2
    return np.clip((values + 1.0) / 2.0, 0.0, 1.0), weights / weights.sum(axis=1, keepdims=True)


@lru_cache(maxsize=4096)
def _beta_density(a: float, b: float) -> tuple[Array, Array]:
    """`beta_quadrature` of one density, cached because batches repeat the same densities."""
    nodes, weights = beta_quadrature(np.asarray([a]), np.asarray([b]))
    return nodes[0], weights[0]


def btyd_chances(btyd: Mapping[str, Any], x: Array) -> Array:
    """Number of occasions to drop out for a customer with `x` repeat purchases."""
    return np.asarray(x, float) + (1.0 if btyd["model"] == "mbg_nbd" else 0.0)


def btyd_p_alive(btyd: Mapping[str, Any], x: Array, t_x: Array, age: Array) -> Array:
    """P(still active at the end of the observed time); NaN inputs give NaN.

    Parameters
    ----------
    btyd
        Fitted parameters, see above.
    x, t_x, age
        Repeat purchase days, time of the last one since the first, time observed since the first.
    """
    chances = btyd_chances(btyd, x)
    log_odds = (btyd["r"] + x) * (np.log(btyd["alpha"] + age) - np.log(btyd["alpha"] + t_x))
    log_odds = log_odds + np.log(btyd["a"]) - np.log(btyd["b"] + np.maximum(chances, 1.0) - 1.0)
    is_unknown = np.isnan(log_odds)
    alive = np.where(chances > 0, sigmoid(-np.where(is_unknown, 0.0, log_odds)), 1.0)
    return np.where(is_unknown, np.nan, alive)


def btyd_expected_orders(
    btyd: Mapping[str, Any], x: Array, t_x: Array, age: Array, *, horizon: float
) -> Array:
    """Expected purchase days within `horizon` after the observed time; NaN inputs give NaN.

    Given the drop-out probability p and activity, the expectation is
    (1 - ((alpha+T)/(alpha+T+p h))^(r+x)) / p. Averaging it over the Beta posterior of p needs no
    hypergeometric function and has no singularity at a = 1 (Fader, Hardie and Lee 2005; Batislam et
    al. 2007).
    """
    x, age = np.asarray(x, float), np.asarray(age, float)
    expected = np.full(x.shape, np.nan)
    known_rows = np.flatnonzero(~np.isnan(x))
    if not len(known_rows):
        return expected
    distinct_x, codes = np.unique(x[known_rows], return_inverse=True)
    shape_b = btyd["b"] + btyd_chances(btyd, distinct_x)
    densities = [_beta_density(float(btyd["a"]), float(b)) for b in shape_b]
    drop_outs, weights = (np.asarray([density[end] for density in densities]) for end in (0, 1))
    drop_outs = np.maximum(drop_outs, 1e-300)
    alive = btyd_p_alive(btyd, x, t_x, age)
    for start in range(0, len(known_rows), 65536):  # bounds the memory of rows x nodes
        rows, row_codes = known_rows[start : start + 65536], codes[start : start + 65536]
        row_drop_outs = drop_outs[row_codes]
        exponents = (btyd["r"] + x[rows])[:, None]
        log_growth = np.log1p(row_drop_outs * (horizon / (btyd["alpha"] + age[rows]))[:, None])
        expected[rows] = alive[rows] * (
            -np.expm1(-exponents * log_growth) / row_drop_outs * weights[row_codes]
        ).sum(1)
    return expected


def btyd_p_order(
    btyd: Mapping[str, Any], x: Array, t_x: Array, age: Array, *, horizon: float
) -> Array:
    """P(any purchase within `horizon` after the observed time), exact where it is tiny."""
    log_no_purchase = (btyd["r"] + x) * np.log1p(horizon / (btyd["alpha"] + age))
    return np.asarray(-btyd_p_alive(btyd, x, t_x, age) * np.expm1(-log_no_purchase))


def btyd_p_no_order(
    btyd: Mapping[str, Any], x: Array, t_x: Array, age: Array, *, horizon: float
) -> Array:
    """P(no purchase within `horizon` after the observed time); NaN inputs give NaN."""
    return 1.0 - btyd_p_order(btyd, x, t_x, age, horizon=horizon)


def btyd_next_order_days(
    btyd: Mapping[str, Any], x: Array, t_x: Array, age: Array, *, chance: Array | float = 0.5
) -> Array:
    """Time until a purchase has happened with a given chance; NaN if it never reaches that.

    Solves P(alive) (1 - ((alpha+T)/(alpha+T+d))^(r+x)) = chance for d.
    """
    alive = btyd_p_alive(btyd, x, t_x, age)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        remaining = np.where(alive > chance, 1.0 - chance / alive, np.nan)
        days = (btyd["alpha"] + age) * np.expm1(-np.log(remaining) / (btyd["r"] + x))
    return np.where(np.isfinite(days), days, np.nan)


def gamma_gamma_mean(value: Mapping[str, Any], counts: Array, mean_values: Array) -> Array:
    """Expected mean value of a purchase day given `counts` observed ones of mean `mean_values`.

    Fader and Hardie (2013): (v + n mean) p / (p n + q - 1); without values (n 0 or mean NaN) the
    population mean p v / (q - 1).
    """
    counts = np.where(np.isnan(mean_values) | np.isnan(counts), 0.0, counts)
    total_values = np.where(counts > 0, counts * np.nan_to_num(mean_values), 0.0)
    return np.asarray(
        value["p"] * (value["v"] + total_values) / (value["p"] * counts + value["q"] - 1.0)
    )


def btyd_columns(btyd: Mapping[str, Any], frame: pd.DataFrame, *, horizon: float) -> pd.DataFrame:
    """`btyd_expectations` as a frame with the index of `frame`."""
    return pd.DataFrame(btyd_expectations(btyd, frame, horizon=horizon), index=frame.index)


def btyd_expectations(btyd: Mapping[str, Any], frame: Rows, *, horizon: float) -> dict[str, Array]:
    """BTYD expectations of every row, by name; NaN for customers who never bought.

    Parameters
    ----------
    btyd
        Parameters from `models.fitting.btyd.fit_btyd`, in days.
    frame
        ``btyd__x``, ``btyd__t_x``, ``btyd__T``, ``btyd__value_n``, ``btyd__mean_value``.
    horizon
        Days ahead.

    Returns
    -------
    ``btyd__p_alive``, ``btyd__expected_days`` (purchase days within the horizon),
    ``btyd__expected_value`` (money a purchase day), ``btyd__clv`` (money within the horizon).
    """
    names = ["btyd__x", "btyd__t_x", "btyd__T", "btyd__value_n", "btyd__mean_value"]
    x, t_x, age, counts, mean_values = matrix(frame, names).T
    purchase_days = btyd_expected_orders(btyd, x, t_x, age, horizon=horizon)
    if btyd["value"] is None:
        values = np.full(len(frame), float(btyd["flat_value"]))
    else:
        values = gamma_gamma_mean(btyd["value"], counts, mean_values)
    values = np.where(np.isnan(x), np.nan, values)
    return {
        "btyd__p_alive": btyd_p_alive(btyd, x, t_x, age),
        "btyd__expected_days": purchase_days,
        "btyd__expected_value": values,
        "btyd__clv": purchase_days * values,
    }
