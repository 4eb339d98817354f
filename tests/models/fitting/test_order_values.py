"""Money an order: drawn orders of both kinds, and an oracle for each likelihood."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from models.fitting.order_values import (
    OrderSums,
    fit_order_values,
    gamma_orders,
    log_normal_orders,
)
from tests.tries import tries


def sums_of(orders: list[np.ndarray]) -> OrderSums:
    logs = [np.log(one) for one in orders]
    return OrderSums(
        np.array([len(one) for one in orders], dtype=float),
        np.array([one.sum() for one in orders]),
        np.array([one.sum() for one in logs]),
        np.array([(one**2).sum() for one in logs]),
    )


def drawn_gamma(seed: int, n: int = 1500) -> tuple[list[np.ndarray], np.ndarray]:
    random = np.random.default_rng(seed)
    rates = random.gamma(4.0, size=n) / 60.0
    orders = [random.gamma(3.0, size=random.integers(1, 8)) / rate for rate in rates]
    return orders, 3.0 / rates


def drawn_log_normal(seed: int, n: int = 1500) -> tuple[list[np.ndarray], np.ndarray]:
    random = np.random.default_rng(seed)
    effects = random.normal(3.0, 0.4, n)
    orders = [np.exp(random.normal(one, 0.9, random.integers(1, 8))) for one in effects]
    return orders, np.exp(effects + 0.9**2 / 2)


@pytest.mark.parametrize(
    ("drawn", "model"), [(drawn_gamma, "gamma"), (drawn_log_normal, "log_normal")]
)
def test_the_true_model_is_chosen_and_its_means_are_right(drawn, model):
    orders, truth = drawn(7)
    found = fit_order_values(sums_of(orders))
    assert found.model == model
    assert found.converged
    assert found.expected.mean() == pytest.approx(truth.mean(), rel=0.05)
    # Closer to the truth than the mean of a customer's own orders.
    own = np.array([one.mean() for one in orders])
    assert np.mean((found.expected - truth) ** 2) < np.mean((own - truth) ** 2)


def test_the_variance_of_the_next_order_is_right():
    orders, _ = drawn_log_normal(8, n=4000)
    known, last = [one[:-1] for one in orders], np.array([one[-1] for one in orders])
    found = log_normal_orders(sums_of(known))
    apart = (last - found.expected) ** 2 / found.variance
    assert apart.mean() == pytest.approx(1.0, abs=0.25)


def test_customers_without_orders_get_the_mean_of_all():
    orders, truth = drawn_log_normal(9)
    found = log_normal_orders(sums_of([*orders, np.empty(0)]))
    assert found.expected[-1] == pytest.approx(truth.mean(), rel=0.1)


def test_the_log_normal_likelihood_is_that_of_correlated_normals():
    orders, _ = drawn_log_normal(10, n=60)
    found = log_normal_orders(sums_of(orders))

    def oracle(m: float, s2: float, t2: float) -> float:
        total = 0.0
        for one in orders:
            covariance = s2 * np.eye(len(one)) + t2
            total += multivariate_normal.logpdf(np.log(one), np.full(len(one), m), covariance)
            total -= np.log(one).sum()
        return total

    grid = [
        oracle(m, s2, t2)
        for m in np.linspace(2.6, 3.4, 9)
        for s2 in np.linspace(0.5, 1.1, 7)
        for t2 in np.linspace(0.02, 0.5, 7)
    ]
    assert found.log_likelihood >= max(grid) - 1e-9
    assert found.log_likelihood == pytest.approx(max(grid), abs=2.0)


@given(unit=st.floats(0.01, 100.0), seed=st.integers(0, 5))
@settings(max_examples=tries(10), deadline=None)
def test_another_currency_changes_the_means_alone(unit, seed):
    orders, _ = drawn_gamma(seed, n=80)
    one, other = sums_of(orders), sums_of([unit * values for values in orders])
    for fit in (gamma_orders, log_normal_orders):
        np.testing.assert_allclose(fit(other).expected, unit * fit(one).expected, rtol=1e-2)
        number = one.orders.sum()
        moved = fit(one).log_likelihood - number * np.log(unit)
        assert fit(other).log_likelihood == pytest.approx(moved, abs=0.1)


def test_one_huge_order_moves_no_other_customer_by_much():
    orders, _ = drawn_log_normal(11, n=300)
    with_giant = [np.append(orders[0], 50_000.0), *orders[1:]]
    before, after = log_normal_orders(sums_of(orders)), log_normal_orders(sums_of(with_giant))
    np.testing.assert_allclose(after.expected[1:], before.expected[1:], rtol=0.15)


def test_too_few_orders_are_refused():
    with pytest.raises(ValueError, match="ten orders"):
        fit_order_values(sums_of([np.array([5.0, 6.0])]))
