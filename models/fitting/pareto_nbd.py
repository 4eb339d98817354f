"""Pareto/NBD by maximum likelihood; predictions are made by `models.fitting.pareto_expectations`.

Sources: Schmittlein, Morrison and Colombo (1987), Counting your customers, Management Science 33;
Fader and Hardie (2005), A note on deriving the Pareto/NBD model and related expressions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import gammaln, psi
from sklearn.base import BaseEstimator

from features.arrays import Array
from models.fitting.maximum_likelihood import (
    LOG_BOUNDS,
    Objective,
    check_columns,
    is_optimal,
    minimise,
    purchase_patterns,
)
from models.fitting.pareto_expectations import drop_out_nodes

# Logs of r, alpha / r, s, beta / s to logs of r, alpha, s, beta.
_TO_PARAMETERS = np.array(
    [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]], dtype=np.float64
)


class ParetoNBD(BaseEstimator):  # type: ignore[misc]
    """Pareto/NBD: a customer may drop out at any time, not only after a purchase.

    Parameters
    ----------
    max_iter
        Iterations of L-BFGS per start.

    Attributes
    ----------
    r_, alpha_, s_, beta_
        Gamma shape and rate of the purchase rates and of the drop-out rates.
    log_likelihood_, converged_, n_customers_
        As in `models.fitting.btyd.BGNBD`.
    """

    model = "pareto_nbd"

    def __init__(self, max_iter: int = 500) -> None:
        self.max_iter = max_iter

    def fit(self, X: Any, y: None = None) -> ParetoNBD:
        """Fit on one row per customer.

        Parameters
        ----------
        X
            n x 3: repeat purchase days x, time of the last one since the first t_x (0 where x is
            0), time observed since the first T; 0 <= t_x <= T.
        """
        x, t_x, age, counts = purchase_patterns(X)
        time_scale = max(float(np.average(age, weights=counts)), 1e-12)
        purchase_rate = max(float(np.average(x, weights=counts)), 1e-3)  # in a mean lifetime
        bounds = [LOG_BOUNDS] * 4
        # Shapes, and scales over shapes: without spread in rates shape and scale rise together
        # along a ridge, which is then parallel to one axis.
        starts = [
            np.log([r, 1.0 / purchase_rate, s, 1.0 / drop_out_rate])
            for r, s, drop_out_rate in ((0.5, 0.5, 1.0), (1.5, 1.0, 2.0))
        ]
        of_parameters = self._objective(x, t_x / time_scale, age / time_scale, counts)

        def objective(theta: Array) -> tuple[float, Array]:
            loss, gradient = of_parameters(_TO_PARAMETERS @ theta)
            return loss, gradient @ _TO_PARAMETERS

        best_run = minimise(objective, starts, bounds, self.max_iter)
        parameters = np.exp(_TO_PARAMETERS @ best_run.x)
        self.r_, self.alpha_, self.s_, self.beta_ = (float(value) for value in parameters)
        self.alpha_, self.beta_ = self.alpha_ * time_scale, self.beta_ * time_scale
        self.n_customers_ = int(counts.sum())
        self.log_likelihood_ = float(
            -best_run.fun * counts.sum() - (counts * x).sum() * np.log(time_scale)
        )
        self.converged_ = is_optimal(best_run, bounds)
        self.n_iter_ = int(best_run.nit)
        return self

    @staticmethod
    def _objective(x: Array, t_x: Array, age: Array, counts: Array) -> Objective:
        """Mean negative log likelihood and its gradient in log parameters."""
        customer_weights = counts / counts.sum()

        def objective(theta: Array) -> tuple[float, Array]:
            r, alpha, s, beta = (float(value) for value in np.exp(theta))
            pareto = {"r": r, "alpha": alpha, "s": s, "beta": beta}
            log_alive = -(r + x) * np.log(alpha + age) - s * np.log(beta + age)
            log_dead, times, shares = drop_out_nodes(pareto, x, t_x, age)
            log_either = np.logaddexp(log_alive, log_dead)
            alive = np.exp(log_alive - log_either)
            dead = 1.0 - alive
            log_likelihood = (
                gammaln(r + x) - gammaln(r) + r * np.log(alpha) + s * np.log(beta) + log_either
            )
            # Of a drop-out: means over the time at which it happened.
            log_alpha_dead = (shares * np.log(alpha + times)).sum(axis=1)
            log_beta_dead = (shares * np.log(beta + times)).sum(axis=1)
            inverse_alpha_dead = (shares / (alpha + times)).sum(axis=1)
            inverse_beta_dead = (shares / (beta + times)).sum(axis=1)
            log_alpha = alive * np.log(alpha + age) + dead * log_alpha_dead
            d_r = psi(r + x) - psi(r) + np.log(alpha) - log_alpha
            d_alpha = r / alpha - (r + x) * (alive / (alpha + age) + dead * inverse_alpha_dead)
            d_s = np.log(beta) - alive * np.log(beta + age) + dead * (1.0 / s - log_beta_dead)
            d_beta = s / beta - alive * s / (beta + age) - dead * (s + 1.0) * inverse_beta_dead
            slopes = np.stack([r * d_r, alpha * d_alpha, s * d_s, beta * d_beta])
            return -float(customer_weights @ log_likelihood), -(slopes @ customer_weights)

        return objective

    def score(self, X: Any, y: None = None) -> float:
        """Mean log likelihood a customer, in the time unit of the data."""
        x, t_x, age = check_columns(X, "x, t_x, T").T
        theta = np.log([self.r_, self.alpha_, self.s_, self.beta_])
        return -self._objective(x, t_x, age, np.ones(len(x)))(theta)[0]

    def to_parameters(self) -> dict[str, Any]:
        """The fitted model as JSON for `models.fitting.pareto_expectations`."""
        return {
            "model": self.model,
            "r": self.r_,
            "alpha": self.alpha_,
            "s": self.s_,
            "beta": self.beta_,
            "log_likelihood": self.log_likelihood_,
            "converged": self.converged_,
            "n_customers": self.n_customers_,
        }
