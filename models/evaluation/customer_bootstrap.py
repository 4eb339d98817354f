"""Metrics of many draws of customers at once, from rows that are sorted once.

A draw is how often each row is taken (a row of counts). Every function here gives, for each draw,
what the metric of the same name in `models.metrics.metrics` gives on the rows so repeated;
sorting once
instead of once a draw makes intervals of every figure affordable. Metrics look at rows through
sums within groups of equal predictions, and sums of repeated rows are weighted sums.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from features.arrays import Array
from models.metrics import metrics

REPEATS = 200
CELLS_AT_ONCE = 3_000_000  # rows x draws held in memory at a time


def customer_draws(
    customers: Any, all_customers: Any, *, seed: int, repeats: int = REPEATS
) -> Array:
    """How often each row is taken when everyone is drawn again with replacement.

    The draws are of `all_customers`, so that the same customers are drawn at every test date, for
    every model and every method: differences and means over dates are paired by customer.

    Parameters
    ----------
    customers
        Customer of each row, all among `all_customers`.
    all_customers
        All customers of the data, once each, sorted.
    seed, repeats
        Seed and number of the draws.

    Returns
    -------
    Counts, draws x rows.
    """
    all_customers = np.asarray(all_customers)
    positions = np.searchsorted(all_customers, np.asarray(customers))
    draw_counts = np.empty((repeats, len(positions)), dtype=np.uint8)
    for number in range(repeats):
        metric_draws = np.random.default_rng([seed, number]).integers(
            0, len(all_customers), len(all_customers)
        )
        draw_counts[number] = np.bincount(metric_draws, minlength=len(all_customers))[positions]
    return draw_counts


def metric_draws(metric: Callable[..., float], counts: Array, *arguments: Any) -> Array:
    """A metric of `models.metrics.metrics` on every draw.

    Parameters
    ----------
    metric
        One that `ON_DRAWS` knows.
    counts
        Draws x rows.
    arguments
        Of the metric, aligned with the rows.

    Returns
    -------
    One value a draw, NaN where the metric is not defined there (or nobody was drawn).
    """
    on_draws, size = METRICS_ON_DRAWS[metric], max(1, CELLS_AT_ONCE // max(counts.shape[1], 1))
    values = [np.asarray(each) for each in arguments]
    with np.errstate(invalid="ignore", divide="ignore"):
        parts = [
            on_draws(counts[first : first + size].astype(np.float64), *values)
            for first in range(0, len(counts), size)
        ]
    found = np.concatenate(parts)
    return np.where(np.isfinite(found), found, np.nan)


# ---------------------------------------------------------------------------------- means of rows


def _mean(counts: Array, values: Array) -> Array:
    """Weighted mean of the rows that have a value."""
    has_value = ~np.isnan(values)
    return np.asarray(counts[:, has_value] @ values[has_value] / counts[:, has_value].sum(axis=1))


def _rows(function: Callable[..., Array]) -> Callable[..., Array]:
    return lambda counts, *arguments: _mean(counts, function(*arguments))


def _rmse(counts: Array, target: Array, prediction: Array) -> Array:
    return np.sqrt(_mean(counts, (prediction - target) ** 2))


def _tweedie(counts: Array, target: Array, prediction: Array) -> Array:
    """Deviance by the mean of every draw; a draw without spend has none."""
    values = np.full(len(counts), np.nan)
    for number, weights in enumerate(counts):
        drawn = weights > 0
        if weights[drawn] @ target[drawn] > 0:
            values[number] = metrics.tweedie(target[drawn], prediction[drawn], weights[drawn])
    return values


def _bias_pct(counts: Array, target: Array, prediction: Array) -> Array:
    return np.asarray(100 * (counts @ prediction / (counts @ target) - 1))


def _mean_within(counts: Array, values: Array, members: Array) -> Array:
    totals = counts @ members
    with np.errstate(invalid="ignore"):
        return np.asarray((counts @ (values * members)) / totals)


def _coverage(counts: Array, target: Array, low: Array, high: Array) -> Array:
    return _mean(counts, ((low <= target) & (target <= high)).astype(np.float64))


def _width_ratio(counts: Array, target: Array, low: Array, high: Array) -> Array:
    return _mean(counts, high - low) / _mean(counts, target)


def _macro_f1(counts: Array, target: Array, predicted: Array) -> Array:
    f1_sum, class_count = np.zeros(len(counts)), np.zeros(len(counts))
    for code in np.unique(target):
        is_true, is_predicted = target == code, predicted == code
        true_count = counts @ is_true
        class_f1 = 2 * (counts @ (is_true & is_predicted)) / (true_count + counts @ is_predicted)
        is_counted = true_count >= metrics.RARE_CLASS
        f1_sum += np.where(is_counted, class_f1, 0.0)
        class_count += is_counted
    return np.where(class_count > 0, f1_sum / class_count, np.nan)


# ----------------------------------------------------------------------------------------- ranks


@dataclass(frozen=True)
class _Ranked:
    """Rows in rising order of a score, equal scores together."""

    order: Array
    starts: Array
    group: Array  # of each row, in the order of the rows

    @classmethod
    def of(cls, score: Array) -> _Ranked:
        order = np.argsort(score, kind="stable")
        steps = np.diff(score[order]) != 0
        starts = np.r_[0, np.flatnonzero(steps) + 1]
        group = np.empty(len(score), dtype=int)
        group[order] = np.r_[0, np.cumsum(steps)]
        return cls(order, starts, group)

    def sums(self, weighted: Array) -> Array:
        """Sum of every group, draws x groups."""
        return np.asarray(np.add.reduceat(weighted[:, self.order], self.starts, axis=1))

    def up_to(self, counts: Array, *weighted: Array) -> list[Array]:
        """Rows drawn, and sums, up to the end of each group, a 0 before the first.

        Between two ends all are linear: rows of equal score share their mean.
        """
        return [
            np.pad(np.cumsum(self.sums(weights), axis=1), ((0, 0), (1, 0)))
            for weights in (counts, *weighted)
        ]


def _auc(counts: Array, target: Array, probability: Array) -> Array:
    ranked = _Ranked.of(probability)
    positive, group_rows = ranked.sums(counts * target), ranked.sums(counts)
    negative = group_rows - positive
    below = np.cumsum(negative, axis=1) - negative
    wins = (positive * (below + negative / 2)).sum(axis=1)
    return np.asarray(wins / (positive.sum(axis=1) * negative.sum(axis=1)))


def _top(rows: Array, total: Array) -> tuple[Array, Array]:
    """Sum of the tenth of the rows with the highest score, and their number, of each draw."""
    top_count = np.maximum(1, np.round(rows[:, -1] / 10))
    below = [
        np.interp(rows[i, -1] - top_count[i], rows[i], total[i]) for i in range(len(rows))
    ]  # one draw after the other: each has its own number of rows
    return total[:, -1] - np.asarray(below), top_count


def _lift_10(counts: Array, target: Array, probability: Array) -> Array:
    cumulative_rows, cumulative_target = _Ranked.of(probability).up_to(counts, counts * target)
    top_sum, top_count = _top(cumulative_rows, cumulative_target)
    return np.asarray(top_sum / top_count / (cumulative_target[:, -1] / cumulative_rows[:, -1]))


def _top10(counts: Array, target: Array, prediction: Array) -> Array:
    order = np.argsort(-target, kind="stable")
    top_count = np.maximum(1, np.round(counts.sum(axis=1) / 10))[:, None]
    before = np.cumsum(counts[:, order], axis=1) - counts[:, order]
    best_counts = np.empty_like(counts)
    best_counts[:, order] = np.clip(top_count - before, 0, counts[:, order])
    cumulative_rows, cumulative_best = _Ranked.of(prediction).up_to(counts, best_counts)
    return np.asarray(_top(cumulative_rows, cumulative_best)[0] / top_count[:, 0])


def _bins(rows: Array, totals: list[Array], bins: int) -> list[list[Array]]:
    """Sums of bins of equal count, of each draw: first the rows, then every total."""
    bin_sums = []
    for i in range(len(rows)):
        edges = metrics.bin_edges(int(rows[i, -1]), bins)
        draw_sums = [np.diff(edges).astype(np.float64)]
        draw_sums += [np.diff(np.interp(edges, rows[i], total[i])) for total in totals]
        bin_sums.append(draw_sums)
    return bin_sums


def _ece(counts: Array, target: Array, probability: Array) -> Array:
    cumulative_rows, predicted, observed = _Ranked.of(probability).up_to(
        counts, counts * probability, counts * target
    )
    return np.asarray(
        [
            np.abs(bin_predicted - bin_observed).sum() / bin_rows.sum()
            if bin_rows.sum()
            else np.nan
            for bin_rows, bin_predicted, bin_observed in _bins(
                cumulative_rows, [predicted, observed], metrics.CALIBRATION_BINS
            )
        ]
    )


def _decile_error(counts: Array, target: Array, prediction: Array) -> Array:
    cumulative_rows, predicted, actual = _Ranked.of(prediction).up_to(
        counts, counts * prediction, counts * target
    )
    errors = []
    for _, decile_predicted, decile_actual in _bins(cumulative_rows, [predicted, actual], 10):
        has_spend = decile_actual > 1e-9  # what is left of 0 by taking differences of sums
        relative_errors = (
            np.abs(decile_predicted - decile_actual)[has_spend] / decile_actual[has_spend]
        )
        errors.append(relative_errors.mean() if has_spend.any() else np.nan)
    return np.asarray(errors)


def _lorenz(counts: Array, target: Array, order_by: Array) -> Array:
    """Area between the gains curve of `target`, best first, and the diagonal."""
    ranked = _Ranked.of(-order_by)
    group_rows, group_target = ranked.sums(counts), ranked.sums(counts * target)
    before = np.cumsum(group_target, axis=1) - group_target
    curve_area = (group_rows * before + group_target * (group_rows + 1) / 2).sum(axis=1)
    row_count = group_rows.sum(axis=1)
    return np.asarray(
        curve_area / group_target.sum(axis=1) / row_count - (row_count + 1) / (2 * row_count)
    )


def _gini(counts: Array, target: Array, prediction: Array) -> Array:
    perfect_area = _lorenz(counts, target, target)
    return np.where(
        perfect_area > 1e-12, _lorenz(counts, target, prediction) / perfect_area, np.nan
    )


def _middle_ranks(counts: Array, score: Array) -> Array:
    ranked = _Ranked.of(score)
    group_rows = ranked.sums(counts)
    return np.asarray(
        (np.cumsum(group_rows, axis=1) - group_rows + (group_rows + 1) / 2)[:, ranked.group]
    )


def _spearman(counts: Array, target: Array, prediction: Array) -> Array:
    row_count = counts.sum(axis=1, keepdims=True)
    target_rank, prediction_rank = (
        _middle_ranks(counts, values) - (row_count + 1) / 2 for values in (target, prediction)
    )
    variance_product = (counts * target_rank**2).sum(axis=1) * (counts * prediction_rank**2).sum(
        axis=1
    )
    return np.where(
        variance_product > 0,
        (counts * target_rank * prediction_rank).sum(axis=1) / np.sqrt(variance_product),
        np.nan,
    )


METRICS_ON_DRAWS: dict[Callable[..., float], Callable[..., Array]] = {
    metrics.log_loss: _rows(metrics.log_losses),
    metrics.brier: _rows(lambda y, p: (p - y) ** 2),
    metrics.mean: _rows(lambda values: values),
    metrics.auc: _auc,
    metrics.lift_10: _lift_10,
    metrics.ece: _ece,
    metrics.bias_pct: _bias_pct,
    metrics.multiclass_log_loss: _rows(metrics.multiclass_log_losses),
    metrics.multiclass_brier: _rows(metrics.multiclass_squares),
    metrics.macro_f1: _macro_f1,
    metrics.integrated_brier: _rows(metrics.integrated_squares),
    metrics.top1_movers: _rows(metrics.destination_hits),
    metrics.median_time_mae: _rows(metrics.median_time_errors),
    metrics.mae: _rows(lambda y, p: np.abs(p - y)),
    metrics.rmse: _rmse,
    metrics.tweedie: _tweedie,
    metrics.spearman: _spearman,
    metrics.gini: _gini,
    metrics.top10: _top10,
    metrics.decile_error: _decile_error,
    metrics.coverage: _coverage,
    metrics.mean_within: _mean_within,
    metrics.width_ratio: _width_ratio,
}
