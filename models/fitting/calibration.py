"""Calibration maps, and the rule that decides whether to serve one.

A map fitted on the latest matured snapshot usually made the next one worse, so raw probabilities
are served unless a map was better at several earlier origins (`choose_calibration`).
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
from models.scorer.churn import apply_calibration
from models.scorer.linear_model import sigmoid

CALIBRATION_KINDS = ("platt", "beta", "isotonic")
WINS_NEEDED = 3
NO_CALIBRATION: dict[str, Any] = {"kind": "raw"}


def _log_odds_parts(probability: Array) -> tuple[Array, Array]:
    clipped = np.clip(probability, 1e-9, 1.0 - 1e-9)
    return np.log(clipped), np.log1p(-clipped)


def _logistic(inputs: Array, target: Array, identity: list[float], bounds: list[Any]) -> Array:
    """Maximum-likelihood coefficients of a small logistic model, the intercept last.

    A weak penalty towards `identity` keeps the coefficients of separable data finite.
    """
    design = np.column_stack([inputs, np.ones(len(target))])
    start_values = np.asarray(identity)

    def loss(theta: Array) -> tuple[float, Array]:
        predictor, deviation = design @ theta, theta - start_values
        penalised = (
            np.logaddexp(0.0, predictor).sum() - target @ predictor + 0.5 * deviation @ deviation
        )
        return float(penalised), design.T @ (sigmoid(predictor) - target) + deviation

    return np.asarray(minimize(loss, start_values, jac=True, method="L-BFGS-B", bounds=bounds).x)


def fit_calibration(kind: str, target: Any, probability: Any) -> dict[str, Any]:
    """Fit a calibration map for `calibrated`.

    Parameters
    ----------
    kind
        ``raw`` (no map), ``platt``, ``beta`` (Kull, Silva Filho and Flach 2017) or ``isotonic``.
    target, probability
        0/1 outcomes and raw probabilities of the same rows, by a model not fitted on them. With a
        single class the map is ``raw``.

    Returns
    -------
    JSON-able map. All maps are monotone, so the ranking is kept (isotonic may create ties).

    Raises
    ------
    ValueError
        For an unknown kind.
    """
    if kind not in (*CALIBRATION_KINDS, "raw"):
        raise ValueError(
            f"unknown calibration {kind!r}: expected raw, {', '.join(CALIBRATION_KINDS)}"
        )
    target, probability = (
        np.asarray(target, dtype=np.float64),
        np.asarray(probability, dtype=np.float64),
    )
    if kind == "raw" or target.min() == target.max():
        return dict(NO_CALIBRATION)
    if kind == "isotonic":
        isotonic = IsotonicRegression(y_min=0.0, y_max=1.0).fit(probability, target)
        # Never exactly 0 or 1: a bin without an event does not prove that none can happen.
        margin = 1.0 / (len(target) + 2.0)
        knots = np.clip(isotonic.y_thresholds_, margin, 1.0 - margin)
        return {"kind": kind, "x": isotonic.X_thresholds_.tolist(), "y": knots.tolist()}
    log_p, log_q = _log_odds_parts(probability)
    unbounded, positive = (None, None), (0.0, None)
    if kind == "platt":
        slope, intercept = _logistic(
            (log_p - log_q)[:, None], target, [1.0, 0.0], [positive, unbounded]
        )
        return {"kind": kind, "slope": float(slope), "intercept": float(intercept)}
    design = np.column_stack([log_p, -log_q])
    a, b, intercept = _logistic(design, target, [1.0, 1.0, 0.0], [positive, positive, unbounded])
    return {"kind": kind, "a": float(a), "b": float(b), "intercept": float(intercept)}


@dataclass(frozen=True)
class CalibrationTrial:
    """One earlier origin: the rows that a map is fitted on, and the rows that it is tested on."""

    fit_y: Array
    fit_p: Array
    test_y: Array
    test_p: Array

    def gain(self, kind: str) -> float:
        """Log loss of raw probabilities minus that of the map; above 0 the map is better."""
        mapped = apply_calibration(fit_calibration(kind, self.fit_y, self.fit_p), self.test_p)
        return metrics.log_loss(self.test_y, self.test_p) - metrics.log_loss(self.test_y, mapped)


def choose_calibration(trials: Sequence[CalibrationTrial]) -> str:
    """Kind of map to serve: raw, unless a map won at three origins and at more than half of them.

    Of several such maps take the one with the largest mean gain in log loss.
    """
    best_kind, best_gain = "raw", 0.0
    for kind in CALIBRATION_KINDS:
        gains = np.asarray([trial.gain(kind) for trial in trials])
        wins = int((gains > 0).sum())
        if wins >= WINS_NEEDED and 2 * wins > len(gains) and gains.mean() > best_gain:
            best_kind, best_gain = kind, float(gains.mean())
    return best_kind
