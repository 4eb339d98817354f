"""All metrics of the back-test.

Arrays are aligned row by row. Metrics that cut a ranking (bins, deciles, the top 10 %) give rows
with equal predictions their mean target, so that no figure depends on the order of the rows.
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
CALIBRATION_BINS = 15
RARE_CLASS = 20  # classes with fewer rows do not count in macro-F1


def _floats(*arrays: Any) -> list[Array]:
    """Convert arrays to float64; raise ValueError if empty, of unequal length or not finite."""
    result = [np.asarray(array, dtype=np.float64) for array in arrays]
    if not result[0].size:
        raise ValueError("a metric needs at least one row")
    if len({len(array) for array in result}) != 1:
        raise ValueError(f"arrays differ in length: {[len(array) for array in result]}")
    if not all(np.isfinite(array).all() for array in result):
        raise ValueError("a metric is not defined for missing or infinite values")
    return result


def _tied(score: Array, target: Array) -> Array:
    """Mean target of the rows with the same score, one value a row."""
    _, group = np.unique(score, return_inverse=True)
    return np.asarray((np.bincount(group, weights=target) / np.bincount(group))[group])


def _tenth(rows: int) -> int:
    return max(1, round(rows / 10))


def mean(values: Any) -> float:
    """Mean of the values, such as the rate of an outcome."""
    return float(_floats(values)[0].mean())


# ------------------------------------------------------------------------------------- binary


def auc(target: Any, probability: Any) -> float:
    """Area under the ROC curve, ties count half; NaN if `target` holds only one class."""
    target, probability = _floats(target, probability)
    positives = float(target.sum())
    negatives = len(target) - positives
    if not positives or not negatives:
        return float("nan")
    ranks = rankdata(probability)
    return float(
        (ranks[target == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives)
    )


def log_losses(target: Any, probability: Any) -> Array:
    """Negative log-likelihood in nats of each row; probabilities are clipped at 1e-6."""
    target, probability = _floats(target, probability)
    probability = np.clip(probability, _BINARY_CLIP, 1 - _BINARY_CLIP)
    return np.asarray(-(target * np.log(probability) + (1 - target) * np.log1p(-probability)))


def log_loss(target: Any, probability: Any) -> float:
    """Mean negative log-likelihood in nats of probabilities clipped at 1e-6."""
    return float(np.mean(log_losses(target, probability)))


def brier(target: Any, probability: Any) -> float:
    """Mean squared difference of probability and outcome."""
    target, probability = _floats(target, probability)
    return float(np.mean((probability - target) ** 2))


def bin_edges(rows: int, bins: int) -> Array:
    """First row of each bin of equal count, and last the number of rows."""
    return np.unique(np.linspace(0, rows, min(bins, rows) + 1).round().astype(int))


def reliability_bins(
    target: Any, probability: Any, *, bins: int = CALIBRATION_BINS
) -> tuple[Array, Array, Array]:
    """Mean probability, observed share and number of rows of each bin of equal count."""
    target, probability = _floats(target, probability)
    order = np.argsort(probability, kind="stable")
    edges = bin_edges(len(probability), bins)
    counts = np.diff(edges)
    predicted = np.add.reduceat(probability[order], edges[:-1]) / counts
    observed = np.add.reduceat(_tied(probability, target)[order], edges[:-1]) / counts
    return predicted, observed, counts


def ece(target: Any, probability: Any, *, bins: int = CALIBRATION_BINS) -> float:
    """Expected calibration error: 15 bins of equal count, weighted by their rows."""
    predicted, observed, counts = reliability_bins(target, probability, bins=bins)
    return float(np.sum(counts * np.abs(predicted - observed)) / counts.sum())


@dataclass(frozen=True)
class _NoiseFloor:
    """ECE of a perfectly calibrated model: mean and 95th percentile."""

    mean: float
    high: float


def ece_noise_floor(
    probability: Any, *, seed: int, repeats: int = 200, bins: int = CALIBRATION_BINS
) -> _NoiseFloor:
    """ECE of outcomes drawn from the predictions; no gate may demand less.

    Parameters
    ----------
    probability
        Predicted probabilities, one a row.
    seed
        Seed of the simulated outcomes.
    repeats
        Number of simulated outcome vectors.
    """
    (probability,) = _floats(probability)
    outcomes = np.random.default_rng(seed).random((repeats, len(probability))) < probability
    values = [ece(draw, probability, bins=bins) for draw in outcomes]
    return _NoiseFloor(mean=float(np.mean(values)), high=float(np.quantile(values, 0.95)))


def lift_10(target: Any, probability: Any) -> float:
    """Positive rate among the 10 % with the highest probability over the overall rate.

    NaN when there is no positive row.
    """
    target, probability = _floats(target, probability)
    top_rows = np.argsort(-probability, kind="stable")[: _tenth(len(probability))]
    return (
        float(_tied(probability, target)[top_rows].mean() / target.mean())
        if target.any()
        else float("nan")
    )


# ------------------------------------------------------------------------------------ classes


def _classes(probability: Any) -> Array:
    probability = np.clip(np.asarray(probability, dtype=np.float64), _CLASS_CLIP, None)
    return np.asarray(probability / probability.sum(axis=1, keepdims=True))


def multiclass_log_losses(target: Any, probability: Any) -> Array:
    """Negative log probability of the true class of each row (see `multiclass_log_loss`)."""
    target = np.asarray(target, dtype=int)
    return np.asarray(-np.log(_classes(probability)[np.arange(len(target)), target]))


def multiclass_log_loss(target: Any, probability: Any) -> float:
    """Mean negative log probability of the true class; clipped at 1e-4 and renormalised.

    Parameters
    ----------
    target
        Class codes, one a row, each a column of `probability`.
    probability
        Probabilities, rows x classes.
    """
    return float(np.mean(multiclass_log_losses(target, probability)))


def multiclass_squares(target: Any, probability: Any) -> Array:
    """Sum over classes of the squared difference to the one-hot truth, of each row."""
    probability = np.asarray(probability, dtype=np.float64)
    one_hot = np.asarray(target, dtype=int)[:, None] == np.arange(probability.shape[1])
    return np.asarray(np.sum((probability - one_hot) ** 2, axis=1))


def multiclass_brier(target: Any, probability: Any) -> float:
    """Sum over classes of the squared difference to the one-hot truth, averaged over rows."""
    return float(np.mean(multiclass_squares(target, probability)))


def macro_f1(target: Any, predicted: Any, *, min_count: int = RARE_CLASS) -> float:
    """Mean F1 over the classes with at least `min_count` true rows; NaN when there is none."""
    target, predicted = np.asarray(target), np.asarray(predicted)
    scores = []
    for code in np.unique(target):
        is_true, is_predicted = target == code, predicted == code
        if is_true.sum() >= min_count:
            scores.append(2 * (is_true & is_predicted).sum() / (is_true.sum() + is_predicted.sum()))
    return float(np.mean(scores)) if scores else float("nan")


# --------------------------------------------------------------------------------- transitions


def integrated_squares(cif: Any, destination: Any, period: Any) -> Array:
    """Squared error of the cumulative incidences of each row (see `integrated_brier`)."""
    cif = np.asarray(cif, dtype=np.float64)
    period = np.asarray(period)[:, None]
    moved = (period > 0) & (period <= np.arange(1, cif.shape[1] + 1))
    reached = np.asarray(destination)[:, None] == np.arange(cif.shape[2])
    error = np.sum((cif - (moved[:, :, None] & reached[:, None, :])) ** 2, axis=2)
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
        Code of the destination reached; any value for rows without a move.
    period
        Period of the move, 1..K, and 0 for no move.
    """
    return float(np.mean(integrated_squares(cif, destination, period)))


def movers_hits(probability: Any, destination: Any, period: Any) -> Array:
    """1 if the most likely destination was reached, else 0, of each row; NaN without a move."""
    is_hit = np.asarray(probability).argmax(axis=1) == np.asarray(destination)
    return np.where(np.asarray(period) > 0, is_hit, np.nan)


def top1_movers(probability: Any, destination: Any, period: Any) -> float:
    """Share of movers who reached their most likely destination ("no change" left out).

    `probability` is rows x destinations at the horizon, `period` 0 for no move; NaN without movers.
    """
    return _mean_of_known(movers_hits(probability, destination, period))


def median_time_errors(moved_by: Any, period: Any) -> Array:
    """Absolute error of the median time of each row; NaN without a move (see below)."""
    period, moved_by = np.asarray(period), np.asarray(moved_by, dtype=np.float64)
    # The tolerance keeps rounding from missing a share of exactly one half.
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
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


# --------------------------------------------------------------------------------------- money


def mae(target: Any, prediction: Any) -> float:
    """Mean absolute error; on data with many zeros read it only together with `bias_pct`."""
    target, prediction = _floats(target, prediction)
    return float(np.mean(np.abs(prediction - target)))


def rmse(target: Any, prediction: Any) -> float:
    """Root of the mean squared error."""
    target, prediction = _floats(target, prediction)
    return float(np.sqrt(np.mean((prediction - target) ** 2)))


def bias_pct(target: Any, prediction: Any) -> float:
    """Predicted total over actual total, minus one, in percent; NaN for an actual total of 0."""
    target, prediction = _floats(target, prediction)
    return float(100 * (prediction.sum() / target.sum() - 1)) if target.sum() else float("nan")


def spearman(target: Any, prediction: Any) -> float:
    """Spearman rank correlation, mean ranks for ties; NaN if either array is constant."""
    target, prediction = (rankdata(array) for array in _floats(target, prediction))
    if np.ptp(target) == 0 or np.ptp(prediction) == 0:
        return float("nan")
    return float(np.corrcoef(target, prediction)[0, 1])


def _lorenz_area(target: Array, order_by: Array) -> float:
    """Area between the gains curve of `target`, best first, and the diagonal."""
    ranked = _tied(order_by, target)[np.argsort(-order_by, kind="stable")]
    row_count = len(target)
    return float(
        np.cumsum(ranked).sum() / ranked.sum() / row_count - (row_count + 1) / (2 * row_count)
    )


def gini(target: Any, prediction: Any) -> float:
    """Gini of actual spend ordered by prediction, over that of the perfect order.

    NaN if actual spend is zero or the same for all rows.
    """
    target, prediction = _floats(target, prediction)
    if np.ptp(target) == 0 or target.sum() == 0:
        return float("nan")
    return _lorenz_area(target, prediction) / _lorenz_area(target, target)


def top10(target: Any, prediction: Any) -> float:
    """Share of the actual top 10 % of customers who are in the predicted top 10 %."""
    target, prediction = _floats(target, prediction)
    is_best = np.zeros(len(target))
    is_best[np.argsort(-target, kind="stable")[: _tenth(len(target))]] = 1
    predicted_best = np.argsort(-prediction, kind="stable")[: _tenth(len(target))]
    return float(_tied(prediction, is_best)[predicted_best].sum() / is_best.sum())


def decile_totals(target: Any, prediction: Any) -> tuple[Array, Array]:
    """Predicted and actual total of each decile of the prediction, lowest decile first."""
    target, prediction = _floats(target, prediction)
    order = np.argsort(prediction, kind="stable")
    edges = bin_edges(len(prediction), 10)[:-1]
    return np.add.reduceat(prediction[order], edges), np.add.reduceat(
        _tied(prediction, target)[order], edges
    )


def decile_error(target: Any, prediction: Any) -> float:
    """Mean over predicted deciles of |sum p - sum y| / sum y, a fraction.

    Deciles without actual spend are left out; NaN if no decile has any.
    """
    predicted, actual = decile_totals(target, prediction)
    has_spend = actual > 0
    if not has_spend.any():
        return float("nan")
    return float(np.mean(np.abs(predicted - actual)[has_spend] / actual[has_spend]))


def coverage(target: Any, low: Any, high: Any) -> float:
    """Share of actual values within the interval, bounds included."""
    target, low, high = _floats(target, low, high)
    return float(np.mean((low <= target) & (target <= high)))


def width_ratio(target: Any, low: Any, high: Any) -> float:
    """Mean width of the interval over mean actual value; NaN for a mean of 0."""
    target, low, high = _floats(target, low, high)
    return float(np.mean(high - low) / target.mean()) if target.mean() else float("nan")
