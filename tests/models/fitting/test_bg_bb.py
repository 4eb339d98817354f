"""BG/BB: every history written out, and customers drawn one by one."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime
from scipy.special import beta as beta_function

from models.fitting.bg_bb import BGBB
from tests.tries import tries

shape = st.floats(0.1, 10.0)


def model(alpha: float, beta: float, gamma: float, delta: float) -> BGBB:
    fit = BGBB()
    fit.alpha_, fit.beta_, fit.gamma_, fit.delta_ = alpha, beta, gamma, delta
    return fit


def drawn_cohort(
    seed: int, truth: tuple[float, ...], *, n: int, years: int, ahead: int
) -> tuple[np.ndarray, np.ndarray]:
    """Patterns x, t_x, n, customers of a cohort, and who buys at each occasion."""
    random, (alpha, beta, gamma, delta) = np.random.default_rng(seed), truth
    buys, drops = random.beta(alpha, beta, n), random.beta(gamma, delta, n)
    active = np.ones(n, dtype=bool)
    bought = np.zeros((n, years + ahead), dtype=bool)
    for year in range(years + ahead):
        active &= random.random(n) >= drops
        bought[:, year] = active & (random.random(n) < buys)
    known = bought[:, :years]
    last = np.where(known.any(axis=1), years - known[:, ::-1].argmax(axis=1), 0)
    rows = np.column_stack([known.sum(axis=1), last])
    patterns, counts = np.unique(rows, axis=0, return_counts=True)
    return np.column_stack([patterns, np.full(len(patterns), years), counts]).astype(float), bought


def chance_of(history: tuple[int, ...], alpha: float, beta: float, gamma: float, delta: float):
    """P(this history), by summing over the occasion before which the customer drops out."""
    total, n = 0.0, len(history)
    for active in range(n + 1):  # occasions of activity
        if any(history[active:]):
            continue
        bought = sum(history[:active])
        bought_chance = beta_function(alpha + bought, beta + active - bought)
        stayed = beta_function(gamma + (active < n), delta + active)
        total += bought_chance * stayed / beta_function(alpha, beta) / beta_function(gamma, delta)
    return total


@given(alpha=shape, beta=shape, gamma=shape, delta=shape)
@settings(max_examples=tries(20), deadline=None)
def test_likelihood_and_forecast_are_sums_over_all_histories(alpha, beta, gamma, delta):
    shapes, ahead = (alpha, beta, gamma, delta), 2
    fit = model(*shapes)
    total = 0.0
    for history in product((0, 1), repeat=3):
        x, t_x = sum(history), max((i + 1 for i, one in enumerate(history) if one), default=0)
        row = np.array([[x, t_x, 3.0, 1.0]])
        chance = chance_of(history, *shapes)
        total += chance
        assert np.exp(fit.score(row)) == pytest.approx(chance, rel=1e-9)
        later = {more: chance_of(history + more, *shapes) / chance
                 for more in product((0, 1), repeat=ahead)}  # fmt: skip
        mean = sum(sum(more) * share for more, share in later.items())
        square = sum(sum(more) ** 2 * share for more, share in later.items())
        found = fit.forecast(row, occasions=ahead)
        assert found.expected[0] == pytest.approx(mean, rel=1e-8)
        assert found.variance[0] == pytest.approx(square - mean**2, rel=1e-6, abs=1e-12)
    assert total == pytest.approx(1.0)


@given(theta=st.lists(st.floats(-2, 2), min_size=4, max_size=4))
@settings(max_examples=tries(25), deadline=None)
def test_gradient(theta):
    rows = np.array([[0, 0, 4, 5], [1, 1, 4, 2], [2, 4, 4, 1], [3, 3, 6, 4.0]])
    objective = BGBB()._objective(*rows.T)
    numeric = approx_fprime(np.array(theta), lambda at: objective(at)[0], 1e-6)
    assert objective(np.array(theta))[1] == pytest.approx(numeric, abs=2e-4, rel=2e-4)


@pytest.mark.parametrize(
    ("truth", "years"),
    [
        pytest.param((1.2, 0.8, 0.6, 2.5), 6, id="many buy nearly always"),
        pytest.param((0.7, 1.5, 0.8, 4.0), 8, id="most buy seldom"),
    ],
)
def test_a_fit_of_drawn_customers_finds_the_truth_and_forecasts_what_they_do(truth, years):
    ahead = 4
    inputs, bought = drawn_cohort(3, truth, n=20_000, years=years, ahead=ahead)
    fit = BGBB().fit(inputs)
    assert fit.converged_
    assert fit.n_customers_ == 20_000
    forecast, counts = fit.forecast(inputs, occasions=ahead), inputs[:, 3]
    noise = np.sqrt(counts @ forecast.variance)
    assert abs(bought[:, years:].sum() - counts @ forecast.expected) < 5 * noise
    # The errors of the parameters: the truth is within four of them.
    errors = np.sqrt(np.diag(fit.covariance_))
    assert (np.abs(fit.log_parameters - np.log(truth)) < 4 * errors).all()
    assert (errors < 0.25).all()
    # No parameters near the truth are more likely.
    assert fit.score(inputs) >= model(*truth).score(inputs)


@pytest.mark.parametrize(
    "row",
    [
        pytest.param([2, 1, 6, 10], id="more purchases than occasions until the last"),
        pytest.param([1, 7, 6, 10], id="the last after the end"),
        pytest.param([1, 1, 6, 0], id="no customers"),
    ],
)
def test_impossible_patterns_are_refused(row):
    with pytest.raises(ValueError, match="patterns must satisfy"):
        BGBB().fit(np.array([row], dtype=float))
