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
AT_ONCE = 3_000_000  # rows x draws held in memory at a time


def customer_draws(customers: Any, everyone: Any, *, seed: int, repeats: int = REPEATS) -> Array:
    """How often each row is taken when everyone is drawn again with replacement.

    The draws are of `everyone`, so that the same customers are drawn at every test date, for every
    model and every method: differences and means over dates are paired by customer.

    Parameters
    ----------
    customers
        Customer of each row, all among `everyone`.
    everyone
        All customers of the data, once each, sorted.
    seed, repeats
        Seed and number of the draws.

    Returns
    -------
    Counts, draws x rows.
    """
    everyone = np.asarray(everyone)
    place = np.searchsorted(everyone, np.asarray(customers))
    found = np.empty((repeats, len(place)), dtype=np.uint8)
    for number in range(repeats):
        drawn = np.random.default_rng([seed, number]).integers(0, len(everyone), len(everyone))
        found[number] = np.bincount(drawn, minlength=len(everyone))[place]
    return found


def drawn(metric: Callable[..., float], counts: Array, *arguments: Any) -> Array:
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
    on_draws, size = ON_DRAWS[metric], max(1, AT_ONCE // max(counts.shape[1], 1))
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
    known = ~np.isnan(values)
    return np.asarray(counts[:, known] @ values[known] / counts[:, known].sum(axis=1))


def _rows(function: Callable[..., Array]) -> Callable[..., Array]:
    return lambda counts, *arguments: _mean(counts, function(*arguments))


def _rmse(counts: Array, y: Array, p: Array) -> Array:
    return np.sqrt(_mean(counts, (p - y) ** 2))


def _bias_pct(counts: Array, y: Array, p: Array) -> Array:
    return np.asarray(100 * (counts @ p / (counts @ y) - 1))


def _coverage(counts: Array, y: Array, low: Array, high: Array) -> Array:
    return _mean(counts, ((low <= y) & (y <= high)).astype(np.float64))


def _width_ratio(counts: Array, y: Array, low: Array, high: Array) -> Array:
    return _mean(counts, high - low) / _mean(counts, y)


def _macro_f1(counts: Array, truth: Array, predicted: Array) -> Array:
    total, classes = np.zeros(len(counts)), np.zeros(len(counts))
    for code in np.unique(truth):
        is_true, is_said = truth == code, predicted == code
        true = counts @ is_true
        f1 = 2 * (counts @ (is_true & is_said)) / (true + counts @ is_said)
        counted = true >= metrics.RARE_CLASS
        total += np.where(counted, f1, 0.0)
        classes += counted
    return np.where(classes > 0, total / classes, np.nan)


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
            np.pad(np.cumsum(self.sums(each), axis=1), ((0, 0), (1, 0)))
            for each in (counts, *weighted)
        ]


def _auc(counts: Array, y: Array, p: Array) -> Array:
    ranked = _Ranked.of(p)
    positive, everyone = ranked.sums(counts * y), ranked.sums(counts)
    negative = everyone - positive
    below = np.cumsum(negative, axis=1) - negative
    wins = (positive * (below + negative / 2)).sum(axis=1)
    return np.asarray(wins / (positive.sum(axis=1) * negative.sum(axis=1)))


def _top(rows: Array, total: Array) -> tuple[Array, Array]:
    """Sum of the tenth of the rows with the highest score, and their number, of each draw."""
    taken = np.maximum(1, np.round(rows[:, -1] / 10))
    below = [
        np.interp(rows[i, -1] - taken[i], rows[i], total[i]) for i in range(len(rows))
    ]  # one draw after the other: each has its own number of rows
    return total[:, -1] - np.asarray(below), taken


def _lift_10(counts: Array, y: Array, p: Array) -> Array:
    rows, total = _Ranked.of(p).up_to(counts, counts * y)
    top, taken = _top(rows, total)
    return np.asarray(top / taken / (total[:, -1] / rows[:, -1]))


def _top10(counts: Array, y: Array, p: Array) -> Array:
    order = np.argsort(-y, kind="stable")
    taken = np.maximum(1, np.round(counts.sum(axis=1) / 10))[:, None]
    before = np.cumsum(counts[:, order], axis=1) - counts[:, order]
    best = np.empty_like(counts)
    best[:, order] = np.clip(taken - before, 0, counts[:, order])
    rows, total = _Ranked.of(p).up_to(counts, best)
    return np.asarray(_top(rows, total)[0] / taken[:, 0])


def _bins(rows: Array, totals: list[Array], bins: int) -> list[list[Array]]:
    """Sums of bins of equal count, of each draw: first the rows, then every total."""
    found = []
    for i in range(len(rows)):
        edges = metrics.bin_edges(int(rows[i, -1]), bins)
        inside = [np.diff(edges).astype(np.float64)]
        inside += [np.diff(np.interp(edges, rows[i], total[i])) for total in totals]
        found.append(inside)
    return found


def _ece(counts: Array, y: Array, p: Array) -> Array:
    rows, predicted, observed = _Ranked.of(p).up_to(counts, counts * p, counts * y)
    return np.asarray(
        [
            np.abs(said - seen).sum() / n.sum() if n.sum() else np.nan
            for n, said, seen in _bins(rows, [predicted, observed], metrics.CALIBRATION_BINS)
        ]
    )


def _decile_error(counts: Array, y: Array, p: Array) -> Array:
    rows, predicted, actual = _Ranked.of(p).up_to(counts, counts * p, counts * y)
    found = []
    for _, said, seen in _bins(rows, [predicted, actual], 10):
        spent = seen > 1e-9  # what is left of 0 by taking differences of sums
        ratio = np.abs(said - seen)[spent] / seen[spent]
        found.append(ratio.mean() if spent.any() else np.nan)
    return np.asarray(found)


def _lorenz(counts: Array, y: Array, order_by: Array) -> Array:
    """Area between the gains curve of `y`, best first, and the diagonal."""
    ranked = _Ranked.of(-order_by)
    m, total = ranked.sums(counts), ranked.sums(counts * y)
    before = np.cumsum(total, axis=1) - total
    area = (m * before + total * (m + 1) / 2).sum(axis=1)
    rows = m.sum(axis=1)
    return np.asarray(area / total.sum(axis=1) / rows - (rows + 1) / (2 * rows))


def _gini(counts: Array, y: Array, p: Array) -> Array:
    own = _lorenz(counts, y, y)
    return np.where(own > 1e-12, _lorenz(counts, y, p) / own, np.nan)


def _middle_ranks(counts: Array, score: Array) -> Array:
    ranked = _Ranked.of(score)
    m = ranked.sums(counts)
    return np.asarray((np.cumsum(m, axis=1) - m + (m + 1) / 2)[:, ranked.group])


def _spearman(counts: Array, y: Array, p: Array) -> Array:
    rows = counts.sum(axis=1, keepdims=True)
    one, two = (_middle_ranks(counts, each) - (rows + 1) / 2 for each in (y, p))
    spread = (counts * one**2).sum(axis=1) * (counts * two**2).sum(axis=1)
    return np.where(spread > 0, (counts * one * two).sum(axis=1) / np.sqrt(spread), np.nan)


ON_DRAWS: dict[Callable[..., float], Callable[..., Array]] = {
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
    metrics.spearman: _spearman,
    metrics.gini: _gini,
    metrics.top10: _top10,
    metrics.decile_error: _decile_error,
    metrics.coverage: _coverage,
    metrics.width_ratio: _width_ratio,
}
