"""sBG and beta-discrete-Weibull: simulated contracts, oracles, the nesting of the two."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import approx_fprime
from scipy.stats import beta as beta_distribution

from models.fitting.contract_renewals import (
    BetaDiscreteWeibull,
    ShiftedBetaGeometric,
    _outcomes,
)
from tests.tries import tries


def drawn_survivors(alpha: float, beta: float, c: float, *, n: int = 40_000) -> np.ndarray:
    """How many of n contracts remain after 0 to 12 renewals.

    A customer with the chance to cancel theta survives t renewals with (1 - theta)^(t^c).
    """
    random = np.random.default_rng(4)
    theta = random.beta(alpha, beta, n)
    lifetimes = (np.log(random.random(n)) / np.log1p(-theta)) ** (1 / c)
    return np.array([(lifetimes > t).sum() for t in range(13)], dtype=float)


@pytest.mark.parametrize(("alpha", "beta"), [(0.7, 1.2), (0.8, 4.0)])
def test_sbg_finds_the_parameters_of_drawn_contracts(alpha, beta):
    counts = drawn_survivors(alpha, beta, 1.0, n=200_000)
    fit = ShiftedBetaGeometric().fit(counts[:8, None])
    assert fit.converged_
    assert (fit.n_customers_, fit.c_) == (200_000, 1.0)
    assert fit.alpha_ == pytest.approx(alpha, rel=0.05)
    assert fit.beta_ == pytest.approx(beta, rel=0.05)
    assert fit.score(counts[:8, None]) * counts[0] == pytest.approx(fit.log_likelihood_)
    np.testing.assert_allclose(counts[0] * fit.survival(np.arange(8, 13)), counts[8:], rtol=0.02)


@given(alpha=st.floats(0.2, 5.0), beta=st.floats(0.2, 8.0))
@settings(max_examples=tries(20), deadline=None)
def test_the_likelihood_is_that_of_the_recursion_of_the_paper(alpha, beta):
    counts = np.array([50.0, 37, 30, 30, 26])
    fit = ShiftedBetaGeometric()
    fit.alpha_, fit.beta_, fit.c_ = alpha, beta, 1.0
    # P(T = 1) = a / (a + b), P(T = t) = (b + t - 2) / (a + b + t - 1) P(T = t - 1).
    chance, remaining, total = alpha / (alpha + beta), 1.0, 0.0
    for t in range(1, len(counts)):
        if t > 1:
            chance *= (beta + t - 2) / (alpha + beta + t - 1)
        remaining -= chance
        total += (counts[t - 1] - counts[t]) * np.log(chance)
    total += counts[-1] * np.log(remaining)
    assert fit.score(counts[:, None]) * counts[0] == pytest.approx(total, rel=1e-9)


def test_duration_makes_a_fit_more_likely_and_a_forecast_better_where_it_is_true():
    counts = drawn_survivors(0.3, 1.5, 1.6)
    plain = ShiftedBetaGeometric().fit(counts[:8, None])
    duration = BetaDiscreteWeibull().fit(counts[:8, None])
    assert duration.converged_
    assert duration.log_likelihood_ > plain.log_likelihood_ + 2
    errors = [
        np.mean(np.abs(counts[0] * fit.survival(np.arange(8, 13)) / counts[8:] - 1))
        for fit in (plain, duration)
    ]
    assert errors[1] < errors[0]


def test_duration_is_one_where_it_is_none():
    counts = drawn_survivors(0.8, 4.0, 1.0)
    plain = ShiftedBetaGeometric().fit(counts[:8, None])
    duration = BetaDiscreteWeibull().fit(counts[:8, None])
    assert 0 <= duration.log_likelihood_ - plain.log_likelihood_ < 5
    assert duration.c_ == pytest.approx(1.0, abs=0.15)


@given(
    alpha=st.floats(0.2, 5.0), beta=st.floats(0.2, 8.0), c=st.floats(0.5, 2.0),
    renewals=st.integers(0, 12),
)  # fmt: skip
@settings(max_examples=tries(30), deadline=None)
def test_survival_is_the_mean_over_customers(alpha, beta, c, renewals):
    fit = BetaDiscreteWeibull()
    fit.alpha_, fit.beta_, fit.c_ = alpha, beta, c
    # Over the quantiles of the probability to cancel, without the singular ends of its density.
    oracle = quad(
        lambda u: (1 - beta_distribution.ppf(u, alpha, beta)) ** (renewals**c), 0, 1, limit=200
    )[0]
    assert fit.survival(np.array([renewals]))[0] == pytest.approx(oracle, rel=1e-4)


@given(theta=st.lists(st.floats(-1.5, 1.5), min_size=3, max_size=3))
@settings(max_examples=tries(25), deadline=None)
def test_gradients(theta):
    counts = np.array([100.0, 80, 70, 64, 64, 60])
    for model, size in ((ShiftedBetaGeometric, 2), (BetaDiscreteWeibull, 3)):
        objective = model()._objective(*_outcomes(counts))
        at = np.array(theta[:size])
        numeric = approx_fprime(at, lambda t: objective(t)[0], 1e-7)  # noqa: B023
        assert objective(at)[1] == pytest.approx(numeric, abs=5e-4, rel=5e-4)


def test_a_fit_of_drawn_contracts_finds_how_long_they_last():
    counts = drawn_survivors(0.8, 6.0, 1.5)
    fit = BetaDiscreteWeibull().fit(counts[:7, None])
    assert fit.converged_
    assert fit.c_ == pytest.approx(1.5, abs=0.1)
    np.testing.assert_allclose(40_000 * fit.survival(np.arange(7, 13)), counts[7:], rtol=0.03)


@pytest.mark.parametrize(
    "counts",
    [
        pytest.param([100, 90, 95], id="more than before"),
        pytest.param([100, 90], id="too few"),
    ],
)
def test_other_numbers_than_survivors_are_refused(counts):
    with pytest.raises(ValueError, match="survivors"):
        ShiftedBetaGeometric().fit(np.array(counts, dtype=float)[:, None])
