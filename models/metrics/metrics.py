"""Every metric of the back-test, in one place, so that a figure means the same everywhere.

Arrays are aligned row by row. Where a metric cuts a ranking (bins, deciles, the top 10 %), rows
with equal predictions share their mean truth, so that no figure depends on the order of the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata

from features.arrays import Array
from models.metrics.bootstrap import Interval as Interval
from models.metrics.bootstrap import bootstrap as bootstrap
from models.metrics.bootstrap import paired_difference as paired_difference

_BINARY_CLIP = 1e-6
_CLASS_CLIP = 1e-4
BINS = 15
RARE_CLASS = 20  # classes with fewer rows say nothing about macro-F1


def _floats(*arrays: Any) -> list[Array]:
    """Arrays as float64 of one length; refuses empty, unequal or non-finite input."""
    result = [np.asarray(array, dtype=np.float64) for array in arrays]
    if not result[0].size:
        raise ValueError("a metric needs at least one row")
    if len({len(array) for array in result}) != 1:
        raise ValueError(f"arrays differ in length: {[len(array) for array in result]}")
    if not all(np.isfinite(array).all() for array in result):
        raise ValueError("a metric is not defined for missing or infinite values")
    return result


def _tied(score: Array, y: Array) -> Array:
    """Truth averaged over rows with the same score."""
    _, group = np.unique(score, return_inverse=True)
    return np.asarray((np.bincount(group, weights=y) / np.bincount(group))[group])


def _tenth(rows: int) -> int:
    return max(1, round(rows / 10))


def mean(values: Any) -> float:
    """Mean of the rows, such as the rate of an outcome."""
    return float(_floats(values)[0].mean())


# ------------------------------------------------------------------------------------- binary


def auc(y: Any, p: Any) -> float:
    """Area under the ROC curve, ties counted half; NaN when `y` holds one class only."""
    y, p = _floats(y, p)
    positives = float(y.sum())
    negatives = len(y) - positives
    if not positives or not negatives:
        return float("nan")
    ranks = rankdata(p)
    return float((ranks[y == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def log_losses(y: Any, p: Any) -> Array:
    """Negative log-likelihood in nats of each row; probabilities are clipped at 1e-6."""
    y, p = _floats(y, p)
    p = np.clip(p, _BINARY_CLIP, 1 - _BINARY_CLIP)
    return np.asarray(-(y * np.log(p) + (1 - y) * np.log1p(-p)))


def log_loss(y: Any, p: Any) -> float:
    """Mean negative log-likelihood in nats of probabilities clipped at 1e-6."""
    return float(np.mean(log_losses(y, p)))


def brier(y: Any, p: Any) -> float:
    """Mean squared difference of probability and outcome."""
    y, p = _floats(y, p)
    return float(np.mean((p - y) ** 2))


def bin_edges(rows: int, bins: int) -> Array:
    """First row of every bin of equal count, and the number of rows."""
    return np.unique(np.linspace(0, rows, min(bins, rows) + 1).round().astype(int))


def reliability(y: Any, p: Any, *, bins: int = BINS) -> tuple[Array, Array, Array]:
    """Mean probability, observed share and number of rows of each bin of equal count."""
    y, p = _floats(y, p)
    order = np.argsort(p, kind="stable")
    edges = bin_edges(len(p), bins)
    counts = np.diff(edges)
    predicted = np.add.reduceat(p[order], edges[:-1]) / counts
    observed = np.add.reduceat(_tied(p, y)[order], edges[:-1]) / counts
    return predicted, observed, counts


def ece(y: Any, p: Any, *, bins: int = BINS) -> float:
    """Expected calibration error: 15 bins of equal count, weighted by their rows."""
    predicted, observed, counts = reliability(y, p, bins=bins)
    return float(np.sum(counts * np.abs(predicted - observed)) / counts.sum())


@dataclass(frozen=True)
class _NoiseFloor:
    """What a perfectly calibrated model would show as ECE: the mean and the 95th percentile."""

    mean: float
    high: float


def ece_noise_floor(p: Any, *, seed: int, repeats: int = 200, bins: int = BINS) -> _NoiseFloor:
    """ECE of outcomes drawn from the predictions themselves: no gate may lie below it.

    Parameters
    ----------
    p
        Predicted probabilities, one a row.
    seed
        Seed of the simulated outcomes.
    repeats
        Number of simulated outcome vectors.
    """
    (p,) = _floats(p)
    draws = np.random.default_rng(seed).random((repeats, len(p))) < p
    values = [ece(draw, p, bins=bins) for draw in draws]
    return _NoiseFloor(mean=float(np.mean(values)), high=float(np.quantile(values, 0.95)))


def lift_10(y: Any, p: Any) -> float:
    """Positive rate among the 10 % with the highest probability over the overall rate.

    NaN when there is no positive row.
    """
    y, p = _floats(y, p)
    top = np.argsort(-p, kind="stable")[: _tenth(len(p))]
    return float(_tied(p, y)[top].mean() / y.mean()) if y.any() else float("nan")


# ------------------------------------------------------------------------------------ classes


def _classes(p: Any) -> Array:
    p = np.clip(np.asarray(p, dtype=np.float64), _CLASS_CLIP, None)
    return np.asarray(p / p.sum(axis=1, keepdims=True))


def multiclass_log_losses(truth: Any, p: Any) -> Array:
    """Negative log probability of the true class of each row (see `multiclass_log_loss`)."""
    truth = np.asarray(truth, dtype=int)
    return np.asarray(-np.log(_classes(p)[np.arange(len(truth)), truth]))


def multiclass_log_loss(truth: Any, p: Any) -> float:
    """Mean negative log probability of the true class; clipped at 1e-4 and renormalised.

    Parameters
    ----------
    truth
        Class codes, one a row, each a column of `p`.
    p
        Probabilities, rows x classes.
    """
    return float(np.mean(multiclass_log_losses(truth, p)))


def multiclass_squares(truth: Any, p: Any) -> Array:
    """Sum over classes of the squared difference to the one-hot truth, of each row."""
    p = np.asarray(p, dtype=np.float64)
    hit = np.asarray(truth, dtype=int)[:, None] == np.arange(p.shape[1])
    return np.asarray(np.sum((p - hit) ** 2, axis=1))


def multiclass_brier(truth: Any, p: Any) -> float:
    """Sum over classes of the squared difference to the one-hot truth, averaged over rows."""
    return float(np.mean(multiclass_squares(truth, p)))


def macro_f1(truth: Any, predicted: Any, *, min_count: int = RARE_CLASS) -> float:
    """Mean F1 over the classes with at least `min_count` true rows; NaN when there is none."""
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    scores = []
    for code in np.unique(truth):
        is_true, is_said = truth == code, predicted == code
        if is_true.sum() >= min_count:
            scores.append(2 * (is_true & is_said).sum() / (is_true.sum() + is_said.sum()))
    return float(np.mean(scores)) if scores else float("nan")


# --------------------------------------------------------------------------------- transitions


def integrated_squares(cif: Any, destination: Any, period: Any) -> Array:
    """Squared error of the cumulative incidences of each row (see `integrated_brier`)."""
    cif = np.asarray(cif, dtype=np.float64)
    period = np.asarray(period)[:, None]
    moved = (period > 0) & (period <= np.arange(1, cif.shape[1] + 1))
    target = np.asarray(destination)[:, None] == np.arange(cif.shape[2])
    error = np.sum((cif - (moved[:, :, None] & target[:, None, :])) ** 2, axis=2)
    return np.asarray(np.mean(error + ((1 - cif.sum(axis=2)) - ~moved) ** 2, axis=1))


def integrated_brier(cif: Any, destination: Any, period: Any) -> float:
    """Squared error of the cumulative incidences, "no change" included.

    The mean over customers and periods k of the sum over destinations and "no change" of
    (CIF_k - reached by k)^2.

    Parameters
    ----------
    cif
        Probability of having moved to each destination by each period,
        rows x periods x destinations; the rest up to 1 is "no change".
    destination
        Code of the destination reached, any value where nobody moved.
    period
        Period of the move, 1..K, and 0 for no move.
    """
    return float(np.mean(integrated_squares(cif, destination, period)))


def movers_hits(p: Any, destination: Any, period: Any) -> Array:
    """Whether the likeliest destination is where they went, of each row; NaN where none moved."""
    hit = np.asarray(p).argmax(axis=1) == np.asarray(destination)
    return np.where(np.asarray(period) > 0, hit, np.nan)


def top1_movers(p: Any, destination: Any, period: Any) -> float:
    """Share of movers whose likeliest destination ("no change" left out) is where they went.

    `p` is rows x destinations at the horizon, `period` 0 for no move; NaN without movers.
    """
    return _mean_of_known(movers_hits(p, destination, period))


def median_time_errors(moved_by: Any, period: Any) -> Array:
    """Absolute error of the median time of each row, NaN without a move (see below)."""
    period, moved_by = np.asarray(period), np.asarray(moved_by, dtype=np.float64)
    # The tolerance keeps a share of exactly one half from falling to rounding.
    median = 1 + np.argmax(moved_by >= 0.5 * moved_by[:, -1:] - 1e-12, axis=1)
    return np.where(period > 0, np.abs(median - period), np.nan)


def median_time_mae(moved_by: Any, period: Any) -> float:
    """Absolute error in periods of the median time to move, over movers; NaN without movers.

    The median is the first k with P(moved by k) / P(moved by K) >= 0.5.

    Parameters
    ----------
    moved_by
        Probability of having moved by each period (1 - survival), rows x periods.
    period
        Period of the move, 1..K, and 0 for no move.
    """
    return _mean_of_known(median_time_errors(moved_by, period))


def _mean_of_known(values: Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


# --------------------------------------------------------------------------------------- money


def mae(y: Any, p: Any) -> float:
    """Mean absolute error. On zero-heavy data read it beside `bias_pct` only."""
    y, p = _floats(y, p)
    return float(np.mean(np.abs(p - y)))


def rmse(y: Any, p: Any) -> float:
    """Root of the mean squared error."""
    y, p = _floats(y, p)
    return float(np.sqrt(np.mean((p - y) ** 2)))


def bias_pct(y: Any, p: Any) -> float:
    """Predicted total over actual total, minus one, in percent; NaN for an actual total of 0."""
    y, p = _floats(y, p)
    return float(100 * (p.sum() / y.sum() - 1)) if y.sum() else float("nan")


def spearman(y: Any, p: Any) -> float:
    """Rank correlation, mean ranks for ties; NaN when either side is constant."""
    y, p = (rankdata(array) for array in _floats(y, p))
    if np.ptp(y) == 0 or np.ptp(p) == 0:
        return float("nan")
    return float(np.corrcoef(y, p)[0, 1])


def _lorenz_area(y: Array, order_by: Array) -> float:
    """Area between the gains curve of `y`, best first, and the diagonal."""
    ranked = _tied(order_by, y)[np.argsort(-order_by, kind="stable")]
    rows = len(y)
    return float(np.cumsum(ranked).sum() / ranked.sum() / rows - (rows + 1) / (2 * rows))


def gini(y: Any, p: Any) -> float:
    """Gini of actual spend ordered by prediction over the same ordered by itself.

    NaN when actual spend is zero or the same for everyone.
    """
    y, p = _floats(y, p)
    if np.ptp(y) == 0 or y.sum() == 0:
        return float("nan")
    return _lorenz_area(y, p) / _lorenz_area(y, y)


def top10(y: Any, p: Any) -> float:
    """Share of the truly top 10 % of customers found among the predicted top 10 %."""
    y, p = _floats(y, p)
    best = np.zeros(len(y))
    best[np.argsort(-y, kind="stable")[: _tenth(len(y))]] = 1
    found = np.argsort(-p, kind="stable")[: _tenth(len(y))]
    return float(_tied(p, best)[found].sum() / best.sum())


def deciles(y: Any, p: Any) -> tuple[Array, Array]:
    """Predicted and actual total of each decile of the prediction, lowest first."""
    y, p = _floats(y, p)
    order = np.argsort(p, kind="stable")
    edges = bin_edges(len(p), 10)[:-1]
    return np.add.reduceat(p[order], edges), np.add.reduceat(_tied(p, y)[order], edges)


def decile_error(y: Any, p: Any) -> float:
    """Mean over predicted deciles of |sum p - sum y| / sum y, a fraction.

    Deciles in which nobody spent have no ratio and are left out; NaN when none is left.
    """
    predicted, actual = deciles(y, p)
    spent = actual > 0
    if not spent.any():
        return float("nan")
    return float(np.mean(np.abs(predicted - actual)[spent] / actual[spent]))


def coverage(y: Any, low: Any, high: Any) -> float:
    """Share of actual values within the interval, ends included."""
    y, low, high = _floats(y, low, high)
    return float(np.mean((low <= y) & (y <= high)))


def width_ratio(y: Any, low: Any, high: Any) -> float:
    """Mean width of the interval over mean actual value; NaN for a mean of 0."""
    y, low, high = _floats(y, low, high)
    return float(np.mean(high - low) / y.mean()) if y.mean() else float("nan")
