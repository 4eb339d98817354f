"""BG/BB: purchases at yearly or monthly occasions, by maximum likelihood in closed form.

Source: Fader, Hardie and Shang (2010), Customer-base analysis in a discrete-time noncontractual
setting, Marketing Science 29. At each occasion an active customer buys with a probability that is
beta-distributed over customers (alpha, beta), and drops out before it with another (gamma, delta).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import betaln, logsumexp, psi
from sklearn.base import BaseEstimator

from features.arrays import Array
from models.fitting.maximum_likelihood import (
    LOG_BOUNDS,
    Objective,
    check_columns,
    is_optimal,
    minimise,
)

_STARTS = ((1.0, 1.0, 0.5, 2.0), (0.5, 2.0, 1.0, 5.0))


@dataclass(frozen=True)
class OccasionForecast:
    """Expected purchases at the next occasions and their variance, one entry a pattern."""

    expected: Array
    variance: Array


@dataclass(frozen=True)
class _PossibleEnds:
    """What may have happened after the last purchase, one column each (equation 3).

    Dropped out before occasion t_x + i + 1, or, in the last column, still active after all.
    """

    x: Array
    misses: Array
    survived: Array
    drops: Array
    possible: Array

    @classmethod
    def of(cls, x: Array, t_x: Array, occasions: Array) -> _PossibleEnds:
        after = np.arange(int((occasions - t_x).max()))[None, :]
        return cls(
            x[:, None],
            np.append(t_x[:, None] - x[:, None] + after, (occasions - x)[:, None], axis=1),
            np.append(t_x[:, None] + after, occasions[:, None], axis=1),
            np.append(np.ones(after.shape[1]), 0.0)[None, :],
            np.append(after < (occasions - t_x)[:, None], np.ones((len(x), 1), dtype=bool), axis=1),
        )

    def log_chances(self, theta: Array) -> Array:
        """Log chance of the pattern with each of the ends; -inf where it is impossible."""
        alpha, beta, gamma, delta = np.exp(theta)
        bought = betaln(alpha + self.x, beta + self.misses) - betaln(alpha, beta)
        stayed = betaln(gamma + self.drops, delta + self.survived) - betaln(gamma, delta)
        return np.where(self.possible, bought + stayed, -np.inf)


class BGBB(BaseEstimator):  # type: ignore[misc]
    """BG/BB model of purchases at regular occasions.

    Parameters
    ----------
    max_iter
        Iterations of L-BFGS per start.

    Attributes
    ----------
    alpha_, beta_, gamma_, delta_
        Beta shapes of the purchase and the drop-out probabilities.
    log_likelihood_, converged_, n_customers_
        As in `models.fitting.btyd.BGNBD`.
    covariance_
        Of the log parameters: inverse of the observed information (4 x 4).
    """

    def __init__(self, max_iter: int = 500) -> None:
        self.max_iter = max_iter

    def fit(self, X: Any, y: None = None) -> BGBB:
        """Fit on one row per pattern.

        Parameters
        ----------
        X
            k x 4: purchases x, the last occasion with a purchase t_x (0 where x is 0), occasions
            observed n, customers with this pattern.
        """
        x, t_x, occasions, counts = check_columns(X, "x, t_x, n, customers").T
        if (x < 0).any() or (x > t_x).any() or (t_x > occasions).any() or (counts <= 0).any():
            raise ValueError("patterns must satisfy 0 <= x <= t_x <= n and have customers")
        bounds = [LOG_BOUNDS] * 4
        objective = self._objective(x, t_x, occasions, counts)
        best_run = minimise(objective, [np.log(s) for s in _STARTS], bounds, self.max_iter)
        self.alpha_, self.beta_, self.gamma_, self.delta_ = (float(v) for v in np.exp(best_run.x))
        self.n_customers_ = int(counts.sum())
        self.log_likelihood_ = float(-best_run.fun * counts.sum())
        self.converged_ = is_optimal(best_run, bounds)
        # Observed information: central differences of the exact gradient.
        steps = 1e-4 * np.eye(4)
        slopes = [
            (objective(best_run.x + step)[1] - objective(best_run.x - step)[1]) / 2e-4
            for step in steps
        ]
        information = counts.sum() * 0.5 * (np.array(slopes) + np.array(slopes).T)
        self.covariance_ = np.linalg.pinv(information, hermitian=True)
        return self

    @property
    def log_parameters(self) -> Array:
        """Logs of alpha, beta, gamma, delta."""
        return np.log([self.alpha_, self.beta_, self.gamma_, self.delta_])

    @staticmethod
    def _objective(x: Array, t_x: Array, occasions: Array, counts: Array) -> Objective:
        """Mean negative log likelihood and its gradient in log parameters."""
        customer_weights = counts / counts.sum()
        ends = _PossibleEnds.of(x, t_x, occasions)
        misses, survived, drops = ends.misses, ends.survived, ends.drops

        def objective(theta: Array) -> tuple[float, Array]:
            alpha, beta, gamma, delta = np.exp(theta)
            terms = ends.log_chances(theta)
            log_likelihood = logsumexp(terms, axis=1)
            shares = np.exp(terms - log_likelihood[:, None])
            bought = psi(alpha + beta) - psi(alpha + beta + x[:, None] + misses)
            stayed = psi(gamma + delta) - psi(gamma + delta + drops + survived)
            slopes = [
                alpha * (psi(alpha + x[:, None]) - psi(alpha) + bought),
                beta * (psi(beta + misses) - psi(beta) + bought),
                gamma * (psi(gamma + drops) - psi(gamma) + stayed),
                delta * (psi(delta + survived) - psi(delta) + stayed),
            ]
            gradient = np.array([customer_weights @ (shares * s).sum(axis=1) for s in slopes])
            return -float(customer_weights @ log_likelihood), -gradient

        return objective

    def score(self, X: Any, y: None = None) -> float:
        """Mean log likelihood a customer."""
        return -self._objective(*check_columns(X, "x, t_x, n, customers").T)(self.log_parameters)[0]

    def forecast(
        self, X: Any, *, occasions: int, log_parameters: Array | None = None
    ) -> OccasionForecast:
        """Purchases of a customer with a given pattern at the next occasions.

        A purchase at the j-th of them needs activity until then: its chance is B(alpha + x + 1,
        beta + n - x) B(gamma, delta + n + j) / (B(alpha, beta) B(gamma, delta)) over the likelihood
        of the pattern. Chances of two purchases give the variance.

        Parameters
        ----------
        X
            As in `fit`.
        occasions
            Number of occasions ahead.
        log_parameters
            Other parameters than the fitted ones.
        """
        x, t_x, observed, _ = check_columns(X, "x, t_x, n, customers").T
        theta = self.log_parameters if log_parameters is None else np.asarray(log_parameters)
        alpha, beta, gamma, delta = np.exp(theta)
        log_patterns = logsumexp(_PossibleEnds.of(x, t_x, observed).log_chances(theta), axis=1)
        ahead = np.arange(1, occasions + 1)[None, :]
        base = betaln(alpha, beta) + betaln(gamma, delta) + log_patterns
        active = betaln(gamma, delta + observed[:, None] + ahead) - base[:, None]
        once = np.exp(betaln(alpha + x + 1, beta + observed - x)[:, None] + active)
        twice = np.exp(betaln(alpha + x + 2, beta + observed - x)[:, None] + active)
        expected = once.sum(axis=1)
        pairs = 2.0 * (twice * (ahead - 1)).sum(axis=1)
        return OccasionForecast(expected, pairs + expected - expected**2)
