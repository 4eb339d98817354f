"""Buy-till-you-die models: BG/NBD, MBG/NBD and Gamma-Gamma by maximum likelihood.

Fitting only; every prediction lives in `models.inference` and takes `to_parameters()`.

Sources: Fader, Hardie and Lee (2005), "Counting your customers" the easy way, Marketing Science 24
(BG/NBD); Batislam, Denizel and Filiztekin (2007), Int. J. of Research in Marketing 24 (MBG/NBD);
Fader and Hardie (2013), The Gamma-Gamma model of monetary value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import gammaln, psi
from sklearn.base import BaseEstimator

from features.arrays import Array
from models.scorer.btyd import btyd_chances

Objective = Callable[[Array], tuple[float, Array]]

# Bounds on the log parameters after scaling. Where a population has no spread in a rate or in the
# drop-out, the likelihood rises for ever along a ridge; there the bound is as good as infinity.
LOG_LOW, LOG_HIGH = np.log(1e-6), np.log(1e5)
SUBSAMPLE = 5_000  # distinct rows on which starts are compared before the polish on all


def _minimise(
    objective: Objective, starts: list[Array], bounds: list[tuple[float, float]], max_iter: int
) -> Any:
    """Best of L-BFGS-B runs from several starts."""
    options = {"maxiter": max_iter, "ftol": 1e-14, "gtol": 1e-9, "maxcor": 20}
    best = None
    for start in starts:
        low, high = np.array(bounds).T
        run = minimize(
            objective,
            np.clip(start, low, high),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options=options,
        )
        if np.isfinite(run.fun) and (best is None or run.fun < best.fun):
            best = run
    return best


def _is_optimal(run: Any, bounds: list[tuple[float, float]]) -> bool:
    """Whether the projected gradient vanishes, whatever the line search says of itself."""
    low, high = np.array(bounds).T
    step = np.clip(run.x - run.jac, low, high) - run.x
    return bool(np.isfinite(run.fun) and np.abs(step).max() < 1e-4)


def _check(values: Array, names: str) -> Array:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != len(names.split(",")):
        raise ValueError(f"expected a two-dimensional array with the columns {names}")
    if not len(values):
        raise ValueError("no customers to fit on")
    if not np.isfinite(values).all():
        raise ValueError(f"{names} hold missing or infinite values")
    return values


class BGNBD(BaseEstimator):  # type: ignore[misc]
    """Purchases by a gamma mixture of Poisson rates, drop-out by a beta mixture after a purchase.

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
        Whether the projected gradient vanishes at a finite optimum or at the far end of a ridge.
    n_customers_
        Customers fitted on.
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
        values = _check(X, "x, t_x, T")
        if (values < 0).any() or (values[:, 1] > values[:, 2] + 1e-9).any():
            raise ValueError("x, t_x and T must satisfy x >= 0 and 0 <= t_x <= T")
        frame = pd.DataFrame(values, columns=["x", "t_x", "T"])
        unique = frame.groupby(["x", "t_x", "T"], sort=True).size().reset_index(name="n")
        x, t_x, age, n = (unique[c].to_numpy(dtype=np.float64) for c in ("x", "t_x", "T", "n"))
        scale = max(float(np.average(age, weights=n)), 1e-12)
        rate = max(float((n * x).sum() / (n * np.maximum(age, 1e-12)).sum()) * scale, 1e-3)
        bounds = [(LOG_LOW, LOG_HIGH)] * 4
        starts = [
            np.log([r, r / rate, a, a * (1 - drop) / drop])
            for r, a, drop in ((0.5, 0.5, 0.2), (2.0, 0.5, 0.03), (0.25, 2.0, 0.5))
        ]
        if len(unique) > SUBSAMPLE:
            pick = np.linspace(0, len(unique) - 1, SUBSAMPLE).astype(int)
            small = self._objective(x[pick], t_x[pick] / scale, age[pick] / scale, n[pick])
            starts = [_minimise(small, starts, bounds, self.max_iter).x]
        objective = self._objective(x, t_x / scale, age / scale, n)
        run = _minimise(objective, starts, bounds, self.max_iter)
        self.r_, self.alpha_, self.a_, self.b_ = (float(v) for v in np.exp(run.x))
        self.alpha_ *= scale
        self.n_customers_ = int(n.sum())
        self.log_likelihood_ = float(-run.fun * n.sum() - (n * x).sum() * np.log(scale))
        self.converged_ = _is_optimal(run, bounds)
        self.n_iter_ = int(run.nit)
        return self

    def _chances(self, x: Array) -> Array:
        return btyd_chances({"model": self.model}, x)

    def _objective(self, x: Array, t_x: Array, age: Array, n: Array) -> Objective:
        """Mean negative log likelihood and its gradient in log parameters."""
        m = self._chances(x)
        may_die = m > 0
        before = np.maximum(m, 1.0) - 1.0
        share = n / n.sum()

        def objective(theta: Array) -> tuple[float, Array]:
            r, alpha, a, b = np.exp(theta)
            log_age, log_last = np.log(alpha + age), np.log(alpha + t_x)
            alive = -(r + x) * log_age
            dead = np.where(may_die, np.log(a) - np.log(b + before) - (r + x) * log_last, -np.inf)
            both = np.logaddexp(alive, dead)
            w = np.exp(alive - both)
            fixed = r * np.log(alpha) - gammaln(r) + gammaln(a + b) - gammaln(b)
            value = fixed + gammaln(r + x) + gammaln(b + m) - gammaln(a + b + m) + both
            d_r = psi(r + x) - psi(r) + np.log(alpha) - w * log_age - (1 - w) * log_last
            d_alpha = r / alpha - (r + x) * (w / (alpha + age) + (1 - w) / (alpha + t_x))
            common = psi(a + b) - psi(a + b + m)
            d_a = common + (1 - w) / a
            d_b = common + psi(b + m) - psi(b) - np.where(may_die, (1 - w) / (b + before), 0.0)
            gradient = np.array([r * share @ d_r, alpha * share @ d_alpha])
            gradient = np.append(gradient, [a * share @ d_a, b * share @ d_b])
            return -float(share @ value), -gradient

        return objective

    def score(self, X: Any, y: None = None) -> float:
        """Mean log likelihood a customer, in the time unit of the data."""
        x, t_x, age = _check(X, "x, t_x, T").T
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
    """BG/NBD in which a customer may also drop out right after the first purchase."""

    model = "mbg_nbd"


class GammaGamma(BaseEstimator):  # type: ignore[misc]
    """Mean value of a purchase: gamma values around a customer mean, gamma mixture of the scale.

    q > 1, so that the population mean p v / (q - 1) exists.

    Parameters
    ----------
    max_iter
        Iterations of L-BFGS per start.

    Attributes
    ----------
    p_, q_, v_
        Shape of the values, shape and rate of the mixture (`v_` in money).
    log_likelihood_, converged_, n_customers_
        As in `BGNBD`.
    """

    def __init__(self, max_iter: int = 500) -> None:
        self.max_iter = max_iter

    def fit(self, X: Any, y: None = None) -> GammaGamma:
        """Fit on one row per customer.

        Parameters
        ----------
        X
            n x 2: number of valued repeat purchase days (at least 1) and their mean value (above
            0).
        """
        n, mean = _check(X, "n, mean").T
        if (n < 1).any() or (mean <= 0).any():
            raise ValueError("Gamma-Gamma takes customers with n >= 1 and a mean value above 0")
        scale = float(np.exp(np.average(np.log(mean))))
        bounds = [(np.log(1e-3), np.log(1e4)), (np.log(1e-4), np.log(1e4)), (-12.0, 12.0)]
        starts = [np.log([p, q - 1, (q - 1) / p]) for p, q in ((2.0, 4.0), (6.0, 3.0), (1.0, 8.0))]
        pick = np.arange(len(n))
        if len(n) > SUBSAMPLE:
            pick = np.linspace(0, len(n) - 1, SUBSAMPLE).astype(int)
            small = self._objective(n[pick], mean[pick] / scale)
            starts = [_minimise(small, starts, bounds, self.max_iter).x]
        run = _minimise(self._objective(n, mean / scale), starts, bounds, self.max_iter)
        self.p_, over, v = (float(value) for value in np.exp(run.x))
        self.q_, self.v_ = 1.0 + over, v * scale
        self.n_customers_ = len(n)
        self.log_likelihood_ = float(-run.fun * len(n) - len(n) * np.log(scale))
        self.converged_ = _is_optimal(run, bounds)
        self.n_iter_ = int(run.nit)
        return self

    @staticmethod
    def _objective(n: Array, mean: Array) -> Objective:
        """Mean negative log likelihood and its gradient in log p, log(q - 1), log v."""
        log_mean, log_n = np.log(mean), np.log(n)

        def objective(theta: Array) -> tuple[float, Array]:
            p, over, v = np.exp(theta)
            q = 1.0 + over
            shape = p * n
            log_total = np.log(n * mean + v)
            value = gammaln(shape + q) - gammaln(shape) - gammaln(q) + q * np.log(v)
            value = value + (shape - 1) * log_mean + shape * log_n - (shape + q) * log_total
            both = psi(shape + q)
            d_p = n * (both - psi(shape) + log_mean + log_n - log_total)
            d_q = both - psi(q) + np.log(v) - log_total
            d_v = q / v - (shape + q) / (n * mean + v)
            gradient = np.array([p * d_p.mean(), over * d_q.mean(), v * d_v.mean()])
            return -float(value.mean()), -gradient

        return objective

    def score(self, X: Any, y: None = None) -> float:
        """Mean log likelihood a customer."""
        n, mean = _check(X, "n, mean").T
        return -self._objective(n, mean)(np.log([self.p_, self.q_ - 1.0, self.v_]))[0]

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
    """Fit both purchase models and Gamma-Gamma on one snapshot, the better likelihood kept.

    Parameters
    ----------
    frame
        One snapshot of the feature frame, one row per customer: ``btyd__x``, ``btyd__t_x``,
        ``btyd__T`` (days), ``btyd__mean_value`` (money), ``btyd__value_n``; NaN for those who
        never bought.

    Returns
    -------
    Parameters for `models.inference` (time in days), or None where the data hold no repeat
    purchase, too few customers, or no fit converged. ``value`` is None where amounts do not
    identify Gamma-Gamma; its place is then taken by ``flat_value``, the mean repeat value.
    """
    inputs = frame[["btyd__x", "btyd__t_x", "btyd__T"]].to_numpy(dtype=np.float64)
    inputs = inputs[~np.isnan(inputs).any(axis=1)]
    inputs = inputs[inputs[:, 2] > 0]
    if len(inputs) < 10 or inputs[:, 0].sum() < 5:
        return None
    fits = [model().fit(inputs) for model in (BGNBD, MBGNBD)]
    fits = [fit for fit in fits if fit.converged_]
    if not fits:
        return None
    best = max(fits, key=lambda fit: float(fit.log_likelihood_))
    value, flat = _fit_value(frame)
    return {**best.to_parameters(), "value": value, "flat_value": flat}


def _fit_value(frame: pd.DataFrame) -> tuple[dict[str, Any] | None, float]:
    """Gamma-Gamma parameters or None, and the mean value of all repeat purchase days."""
    values = frame[["btyd__value_n", "btyd__mean_value"]].to_numpy(dtype=np.float64)
    values = values[(values[:, 0] >= 1) & (values[:, 1] > 0)]
    if not len(values):
        return None, 0.0
    flat = float((values[:, 0] * values[:, 1]).sum() / values[:, 0].sum())
    if len(values) < 10 or np.ptp(values[:, 1]) == 0:
        return None, flat
    fit = GammaGamma().fit(values)
    return (fit.to_parameters() if fit.converged_ else None), flat
