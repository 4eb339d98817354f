"""Metrics on draws equal the metrics of the rows so repeated; draws are of customers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation.customer_bootstrap import METRICS_ON_DRAWS, customer_draws, metric_draws
from models.metrics import metrics
from tests.tries import tries

ROWS, CLASSES, PERIODS = 90, 3, 4


def money(random: np.random.Generator) -> tuple[Any, ...]:
    """Many zeros and many ties, as spend and its predictions have them."""
    y = np.where(random.random(ROWS) < 0.4, 0.0, random.integers(1, 40, ROWS)).astype(float)
    return y, np.round(random.gamma(2.0, 8.0, ROWS))


def chances(random: np.random.Generator) -> tuple[Any, ...]:
    p = np.round(random.beta(1, 3, ROWS), 1)
    return (random.random(ROWS) < p).astype(float), p


def classes(random: np.random.Generator) -> tuple[Any, ...]:
    return random.integers(0, CLASSES, ROWS), random.dirichlet(np.ones(CLASSES), ROWS)


def moves(random: np.random.Generator) -> tuple[Any, ...]:
    raw = random.dirichlet(np.ones(CLASSES * PERIODS + 1), ROWS)[:, :-1]
    cif = np.cumsum(raw.reshape(ROWS, PERIODS, CLASSES), axis=1)
    return cif, random.integers(0, CLASSES, ROWS), random.integers(0, PERIODS + 1, ROWS)


ARGUMENTS: dict[Callable[..., float], Callable[[np.random.Generator], tuple[Any, ...]]] = {
    **dict.fromkeys(
        (
            metrics.log_loss,
            metrics.brier,
            metrics.auc,
            metrics.lift_10,
            metrics.ece,
        ),
        chances,
    ),
    **dict.fromkeys(
        (
            metrics.bias_pct,
            metrics.mae,
            metrics.rmse,
            metrics.tweedie,
            metrics.spearman,
            metrics.gini,
        ),
        money,
    ),
    **dict.fromkeys((metrics.top10, metrics.decile_error), money),
    metrics.mean: lambda random: money(random)[:1],
    metrics.mean_within: lambda random: (money(random)[0], random.integers(0, 2, ROWS) * 1.0),
    metrics.coverage: lambda random: (*money(random), money(random)[1] + 9),
    metrics.width_ratio: lambda random: (*money(random), money(random)[1] + 9),
    metrics.multiclass_log_loss: classes,
    metrics.multiclass_brier: classes,
    metrics.macro_f1: lambda random: tuple(random.integers(0, CLASSES, (2, ROWS))),
    metrics.integrated_brier: moves,
    metrics.top1_movers: lambda random: (moves(random)[0][:, -1], *moves(random)[1:]),
    metrics.median_time_mae: lambda random: (
        moves(random)[0].sum(axis=2),
        moves(random)[2],
    ),
}


def test_every_metric_on_draws_is_tested_here() -> None:
    assert set(ARGUMENTS) == set(METRICS_ON_DRAWS)


@pytest.mark.parametrize("metric", ARGUMENTS, ids=lambda metric: metric.__name__)
@settings(max_examples=tries(12))
@given(seed=st.integers(0, 10_000), all_drawn=st.booleans())
def test_a_draw_is_worth_the_rows_repeated(
    metric: Callable[..., float], seed: int, all_drawn: bool
) -> None:
    random = np.random.default_rng(seed)
    arguments = ARGUMENTS[metric](random)
    counts = random.poisson(1.0, (3, ROWS)) + all_drawn
    for found, draw in zip(metric_draws(metric, counts, *arguments), counts, strict=True):
        taken = np.repeat(np.arange(ROWS), draw)
        expected = metric(*(each[taken] for each in arguments))
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)


def test_what_is_not_defined_on_a_draw_is_not_a_number() -> None:
    counts = np.array([[2, 0, 1], [0, 0, 0]])
    y, p = np.array([0.0, 1.0, 0.0]), np.array([0.1, 0.5, 0.3])
    for metric in (metrics.auc, metrics.gini, metrics.lift_10):
        assert np.isnan(metric_draws(metric, counts, y, p)).all(), metric
    for metric in (
        metrics.log_loss,
        metrics.ece,
        metrics.spearman,
        metrics.decile_error,
    ):
        assert np.isnan(metric_draws(metric, counts, y, p)[1]), metric


def test_the_same_customers_are_drawn_at_every_date_and_in_chunks() -> None:
    everyone = np.array(["a", "b", "c", "d", "e"])
    one = customer_draws(["b", "e"], everyone, seed=3, repeats=400)
    two = customer_draws(["e", "a", "b"], everyone, seed=3, repeats=400)
    np.testing.assert_array_equal(one, two[:, [2, 0]])
    all_of_them = customer_draws(everyone, everyone, seed=3, repeats=400)
    assert (all_of_them.sum(axis=1) == 5).all()
    assert not np.array_equal(one, customer_draws(["b", "e"], everyone, seed=4, repeats=400))
    assert one.mean() == pytest.approx(1.0, abs=0.1)


def test_many_rows_are_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    y, p = chances(random)
    counts = random.poisson(1.0, (7, ROWS))
    whole = metric_draws(metrics.auc, counts, y, p)
    monkeypatch.setattr("models.evaluation.customer_bootstrap.CELLS_AT_ONCE", 2 * ROWS)
    np.testing.assert_array_equal(metric_draws(metrics.auc, counts, y, p), whole)


def test_the_interval_of_a_mean_is_the_textbook_one() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, 2_000)
    ids = np.arange(2_000)
    draws = metric_draws(metrics.mean, customer_draws(ids, ids, seed=1, repeats=600), values)
    assert draws.std() == pytest.approx(values.std() / np.sqrt(2_000), rel=0.1)
