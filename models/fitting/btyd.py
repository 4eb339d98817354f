"""Buy-till-you-die models: BG/NBD, MBG/NBD and Gamma-Gamma by maximum likelihood.

Fitting only: predictions are made by `models.scorer.btyd` from `to_parameters()`.

Sources: Fader, Hardie and Lee (2005), "Counting your customers" the easy way, Marketing Science 24
(BG/NBD); Batislam, Denizel and Filiztekin (2007), Int. J. of Research in Marketing 24 (MBG/NBD);
Fader and Hardie (2013), The Gamma-Gamma model of monetary value.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
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
from models.scorer.btyd import btyd_chances

_AT_BOUND = 0.5  # log distance from the lower bound of q - 1 that counts as at the bound
_BOUNDED_EXCESS = 1.0  # q >= 2: amounts of finite variance, tried where q is not identified
_MEAN_RATIO = 2.0  # largest ratio of the fitted population mean and the observed mean
_SUBSAMPLE = 5_000  # distinct rows on which starts are compared before the polish on all


class BGNBD(BaseEstimator):  # type: ignore[misc]
    """BG/NBD: gamma-distributed purchase rates, beta-distributed drop-out after each purchase.

    Parameters
    ----------
    max_iter
        Iterations of L-BFGS per start.

    Attributes
    ----------
    r_, alpha_, a_, b_
        Gamma shape and rate (in the time unit of the data), beta shapes of the drop-out.
    log_likelihood_
        Log likelihood of all customers, in the time unit of the data.
    converged_
        True if the projected gradient vanishes at a finite optimum or at a bound.
    n_customers_
        Number of customers fitted on.
    """

    model = "bg_nbd"

    def __init__(self, max_iter: int = 500) -> None:
        self.max_iter = max_iter

    def fit(self, X: Any, y: None = None) -> BGNBD:
        """Fit on one row per customer.

        Parameters
        ----------
        X
            n x 3: repeat purchase days x, time of the last one since the first t_x (0 where x is
            0), time observed since the first T; 0 <= t_x <= T.
        """
        x, t_x, age, counts = purchase_patterns(X)
        time_scale = max(float(np.average(age, weights=counts)), 1e-12)
        purchase_rate = max(
            float((counts * x).sum() / (counts * np.maximum(age, 1e-12)).sum()) * time_scale, 1e-3
        )
        bounds = [LOG_BOUNDS] * 4
        starts = [
            np.log([r, r / purchase_rate, a, a * (1 - drop_out) / drop_out])
            for r, a, drop_out in ((0.5, 0.5, 0.2), (2.0, 0.5, 0.03), (0.25, 2.0, 0.5))
        ]
        if len(x) > _SUBSAMPLE:
            subsample = np.linspace(0, len(x) - 1, _SUBSAMPLE).astype(int)
            rough_objective = self._objective(
                x[subsample],
                t_x[subsample] / time_scale,
                age[subsample] / time_scale,
                counts[subsample],
            )
            starts = [minimise(rough_objective, starts, bounds, self.max_iter).x]
        objective = self._objective(x, t_x / time_scale, age / time_scale, counts)
        best_run = minimise(objective, starts, bounds, self.max_iter)
        self.r_, self.alpha_, self.a_, self.b_ = (float(value) for value in np.exp(best_run.x))
        self.alpha_ *= time_scale
        self.n_customers_ = int(counts.sum())
        self.log_likelihood_ = float(
            -best_run.fun * counts.sum() - (counts * x).sum() * np.log(time_scale)
        )
        self.converged_ = is_optimal(best_run, bounds)
        self.n_iter_ = int(best_run.nit)
        return self

    def _chances(self, x: Array) -> Array:
        return btyd_chances({"model": self.model}, x)

    def _objective(self, x: Array, t_x: Array, age: Array, counts: Array) -> Objective:
        """Mean negative log likelihood and its gradient in log parameters."""
        chances = self._chances(x)
        may_die = chances > 0
        earlier_chances = np.maximum(chances, 1.0) - 1.0
        customer_weights = counts / counts.sum()

        def objective(theta: Array) -> tuple[float, Array]:
            r, alpha, a, b = np.exp(theta)
            log_age, log_last = np.log(alpha + age), np.log(alpha + t_x)
            log_alive = -(r + x) * log_age
            log_dead = np.where(
                may_die, np.log(a) - np.log(b + earlier_chances) - (r + x) * log_last, -np.inf
            )
            log_either = np.logaddexp(log_alive, log_dead)
            alive_weight = np.exp(log_alive - log_either)
            constant = r * np.log(alpha) - gammaln(r) + gammaln(a + b) - gammaln(b)
            log_likelihood = (
                constant
                + gammaln(r + x)
                + gammaln(b + chances)
                - gammaln(a + b + chances)
                + log_either
            )
            d_r = (
                psi(r + x)
                - psi(r)
                + np.log(alpha)
                - alive_weight * log_age
                - (1 - alive_weight) * log_last
            )
            d_alpha = r / alpha - (r + x) * (
                alive_weight / (alpha + age) + (1 - alive_weight) / (alpha + t_x)
            )
            shared_term = psi(a + b) - psi(a + b + chances)
            d_a = shared_term + (1 - alive_weight) / a
            d_b = (
                shared_term
                + psi(b + chances)
                - psi(b)
                - np.where(may_die, (1 - alive_weight) / (b + earlier_chances), 0.0)
            )
            gradient = np.array([r * customer_weights @ d_r, alpha * customer_weights @ d_alpha])
            gradient = np.append(gradient, [a * customer_weights @ d_a, b * customer_weights @ d_b])
            return -float(customer_weights @ log_likelihood), -gradient

        return objective

    def score(self, X: Any, y: None = None) -> float:
        """Mean log likelihood a customer, in the time unit of the data."""
        x, t_x, age = check_columns(X, "x, t_x, T").T
        theta = np.log([self.r_, self.alpha_, self.a_, self.b_])
        return -self._objective(x, t_x, age, np.ones(len(x)))(theta)[0]

    def to_parameters(self) -> dict[str, Any]:
        """The fitted model as JSON for `models.inference`."""
        return {
            "model": self.model,
            "r": self.r_,
            "alpha": self.alpha_,
            "a": self.a_,
            "b": self.b_,
            "log_likelihood": self.log_likelihood_,
            "converged": self.converged_,
            "n_customers": self.n_customers_,
        }


class MBGNBD(BGNBD):
    """MBG/NBD: as BG/NBD, but a customer may also drop out right after the first purchase."""

    model = "mbg_nbd"


class GammaGamma(BaseEstimator):  # type: ignore[misc]
    """Gamma-Gamma model of the mean value of a customer's purchases.

    q > 1, so that the population mean p v / (q - 1) exists.

    Parameters
    ----------
    max_iter
        Iterations of L-BFGS per start.
    least_excess
        Lower bound of q - 1.

    Attributes
    ----------
    p_, q_, v_
        Shape of the values, shape and rate of the mixture (`v_` in money).
    at_bound_
        True if q - 1 lies at its lower bound: the data do not identify the population mean.
    log_likelihood_, converged_, n_customers_
        As in `BGNBD`; a fit at the bound is not converged.
    """

    def __init__(self, max_iter: int = 500, least_excess: float = 1e-4) -> None:
        self.max_iter = max_iter
        self.least_excess = least_excess

    def fit(self, X: Any, y: None = None) -> GammaGamma:
        """Fit on one row per customer.

        Parameters
        ----------
        X
            n x 2: number of valued repeat purchase days (at least 1) and their mean value (above
            0).
        """
        counts, mean_values = check_columns(X, "n, mean").T
        if (counts < 1).any() or (mean_values <= 0).any():
            raise ValueError("Gamma-Gamma takes customers with n >= 1 and a mean value above 0")
        value_scale = float(np.exp(np.average(np.log(mean_values))))
        bounds = [
            (np.log(1e-3), np.log(1e4)),
            (np.log(self.least_excess), np.log(1e4)),
            (-12.0, 12.0),
        ]
        starts = [np.log([p, q - 1, (q - 1) / p]) for p, q in ((2.0, 4.0), (6.0, 3.0), (1.0, 8.0))]
        subsample = np.arange(len(counts))
        if len(counts) > _SUBSAMPLE:
            subsample = np.linspace(0, len(counts) - 1, _SUBSAMPLE).astype(int)
            rough_objective = self._objective(
                counts[subsample], mean_values[subsample] / value_scale
            )
            starts = [minimise(rough_objective, starts, bounds, self.max_iter).x]
        best_run = minimise(
            self._objective(counts, mean_values / value_scale), starts, bounds, self.max_iter
        )
        self.p_, excess, v = (float(value) for value in np.exp(best_run.x))
        self.q_, self.v_ = 1.0 + excess, v * value_scale
        self.n_customers_ = len(counts)
        self.log_likelihood_ = float(
            -best_run.fun * len(counts) - len(counts) * np.log(value_scale)
        )
        self.at_bound_ = bool(best_run.x[1] <= bounds[1][0] + _AT_BOUND)
        self.converged_ = is_optimal(best_run, bounds) and not self.at_bound_
        self.n_iter_ = int(best_run.nit)
        return self

    @staticmethod
    def _objective(counts: Array, mean_values: Array) -> Objective:
        """Mean negative log likelihood and its gradient in log p, log(q - 1), log v."""
        log_values, log_counts = np.log(mean_values), np.log(counts)

        def objective(theta: Array) -> tuple[float, Array]:
            p, excess, v = np.exp(theta)
            q = 1.0 + excess
            total_shape = p * counts
            log_total = np.log(counts * mean_values + v)
            log_likelihood = (
                gammaln(total_shape + q) - gammaln(total_shape) - gammaln(q) + q * np.log(v)
            )
            log_likelihood = (
                log_likelihood
                + (total_shape - 1) * log_values
                + total_shape * log_counts
                - (total_shape + q) * log_total
            )
            psi_total = psi(total_shape + q)
            d_p = counts * (psi_total - psi(total_shape) + log_values + log_counts - log_total)
            d_q = psi_total - psi(q) + np.log(v) - log_total
            d_v = q / v - (total_shape + q) / (counts * mean_values + v)
            gradient = np.array([p * d_p.mean(), excess * d_q.mean(), v * d_v.mean()])
            return -float(log_likelihood.mean()), -gradient

        return objective

    def score(self, X: Any, y: None = None) -> float:
        """Mean log likelihood a customer."""
        counts, mean_values = check_columns(X, "n, mean").T
        return -self._objective(counts, mean_values)(np.log([self.p_, self.q_ - 1.0, self.v_]))[0]

    def to_parameters(self) -> dict[str, Any]:
        """The fitted model as JSON for `models.inference`."""
        return {
            "p": self.p_,
            "q": self.q_,
            "v": self.v_,
            "log_likelihood": self.log_likelihood_,
            "converged": self.converged_,
            "n_customers": self.n_customers_,
        }


def fit_btyd(frame: pd.DataFrame) -> dict[str, Any] | None:
    """Fit BG/NBD, MBG/NBD and Gamma-Gamma on one snapshot; keep the likelier purchase model.

    Parameters
    ----------
    frame
        One snapshot of the feature frame, one row per customer: ``btyd__x``, ``btyd__t_x``,
        ``btyd__T`` (days), ``btyd__mean_value`` (money), ``btyd__value_n``; NaN for customers who
        never bought.

    Returns
    -------
    Parameters for `models.scorer.btyd` (time in days), or None with fewer than 10 customers, fewer
    than 5 repeat purchases, or if no fit converged. ``value`` is None if amounts do not identify
    Gamma-Gamma, freely or with q >= 2, or if its population mean is far from the observed one; the
    scorer then uses ``flat_value``, the mean repeat value.
    """
    purchases = frame[["btyd__x", "btyd__t_x", "btyd__T"]].to_numpy(dtype=np.float64)
    purchases = purchases[~np.isnan(purchases).any(axis=1)]
    purchases = purchases[purchases[:, 2] > 0]
    if len(purchases) < 10 or purchases[:, 0].sum() < 5:
        return None
    candidates = [model().fit(purchases) for model in (BGNBD, MBGNBD)]
    candidates = [fit for fit in candidates if fit.converged_]
    if not candidates:
        return None
    likeliest = max(candidates, key=lambda fit: float(fit.log_likelihood_))
    value_model, mean_value = _fit_value(frame)
    return {**likeliest.to_parameters(), "value": value_model, "flat_value": mean_value}


def _fit_value(frame: pd.DataFrame) -> tuple[dict[str, Any] | None, float]:
    """Gamma-Gamma parameters or None, and the mean value of all repeat purchase days."""
    mean_values = frame[["btyd__value_n", "btyd__mean_value"]].to_numpy(dtype=np.float64)
    mean_values = mean_values[(mean_values[:, 0] >= 1) & (mean_values[:, 1] > 0)]
    if not len(mean_values):
        return None, 0.0
    mean_value = float((mean_values[:, 0] * mean_values[:, 1]).sum() / mean_values[:, 0].sum())
    if len(mean_values) < 10 or np.ptp(mean_values[:, 1]) == 0:
        return None, mean_value
    observed_mean = float(mean_values[:, 1].mean())
    free = GammaGamma().fit(mean_values)
    if free.converged_ and _has_mean_near(free, observed_mean):
        return free.to_parameters(), mean_value
    bounded = GammaGamma(least_excess=_BOUNDED_EXCESS).fit(mean_values)
    if (bounded.converged_ or bounded.at_bound_) and _has_mean_near(bounded, observed_mean):
        return {**bounded.to_parameters(), "converged": bounded.converged_}, mean_value
    return None, mean_value


def _has_mean_near(fitted: GammaGamma, observed_mean: float) -> bool:
    """True if the population mean of a fit is within a factor of two of the observed mean."""
    population_mean = fitted.p_ * fitted.v_ / (fitted.q_ - 1.0)
    return bool(1 / _MEAN_RATIO <= population_mean / observed_mean <= _MEAN_RATIO)
