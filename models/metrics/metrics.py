"""All metrics of the back-test.

Arrays are aligned row by row. If a metric cuts a ranking (bins, deciles, the top 10 %), rows with
equal predictions share their mean truth, so no metric depends on the order of the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import mean_tweedie_deviance

from features.arrays import Array
from models.metrics.bootstrap import Interval as Interval
from models.metrics.bootstrap import bootstrap as bootstrap
from models.metrics.bootstrap import paired_difference as paired_difference

_BINARY_CLIP = 1e-6
_CLASS_CLIP = 1e-4
CALIBRATION_BINS = 15
TWEEDIE_POWER = 1.5  # variance of spend grows with this power of its mean
LEAST_SHARE = 1e-3  # of the mean, below which a predicted amount is not taken
RARE_CLASS = 20  # macro-F1 leaves out classes with fewer rows


def _floats(*arrays: Any) -> list[Array]:
    """Arrays as float64 of one length; refuse empty, unequal or non-finite input."""
    converted = [np.asarray(array, dtype=np.float64) for array in arrays]
    if not converted[0].size:
        raise ValueError("a metric needs at least one row")
    if len({len(array) for array in converted}) != 1:
        raise ValueError(f"arrays differ in length: {[len(array) for array in converted]}")
    if not all(np.isfinite(array).all() for array in converted):
        raise ValueError("a metric is not defined for missing or infinite values")
    return converted


def _tied(score: Array, target: Array) -> Array:
    """Truth averaged over rows with the same score."""
    _, groups = np.unique(score, return_inverse=True)
    return np.asarray((np.bincount(groups, weights=target) / np.bincount(groups))[groups])


def _tenth(rows: int) -> int:
    return max(1, round(rows / 10))


def mean(values: Any) -> float:
    """Mean of the rows, such as the rate of an outcome."""
    return float(_floats(values)[0].mean())


# ------------------------------------------------------------------------------------- binary


def auc(target: Any, probability: Any) -> float:
    """Area under the ROC curve, ties counted half; NaN when `target` holds one class only."""
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


def log_loss(target: Any, p: Any) -> float:
    """Mean negative log-likelihood in nats of probabilities clipped at 1e-6."""
    return float(np.mean(log_losses(target, p)))


def brier(target: Any, probability: Any) -> float:
    """Mean squared difference of probability and outcome."""
    target, probability = _floats(target, probability)
    return float(np.mean((probability - target) ** 2))


def bin_edges(rows: int, bins: int) -> Array:
    """First row of every bin of equal count, and the number of rows."""
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
    """Mean and 95th percentile of the ECE of a perfectly calibrated model."""

    mean: float
    high: float


def ece_noise_floor(
    probability: Any, *, seed: int, repeats: int = 200, bins: int = CALIBRATION_BINS
) -> _NoiseFloor:
    """ECE of outcomes simulated from the predictions: a gate below it cannot be passed.

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
    draws = np.random.default_rng(seed).random((repeats, len(probability))) < probability
    values = [ece(draw, probability, bins=bins) for draw in draws]
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


def multiclass_log_losses(truth: Any, probability: Any) -> Array:
    """Negative log probability of the true class of each row (see `multiclass_log_loss`)."""
    truth = np.asarray(truth, dtype=int)
    return np.asarray(-np.log(_classes(probability)[np.arange(len(truth)), truth]))


def multiclass_log_loss(truth: Any, probability: Any) -> float:
    """Mean negative log probability of the true class; clipped at 1e-4 and renormalised.

    Parameters
    ----------
    truth
        Class codes, one a row, each a column of `probability`.
    probability
        Probabilities, rows x classes.
    """
    return float(np.mean(multiclass_log_losses(truth, probability)))


def multiclass_squares(truth: Any, probability: Any) -> Array:
    """Sum over classes of the squared difference to the one-hot truth, of each row."""
    probability = np.asarray(probability, dtype=np.float64)
    is_class = np.asarray(truth, dtype=int)[:, None] == np.arange(probability.shape[1])
    return np.asarray(np.sum((probability - is_class) ** 2, axis=1))


def multiclass_brier(truth: Any, probability: Any) -> float:
    """Sum over classes of the squared difference to the one-hot truth, averaged over rows."""
    return float(np.mean(multiclass_squares(truth, probability)))


def macro_f1(truth: Any, predicted: Any, *, min_count: int = RARE_CLASS) -> float:
    """Mean F1 over the classes with at least `min_count` true rows; NaN when there is none."""
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    scores = []
    for code in np.unique(truth):
        is_true, is_predicted = truth == code, predicted == code
        if is_true.sum() >= min_count:
            scores.append(2 * (is_true & is_predicted).sum() / (is_true.sum() + is_predicted.sum()))
    return float(np.mean(scores)) if scores else float("nan")


# --------------------------------------------------------------------------------- transitions


def integrated_squares(cif: Any, destination: Any, period: Any) -> Array:
    """Squared error of the cumulative incidences of each row (see `integrated_brier`)."""
    cif = np.asarray(cif, dtype=np.float64)
    period = np.asarray(period)[:, None]
    has_moved = (period > 0) & (period <= np.arange(1, cif.shape[1] + 1))
    is_destination = np.asarray(destination)[:, None] == np.arange(cif.shape[2])
    squared_error = np.sum(
        (cif - (has_moved[:, :, None] & is_destination[:, None, :])) ** 2, axis=2
    )
    return np.asarray(np.mean(squared_error + ((1 - cif.sum(axis=2)) - ~has_moved) ** 2, axis=1))


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


def destination_hits(probability: Any, destination: Any, period: Any) -> Array:
    """1 for each row that moved to its likeliest destination, else 0; NaN without a move."""
    is_hit = np.asarray(probability).argmax(axis=1) == np.asarray(destination)
    return np.where(np.asarray(period) > 0, is_hit, np.nan)


def top1_movers(probability: Any, destination: Any, period: Any) -> float:
    """Share of movers who went to their likeliest destination ("no change" left out).

    `probability` is rows x destinations at the horizon, `period` 0 for no move; NaN without movers.
    """
    return _mean_of_known(destination_hits(probability, destination, period))


def median_time_errors(moved_by: Any, period: Any) -> Array:
    """Absolute error of the median time of each row (see `median_time_mae`); NaN without a move."""
    period, moved_by = np.asarray(period), np.asarray(moved_by, dtype=np.float64)
    # The tolerance keeps a share of exactly one half on the right side of rounding errors.
    median_period = 1 + np.argmax(moved_by >= 0.5 * moved_by[:, -1:] - 1e-12, axis=1)
    return np.where(period > 0, np.abs(median_period - period), np.nan)


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
    observed = values[~np.isnan(values)]
    return float(observed.mean()) if len(observed) else float("nan")


# --------------------------------------------------------------------------------------- money


def mae(target: Any, predicted: Any) -> float:
    """Mean absolute error. With many zeros it rewards low predictions: see `bias_pct` too."""
    target, predicted = _floats(target, predicted)
    return float(np.mean(np.abs(predicted - target)))


def rmse(target: Any, predicted: Any) -> float:
    """Root of the mean squared error."""
    target, predicted = _floats(target, predicted)
    return float(np.sqrt(np.mean((predicted - target) ** 2)))


def tweedie(target: Any, predicted: Any, weights: Any = None) -> float:
    """Mean Tweedie deviance (power 1.5) of amounts over the mean of the actual ones.

    Predictions below a thousandth of the mean count as one; NaN for an actual total of 0.
    """
    target, predicted = _floats(target, predicted)
    scale = float(np.average(target, weights=weights))
    if not scale > 0:
        return float("nan")
    shares, expected = np.maximum(target, 0.0) / scale, np.maximum(predicted / scale, LEAST_SHARE)
    settings = {"sample_weight": weights, "power": TWEEDIE_POWER}
    return float(mean_tweedie_deviance(shares, expected, **settings))


def bias_pct(target: Any, predicted: Any) -> float:
    """Predicted total over actual total, minus one, in percent; NaN for an actual total of 0."""
    target, predicted = _floats(target, predicted)
    return float(100 * (predicted.sum() / target.sum() - 1)) if target.sum() else float("nan")


def spearman(target: Any, predicted: Any) -> float:
    """Rank correlation, mean ranks for ties; NaN when either side is constant."""
    target, predicted = (rankdata(array) for array in _floats(target, predicted))
    if np.ptp(target) == 0 or np.ptp(predicted) == 0:
        return float("nan")
    return float(np.corrcoef(target, predicted)[0, 1])


def _lorenz_area(target: Array, order_by: Array) -> float:
    """Area between the gains curve of `target`, best first, and the diagonal."""
    ordered_truth = _tied(order_by, target)[np.argsort(-order_by, kind="stable")]
    rows = len(target)
    return float(
        np.cumsum(ordered_truth).sum() / ordered_truth.sum() / rows - (rows + 1) / (2 * rows)
    )


def gini(target: Any, predicted: Any) -> float:
    """Gini of actual spend ordered by prediction over the same ordered by itself.

    NaN if actual spend is zero or the same for all customers.
    """
    target, predicted = _floats(target, predicted)
    if np.ptp(target) == 0 or target.sum() == 0:
        return float("nan")
    return _lorenz_area(target, predicted) / _lorenz_area(target, target)


def top10(target: Any, predicted: Any) -> float:
    """Share of the actual top 10 % of customers that are in the predicted top 10 %."""
    target, predicted = _floats(target, predicted)
    is_top = np.zeros(len(target))
    is_top[np.argsort(-target, kind="stable")[: _tenth(len(target))]] = 1
    top_predicted = np.argsort(-predicted, kind="stable")[: _tenth(len(target))]
    return float(_tied(predicted, is_top)[top_predicted].sum() / is_top.sum())


def decile_totals(target: Any, predicted: Any) -> tuple[Array, Array]:
    """Predicted and actual total of each decile of the prediction, lowest first."""
    target, predicted = _floats(target, predicted)
    order = np.argsort(predicted, kind="stable")
    edges = bin_edges(len(predicted), 10)[:-1]
    return np.add.reduceat(predicted[order], edges), np.add.reduceat(
        _tied(predicted, target)[order], edges
    )


def decile_error(target: Any, prediction: Any) -> float:
    """Mean over predicted deciles of |sum p - sum y| / sum y, a fraction.

    Deciles without actual spend are left out; NaN if all are.
    """
    predicted, actual = decile_totals(target, prediction)
    has_spend = actual > 0
    if not has_spend.any():
        return float("nan")
    return float(np.mean(np.abs(predicted - actual)[has_spend] / actual[has_spend]))


def mean_within(values: Any, members: Any) -> float:
    """Mean of the values of a group; NaN if it is empty.

    Parameters
    ----------
    values
        One number a row.
    members
        1 for the rows of the group, else 0.
    """
    weights = np.asarray(members, dtype=np.float64)
    total = float(weights.sum())
    return float(weights @ np.asarray(values, dtype=np.float64)) / total if total else float("nan")


def coverage(target: Any, lower: Any, upper: Any) -> float:
    """Share of actual values within the interval, ends included."""
    target, lower, upper = _floats(target, lower, upper)
    return float(np.mean((lower <= target) & (target <= upper)))


def width_ratio(target: Any, lower: Any, upper: Any) -> float:
    """Mean width of the interval over mean actual value; NaN for a mean of 0."""
    target, lower, upper = _floats(target, lower, upper)
    return float(np.mean(upper - lower) / target.mean()) if target.mean() else float("nan")
