"""Contract renewals: sBG and beta-discrete-Weibull, by maximum likelihood in closed form.

Sources: Fader and Hardie (2007), How to project customer retention, Journal of Interactive
Marketing 21 (sBG); Fader, Hardie, Liu, Davin and Steenburgh (2018), "How to project customer
retention" revisited: the role of duration dependence, Journal of Interactive Marketing 43 (BdW).

A customer cancels at a renewal with a probability that is beta-distributed over customers. The
share that survives t renewals is S(t) = B(alpha, beta + t^c) / B(alpha, beta), with c = 1 in sBG.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import betaln, psi
from sklearn.base import BaseEstimator

from features.arrays import Array
from models.fitting.maximum_likelihood import (
    LOG_BOUNDS,
    Objective,
    check_columns,
    is_optimal,
    minimise,
)

_STARTS = ((1.0, 1.0, 1.0), (0.5, 3.0, 1.0))
_DURATION_BOUNDS = (float(np.log(0.05)), float(np.log(20.0)))


class ShiftedBetaGeometric(BaseEstimator):  # type: ignore[misc]
    """sBG: retention rises with time only because loyal customers remain.

    Parameters
    ----------
    max_iter
        Iterations of L-BFGS per start.

    Attributes
    ----------
    alpha_, beta_
        Beta shapes of the probability to cancel.
    c_
        Exponent of time: 1 in sBG.
    log_likelihood_, converged_, n_customers_
        As in `models.fitting.btyd.BGNBD`.
    """

    has_duration = False

    def __init__(self, max_iter: int = 500) -> None:
        self.max_iter = max_iter

    def fit(self, X: Any, y: None = None) -> ShiftedBetaGeometric:
        """Fit on the survivors of a cohort.

        Parameters
        ----------
        X
            m x 1: customers under contract at the start and after each renewal; none may join.
        """
        survivors = check_columns(X, "survivors")[:, 0]
        if len(survivors) < 3 or (np.diff(survivors) > 0).any() or survivors[-1] < 0:
            raise ValueError("survivors must be at least three numbers that never rise")
        return self.fit_contracts(*_outcomes(survivors))

    def fit_contracts(self, ends: Array, running: Array) -> ShiftedBetaGeometric:
        """Fit on contracts of any age, the running ones right-censored.

        Parameters
        ----------
        ends
            Contracts that ended at renewal 1, 2, ...
        running
            Contracts last seen running after 0, 1, ... renewals: one entry more than `ends`.
        """
        bounds = [LOG_BOUNDS, LOG_BOUNDS]
        bounds += [_DURATION_BOUNDS] if self.has_duration else []
        objective = self._objective(ends, running)
        starts = [np.log(start[: len(bounds)]) for start in _STARTS]
        best_run = minimise(objective, starts, bounds, self.max_iter)
        shapes = [float(value) for value in np.exp(best_run.x)]
        self.alpha_, self.beta_, self.c_ = (*shapes, 1.0)[:3]
        self.n_customers_ = int(ends.sum() + running.sum())
        self.log_likelihood_ = float(-best_run.fun * (ends.sum() + running.sum()))
        self.converged_ = is_optimal(best_run, bounds)
        return self

    def _objective(self, ends: Array, running: Array) -> Objective:
        """Mean negative log likelihood and its gradient in log parameters."""
        renewals = np.arange(len(running), dtype=np.float64)
        outcomes = np.append(ends, running) / (ends.sum() + running.sum())

        def objective(theta: Array) -> tuple[float, Array]:
            alpha, beta, c = (*np.exp(theta), 1.0)[:3]
            powers = renewals**c
            survival = np.exp(betaln(alpha, beta + powers) - betaln(alpha, beta))
            chances = np.append(-np.diff(survival), survival)
            both = psi(alpha + beta) - psi(alpha + beta + powers)
            later = psi(beta + powers) - psi(alpha + beta + powers)
            log_renewals = np.log(np.maximum(renewals, 1.0))  # 0 at the start, where powers are 0
            slopes = np.stack([
                alpha * both * survival,
                beta * (psi(beta + powers) - psi(beta) + both) * survival,
                c * later * powers * log_renewals * survival,
            ])[: len(theta)]  # fmt: skip
            of_chances = np.concatenate([-np.diff(slopes, axis=1), slopes], axis=1)
            happened = outcomes > 0
            safe = np.maximum(chances[happened], 1e-300)
            loss = -float(outcomes[happened] @ np.log(safe))
            return loss, -(of_chances[:, happened] @ (outcomes[happened] / safe))

        return objective

    def survival(self, renewals: Array) -> Array:
        """Share of a cohort that survives so many renewals."""
        powers = np.asarray(renewals, float) ** self.c_
        return np.exp(betaln(self.alpha_, self.beta_ + powers) - betaln(self.alpha_, self.beta_))

    def score(self, X: Any, y: None = None) -> float:
        """Mean log likelihood a customer."""
        shapes = [self.alpha_, self.beta_, *([self.c_] if self.has_duration else [])]
        outcomes = _outcomes(check_columns(X, "survivors")[:, 0])
        return -self._objective(*outcomes)(np.log(shapes))[0]


def _outcomes(survivors: Array) -> tuple[Array, Array]:
    """Ends at each renewal, and running contracts, of one cohort: all of these at its end."""
    return -np.diff(survivors), np.append(np.zeros(len(survivors) - 1), survivors[-1])


class BetaDiscreteWeibull(ShiftedBetaGeometric):
    """Beta-discrete-Weibull: a customer's own chance to cancel rises (c > 1) or falls with time."""

    has_duration = True
