"""Calibration maps and the rule by which one is adopted.

A map fitted on the latest matured snapshot usually hurt on the next one, so predictions are served
raw unless a map has won at several earlier origins (`choose_calibration`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize
from sklearn.isotonic import IsotonicRegression

from features.arrays import Array
from models.metrics import metrics
from models.scorer.churn import calibrated
from models.scorer.linear_model import sigmoid

KINDS = ("platt", "beta", "isotonic")
WINS_NEEDED = 3
RAW: dict[str, Any] = {"kind": "raw"}


def _log_odds_parts(p: Array) -> tuple[Array, Array]:
    safe = np.clip(p, 1e-9, 1.0 - 1e-9)
    return np.log(safe), np.log1p(-safe)


def _logistic(z: Array, y: Array, start: list[float], bounds: list[Any]) -> Array:
    """Maximum-likelihood coefficients of a small logistic model, the intercept last.

    A faint penalty towards `start` (the identity map) keeps separable data finite.
    """
    design = np.column_stack([z, np.ones(len(y))])
    origin = np.asarray(start)

    def loss(theta: Array) -> tuple[float, Array]:
        eta, away = design @ theta, theta - origin
        value = np.logaddexp(0.0, eta).sum() - y @ eta + 0.5 * away @ away
        return float(value), design.T @ (sigmoid(eta) - y) + away

    return np.asarray(minimize(loss, origin, jac=True, method="L-BFGS-B", bounds=bounds).x)


def fit_calibration(kind: str, y: Any, p: Any) -> dict[str, Any]:
    """Fit a calibration map for `calibrated`.

    Parameters
    ----------
    kind
        ``raw`` (no map), ``platt``, ``beta`` (Kull, Silva Filho and Flach 2017) or ``isotonic``.
    y, p
        0/1 outcomes and raw probabilities of the same rows, not fitted on them. With one class
        only the map is ``raw``.

    Returns
    -------
    JSON-able map. All maps are monotone, so the ranking stays (isotonic may tie).

    Raises
    ------
    ValueError
        For an unknown kind.
    """
    if kind not in (*KINDS, "raw"):
        raise ValueError(f"unknown calibration {kind!r}: expected raw, {', '.join(KINDS)}")
    y, p = np.asarray(y, dtype=np.float64), np.asarray(p, dtype=np.float64)
    if kind == "raw" or y.min() == y.max():
        return dict(RAW)
    if kind == "isotonic":
        fitted = IsotonicRegression(y_min=0.0, y_max=1.0).fit(p, y)
        # Never exactly 0 or 1: a bin without an event is no proof.
        margin = 1.0 / (len(y) + 2.0)
        knots = np.clip(fitted.y_thresholds_, margin, 1.0 - margin)
        return {"kind": kind, "x": fitted.X_thresholds_.tolist(), "y": knots.tolist()}
    log_p, log_q = _log_odds_parts(p)
    free, positive = (None, None), (0.0, None)
    if kind == "platt":
        slope, intercept = _logistic((log_p - log_q)[:, None], y, [1.0, 0.0], [positive, free])
        return {"kind": kind, "slope": float(slope), "intercept": float(intercept)}
    design = np.column_stack([log_p, -log_q])
    a, b, intercept = _logistic(design, y, [1.0, 1.0, 0.0], [positive, positive, free])
    return {"kind": kind, "a": float(a), "b": float(b), "intercept": float(intercept)}


@dataclass(frozen=True)
class Trial:
    """One earlier origin: where a map would have been fitted, and where it would have served."""

    fit_y: Array
    fit_p: Array
    test_y: Array
    test_p: Array

    def gain(self, kind: str) -> float:
        """Log loss of raw minus that of the map, at the origin; above 0 the map is better."""
        served = calibrated(fit_calibration(kind, self.fit_y, self.fit_p), self.test_p)
        return metrics.log_loss(self.test_y, self.test_p) - metrics.log_loss(self.test_y, served)


def choose_calibration(trials: Sequence[Trial]) -> str:
    """Kind of map to serve: raw, unless one won on three earlier origins and on most of them.

    Among several such kinds the one with the largest mean gain in log loss is taken.
    """
    best, best_gain = "raw", 0.0
    for kind in KINDS:
        gains = np.asarray([trial.gain(kind) for trial in trials])
        wins = int((gains > 0).sum())
        if wins >= WINS_NEEDED and 2 * wins > len(gains) and gains.mean() > best_gain:
            best, best_gain = kind, float(gains.mean())
    return best
