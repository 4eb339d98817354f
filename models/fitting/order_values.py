"""Money an order from single orders: gamma-gamma or log-normal, whichever is more likely.

Sources: Colombo and Jiang (1999), A stochastic RFM model, Journal of Interactive Marketing 13
(gamma orders); a log-normal model with a normal customer effect is a one-way random-effects model
of log amounts (Searle, Casella and McCulloch 1992, Variance components). A few very large orders
pass in the log-normal model as chance; gamma orders take them for a lasting habit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, psi

from features.arrays import Array
from models.fitting.maximum_likelihood import LOG_BOUNDS, is_optimal, minimise


@dataclass(frozen=True)
class OrderSums:
    """What single orders say of a customer, one entry a customer.

    Attributes
    ----------
    orders
        Number of orders with an amount above 0.
    total
        Sum of the amounts (money).
    log_total, log_squares
        Sum of the logs of the amounts, and of their squares.
    """

    orders: Array
    total: Array
    log_total: Array
    log_squares: Array


@dataclass(frozen=True)
class OrderValues:
    """Expected money of a customer's next order, and how well the model fits single orders.

    Attributes
    ----------
    model
        ``gamma`` or ``log_normal``.
    expected
        Mean of the next order (money), one a customer; that of all without orders.
    variance
        Variance of the next order, one a customer; infinite where it does not exist.
    log_likelihood
        Of all single orders.
    converged
        True at an optimum that the data identify.
    """

    model: str
    expected: Array
    variance: Array
    log_likelihood: float
    converged: bool


def fit_order_values(sums: OrderSums) -> OrderValues:
    """Fit both models and keep the more likely one.

    Raises
    ------
    ValueError
        With fewer than ten orders, or if neither fit converged.
    """
    if sums.orders.sum() < 10:
        raise ValueError("order values need at least ten orders with an amount")
    fits = [fit for fit in (gamma_orders(sums), log_normal_orders(sums)) if fit.converged]
    if not fits:
        raise ValueError("no model of order values converged")
    return max(fits, key=lambda fit: fit.log_likelihood)


def gamma_orders(sums: OrderSums) -> OrderValues:
    """Gamma-distributed orders with a gamma-distributed rate a customer (Gamma-Gamma).

    Likelihood of the orders z of a customer: v^q Gamma(p n + q) / (Gamma(q) Gamma(p)^n)
    prod(z)^(p - 1) / (v + sum z)^(p n + q); the next order has the mean p (v + sum z) / (p n + q -
    1). q > 1, so that the mean exists.
    """
    has_orders = sums.orders > 0
    n, total, log_total = (
        values[has_orders] for values in (sums.orders, sums.total, sums.log_total)
    )
    orders = float(n.sum())
    scale = float(np.exp(log_total.sum() / orders))
    relative, log_relative = total / scale, log_total - n * np.log(scale)

    def objective(theta: Array) -> tuple[float, Array]:
        p, excess, v = np.exp(theta)
        q = 1.0 + excess
        shape, rate = p * n + q, v + relative
        log_likelihood = gammaln(shape) - gammaln(q) - n * gammaln(p) + q * np.log(v)
        log_likelihood = log_likelihood + (p - 1) * log_relative - shape * np.log(rate)
        d_p = n * (psi(shape) - psi(p)) + log_relative - n * np.log(rate)
        d_q = psi(shape) - psi(q) + np.log(v) - np.log(rate)
        d_v = q / v - shape / rate
        gradient = np.array([p * d_p.sum(), excess * d_q.sum(), v * d_v.sum()]) / orders
        return -float(log_likelihood.sum()) / orders, -gradient

    bounds = [LOG_BOUNDS] * 3
    starts = [np.log([p, q - 1, (q - 1) / p]) for p, q in ((1.0, 4.0), (4.0, 3.0))]
    run = minimise(objective, starts, bounds, 500)
    p, excess, v = (float(value) for value in np.exp(run.x))
    q, v = 1.0 + excess, v * scale
    shape, rate = p * sums.orders + q, v + sums.total
    mean = p * rate / (shape - 1.0)
    # Of an order with shape p and an inverse-gamma scale: second moment less the squared mean.
    with np.errstate(divide="ignore", invalid="ignore"):
        second = p * (p + 1.0) * rate**2 / ((shape - 1.0) * (shape - 2.0))
    variance = np.where(shape > 2.0, second - mean**2, np.inf)
    likelihood = -float(run.fun) * orders - orders * float(np.log(scale))
    identified = is_optimal(run, bounds) and run.x[1] > bounds[1][0] + 0.5
    return OrderValues("gamma", mean, variance, likelihood, bool(identified))


def log_normal_orders(sums: OrderSums) -> OrderValues:
    """Log-normal orders with a normal customer effect on the log.

    Log amounts have the mean m + e of a customer, with e normal of variance t2, and the variance s2
    around it. Given n orders, e has the variance w = 1 / (1 / t2 + n / s2) and the mean w (sum of
    (log z - m)) / s2; the next order has the mean exp(m + mean of e + (w + s2) / 2).
    """
    has_orders = sums.orders > 0
    n, log_total, squares = (
        values[has_orders] for values in (sums.orders, sums.log_total, sums.log_squares)
    )
    orders = float(n.sum())
    within = np.maximum(squares - log_total**2 / n, 0.0)
    middle = float(log_total.sum() / orders)
    means = log_total / n - middle

    def objective(theta: Array) -> tuple[float, Array]:
        m, s2, t2 = theta[0], float(np.exp(theta[1])), float(np.exp(theta[2]))
        around = s2 + n * t2
        apart = means - m
        loss = (n - 1) * np.log(s2) + np.log(around) + within / s2 + n * apart**2 / around
        d_around = 1.0 / around - n * apart**2 / around**2
        d_s2 = (n - 1) / s2 - within / s2**2 + d_around
        gradient = np.array([
            (-2.0 * n * apart / around).sum(), s2 * d_s2.sum(), t2 * (n * d_around).sum()
        ])  # fmt: skip
        return 0.5 * float(loss.sum()) / orders, 0.5 * gradient / orders

    bounds = [(-20.0, 20.0), LOG_BOUNDS, LOG_BOUNDS]
    run = minimise(objective, [np.log([1.0, 0.5, 0.25]), np.log([1.0, 0.5, 0.01])], bounds, 500)
    m, s2, t2 = middle + float(run.x[0]), float(np.exp(run.x[1])), float(np.exp(run.x[2]))
    spread = 1.0 / (1.0 / t2 + sums.orders / s2)
    effect = spread * (sums.log_total - sums.orders * m) / s2
    mean = np.exp(m + effect + 0.5 * (spread + s2))
    variance = mean**2 * np.expm1(spread + s2)
    constant = 0.5 * orders * float(np.log(2 * np.pi)) + float(log_total.sum())
    likelihood = -float(run.fun) * orders - constant
    return OrderValues("log_normal", mean, variance, likelihood, is_optimal(run, bounds))
