"""Metrics at their edges: where there is no figure, at ties, at boundaries, and pinned ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from models.metrics import metrics

NAN = float("nan")
RISING = np.arange(1.0, 161.0)


@pytest.mark.parametrize(
    ("metric", "arguments", "expected"),
    [
        (metrics.auc, ([1, 1], [0.1, 0.2]), NAN),
        (metrics.auc, ([0, 0], [0.1, 0.2]), NAN),
        (metrics.auc, ([0, 1], [0.2, 0.2]), 0.5),
        (metrics.lift_10, ([1, 1], [0.1, 0.2]), 1.0),
        (metrics.bias_pct, ([0, 0], [1, 2]), NAN),
        (metrics.bias_pct, ([4, 6], [3, 4]), -30.0),
        (metrics.spearman, ([1, 1], [1, 2]), NAN),
        (metrics.spearman, ([1, 2], [1, 1]), NAN),
        (metrics.spearman, ([1, 2, 3], [3, 2, 1]), -1.0),
        (metrics.gini, ([2, 2], [1, 2]), NAN),
        (metrics.gini, ([0, 0], [1, 2]), NAN),
        (metrics.gini, ([-1, 1], [1, 2]), NAN),
        (metrics.gini, ([1, 2], [1, 2]), 1.0),
        (metrics.gini, ([1, 2], [2, 1]), -1.0),
        (metrics.gini, ([1, 2], [1, 1]), 0.0),
        (metrics.width_ratio, ([0, 0], [1, 1], [2, 2]), NAN),
        (metrics.width_ratio, ([1, 3], [0, 0], [2, 4]), 1.5),
        (metrics.coverage, ([1, 2], [1, 0], [1, 2]), 1.0),
        (metrics.coverage, ([1, 2], [1.5, 0], [3, 1.5]), 0.0),
        (metrics.rmse, ([0, 0], [3, 4]), 12.5**0.5),
        (metrics.mae, ([0, 0], [-3, 4]), 3.5),
        (metrics.mean, ([1, 2, 6],), 3.0),
        (metrics.brier, ([True, False], [True, True]), 0.5),
        (metrics.macro_f1, (np.r_[[0] * 20, [1] * 19], np.zeros(39)), 40 / 59),
        (partial(metrics.macro_f1, min_count=1), ([0, 0, 1], [0, 1, 1]), 2 / 3),
    ],
)
def test_by_hand(
    metric: Callable[..., float], arguments: tuple[list[float], ...], expected: float
) -> None:
    assert metric(*arguments) == pytest.approx(expected, nan_ok=True)


def test_the_best_tenth_is_rounded_and_never_nobody() -> None:
    def best(rows: int) -> float:
        # The first is worth 1, the others nothing: its share of the top tells how many they are.
        y = np.zeros(rows)
        y[0] = 1
        return rows / metrics.lift_10(y, -np.arange(float(rows)))

    assert [best(rows) for rows in (1, 4, 14, 16, 160)] == pytest.approx([1, 1, 1, 2, 16])


def test_the_top_tenth_is_found_in_part_where_predictions_tie() -> None:
    assert metrics.top10(RISING, RISING) == 1.0
    assert metrics.top10(RISING, -RISING) == 0.0
    assert metrics.top10(RISING, np.zeros(160)) == pytest.approx(0.1)
    # The sixteen best are predicted alike with sixteen others.
    assert metrics.top10(RISING, RISING > 128) == pytest.approx(0.5)


def test_deciles_are_sixteen_rows_each_lowest_prediction_first() -> None:
    predicted, actual = metrics.decile_totals(RISING, 2 * RISING)
    assert actual.tolist() == [sum(range(16 * n + 1, 16 * n + 17)) for n in range(10)]
    assert predicted.tolist() == (2 * actual).tolist()
    _, reversed_ = metrics.decile_totals(RISING, -RISING)
    assert reversed_.tolist() == actual[::-1].tolist()
    assert metrics.decile_error(RISING, RISING + 1) == pytest.approx(np.mean(16 / actual))


def test_fewer_rows_than_bins_are_a_bin_each() -> None:
    assert metrics.bin_edges(3, 15).tolist() == [0, 1, 2, 3]
    assert metrics.bin_edges(7, 2).tolist() == [0, 4, 7]
    predicted, observed, counts = metrics.reliability_bins([1, 0, 1], [0.3, 0.1, 0.2])
    assert predicted.tolist() == [0.1, 0.2, 0.3]
    assert observed.tolist() == [0.0, 1.0, 1.0]
    assert counts.tolist() == [1, 1, 1]
    assert metrics.ece([1, 0, 1], [0.3, 0.1, 0.2]) == pytest.approx((0.7 + 0.1 + 0.8) / 3)


def test_bins_weigh_by_their_rows() -> None:
    # Seven rows in two bins of four and three: |0.25 - 0.5| x 4 / 7.
    y, p = [1, 0, 0, 0, 1, 1, 1], [0.5, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0]
    assert metrics.ece(y, p, bins=2) == pytest.approx(1 / 7)


def test_the_noise_floor_is_pinned() -> None:
    p = np.linspace(0.05, 0.95, 90)
    floor = metrics.ece_noise_floor(p, seed=1)
    draws = np.random.default_rng(1).random((200, 90)) < p
    errors = [metrics.ece(draw, p, bins=15) for draw in draws]
    assert floor.mean == np.mean(errors)
    assert floor.high == np.quantile(errors, 0.95)
    few = metrics.ece_noise_floor(p, seed=1, repeats=50, bins=5)
    assert few.mean == pytest.approx(np.mean([metrics.ece(d, p, bins=5) for d in draws[:50]]))


def test_classes_are_clipped_at_a_ten_thousandth_and_renormalised() -> None:
    losses = metrics.multiclass_log_losses([0, 1], [[0, 1], [0, 1]])
    assert losses == pytest.approx([np.log(1.0001 / 1e-4), np.log(1.0001)])
    assert metrics.multiclass_log_loss([0, 1], [[0, 1], [0, 1]]) == pytest.approx(losses.mean())
    assert metrics.multiclass_squares([1], [[0.25, 0.5, 0.25]]).tolist() == [0.375]


def test_the_median_time_holds_at_exactly_one_half() -> None:
    total = 0.1 + 0.2  # a little over .3: half of it a little over .15
    errors = metrics.median_time_errors([[0.15, total], [0.0, total], [0.15, total]], [1, 1, 0])
    assert errors[:2].tolist() == [0.0, 1.0]
    assert np.isnan(errors[2])


def test_integrated_squares_know_when_somebody_moved() -> None:
    never = metrics.integrated_squares(np.zeros((1, 2, 2)), [0], [0])
    late = metrics.integrated_squares(np.zeros((1, 2, 2)), [0], [2])
    early = metrics.integrated_squares(np.zeros((1, 2, 2)), [1], [1])
    assert [float(x[0]) for x in (never, late, early)] == [0.0, 1.0, 2.0]


def test_hits_count_movers_only() -> None:
    hits = metrics.destination_hits([[0.1, 0.9], [0.9, 0.1], [0.1, 0.9]], [1, 1, 1], [1, 2, 0])
    assert hits[:2].tolist() == [1.0, 0.0]
    assert np.isnan(hits[2])


@pytest.mark.parametrize(
    ("metric", "arguments", "message"),
    [
        (metrics.mean, ([],), "a metric needs at least one row"),
        (metrics.mae, ([1, 2], [1]), "arrays differ in length: [2, 1]"),
        (
            metrics.mae,
            ([1], [np.inf]),
            "a metric is not defined for missing or infinite values",
        ),
        (
            metrics.mae,
            ([NAN], [1]),
            "a metric is not defined for missing or infinite values",
        ),
    ],
)
def test_refusals(
    metric: Callable[..., float], arguments: tuple[list[float], ...], message: str
) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 (the whole message is compared)
        metric(*arguments)
    assert str(refused.value) == message
