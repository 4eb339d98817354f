"""Pareto/NBD: published numbers, the closed form of the papers, and customers drawn one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import approx_fprime
from scipy.special import gammaln, hyp2f1

from models.fitting.pareto_expectations import (
    drop_out_nodes,
    pareto_expected_orders,
    pareto_p_alive,
)
from models.fitting.pareto_nbd import ParetoNBD
from tests.golden import btyd as golden
from tests.tries import tries

# Fader, Hardie and Lee (2005): CDNOW 1/10 sample, weeks, 39 weeks of calibration.
PUBLISHED = {"r": 0.553, "alpha": 10.578, "s": 0.606, "beta": 11.669}
PUBLISHED_LOG_LIKELIHOOD = -9595.0
TRUTH = {"r": 0.9, "alpha": 20.0, "s": 0.8, "beta": 60.0}
shape = st.floats(0.05, 20.0)


def simulated(seed: int, *, n: int, ahead: float) -> np.ndarray:
    """x, t_x, T and the purchases of the `ahead` days after T, drawn purchase by purchase."""
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        rate = random.gamma(TRUTH["r"]) / TRUTH["alpha"]
        end = random.exponential(TRUTH["beta"] / random.gamma(TRUTH["s"]))
        age = float(random.integers(30, 300))
        days = np.cumsum(random.exponential(1 / rate, size=2000))
        days = days[days < min(end, age + ahead)]
        known = days[days <= age]
        rows.append((len(known), known[-1] if len(known) else 0.0, age, len(days) - len(known)))
    return np.array(rows, dtype=float)


def test_finds_the_published_numbers():
    inputs = golden.inputs()
    fit = ParetoNBD().fit(inputs)
    assert fit.converged_
    assert fit.n_customers_ == 2357
    for name, value in PUBLISHED.items():
        assert getattr(fit, f"{name}_") == pytest.approx(value, abs=5e-4)
    assert fit.log_likelihood_ == pytest.approx(PUBLISHED_LOG_LIKELIHOOD, abs=0.05)
    assert fit.score(inputs) * 2357 == pytest.approx(fit.log_likelihood_)


def closed_form(x, t_x, age, r, alpha, s, beta):
    """Log likelihood of a customer by Gauss hypergeometric functions (Fader and Hardie 2005)."""
    k, largest = r + s + x, max(alpha, beta)
    second = s + 1 if alpha >= beta else r + x

    def term(time):
        apart = abs(alpha - beta) / (largest + time)
        return hyp2f1(k, second, k + 1, apart) / (largest + time) ** k

    alive = (alpha + age) ** -(r + x) * (beta + age) ** -s
    dead = s / k * (term(t_x) - term(age))
    constant = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + s * np.log(beta)
    return constant + np.log(alive + dead)


@pytest.mark.parametrize(("alpha", "beta"), [(6.0, 2.5), (2.5, 6.0), (4.0, 4.0)])
def test_likelihood_is_the_closed_form_of_the_papers(alpha, beta):
    rows = np.array([[0, 0, 30], [1, 5, 30], [4, 20.5, 33], [7, 30, 31], [3, 30, 30]], dtype=float)
    fit = ParetoNBD()
    fit.r_, fit.alpha_, fit.s_, fit.beta_ = 0.7, alpha, 0.4, beta
    oracle = np.mean([closed_form(*row, 0.7, alpha, 0.4, beta) for row in rows])
    assert fit.score(rows) == pytest.approx(oracle, rel=1e-9)


@given(r=shape, alpha=shape, s=shape, beta=shape, x=st.integers(0, 40), last=st.floats(0, 0.99))
@settings(max_examples=tries(40), deadline=None)
def test_the_integral_over_drop_outs_is_the_numeric_one(r, alpha, s, beta, x, last):
    age, t_x = 30.0, 30.0 * last * (x > 0)
    pareto = {"r": r, "alpha": alpha, "s": s, "beta": beta}
    found, times, shares = drop_out_nodes(pareto, np.array([x]), np.array([t_x]), np.array([age]))
    largest = -(r + x) * np.log(alpha + t_x) - (s + 1) * np.log(beta + t_x)

    def density(time):
        log = -(r + x) * np.log(alpha + time) - (s + 1) * np.log(beta + time)
        return np.exp(log - largest)

    # The density falls steeply after t_x: more points there.
    points = [t_x + (age - t_x) * 10.0**-power for power in (4, 3, 2, 1)]
    oracle = s * quad(density, t_x, age, points=points, limit=400)[0]
    assert found[0] - largest == pytest.approx(np.log(oracle), abs=1e-4)
    assert shares.sum() == pytest.approx(1.0)
    assert ((times >= t_x) & (times <= age * (1 + 1e-9))).all()


@pytest.mark.parametrize(
    ("r", "alpha", "s", "beta"),
    [
        pytest.param(1.55, 0.02, 541.0, 2450.0, id="nearly one drop-out rate"),
        pytest.param(2050.0, 828.0, 0.5, 0.06, id="nearly one purchase rate"),
    ],
)
def test_the_integral_is_exact_where_rates_hardly_differ(r, alpha, s, beta):
    pareto = {"r": r, "alpha": alpha, "s": s, "beta": beta}
    found = drop_out_nodes(pareto, np.zeros(1), np.zeros(1), np.ones(1))[0][0]
    largest = -r * np.log(alpha) - (s + 1) * np.log(beta)

    def density(time):
        return np.exp(-r * np.log(alpha + time) - (s + 1) * np.log(beta + time) - largest)

    oracle = s * quad(density, 0, 1, points=[10.0**-power for power in (4, 3, 2, 1)], limit=400)[0]
    assert found - largest == pytest.approx(np.log(oracle), abs=2e-6)


@given(theta=st.lists(st.floats(-3, 3), min_size=4, max_size=4))
@settings(max_examples=tries(25), deadline=None)
def test_gradient(theta):
    x, t_x, age = np.array([[0, 0, 1.0], [1, 0.4, 1.2], [6, 1.1, 1.1], [2, 0.1, 2]]).T
    objective = ParetoNBD()._objective(x, t_x, age, np.array([3.0, 1, 2, 1]))
    numeric = approx_fprime(np.array(theta), lambda at: objective(at)[0], 1e-6)
    assert objective(np.array(theta))[1] == pytest.approx(numeric, abs=3e-4, rel=3e-4)


def test_a_fit_ends_at_its_optimum_where_all_drop_out_at_the_same_rate():
    random, n, age = np.random.default_rng(8), 1500, 200.0
    rows = []
    for _ in range(n):  # the shape and the scale of the drop-out rates then grow without end
        end = min(random.exponential(400.0), age)
        days = np.cumsum(random.exponential(1 / (random.gamma(1.5) / 15.0), size=400))
        days = days[days < end]
        rows.append((len(days), days[-1] if len(days) else 0.0, age))
    fit = ParetoNBD().fit(np.array(rows))
    assert fit.converged_
    assert fit.s_ > 5
    assert fit.beta_ / fit.s_ == pytest.approx(400.0, rel=0.15)


def test_forecasts_of_drawn_customers_are_right_in_the_mean():
    x, t_x, age, later = simulated(5, n=6000, ahead=60.0).T
    expected = pareto_expected_orders(TRUTH, x, t_x, age, horizon=60.0)
    error = (later - expected).std() / np.sqrt(len(later))
    assert abs(later.mean() - expected.mean()) < 4 * error
    # Also of those who are probably gone, and of those who are probably not.
    alive = pareto_p_alive(TRUTH, x, t_x, age)
    for group in (alive < 0.3, alive > 0.7):
        apart = later[group] - expected[group]
        assert abs(apart.mean()) < 4 * apart.std() / np.sqrt(group.sum())


def test_a_fit_of_drawn_customers_forecasts_like_the_truth():
    x, t_x, age, later = simulated(6, n=3000, ahead=60.0).T
    fit = ParetoNBD().fit(np.column_stack([x, t_x, age]))
    assert fit.converged_
    expected = pareto_expected_orders(fit.to_parameters(), x, t_x, age, horizon=60.0)
    truth = pareto_expected_orders(TRUTH, x, t_x, age, horizon=60.0)
    assert expected.sum() == pytest.approx(truth.sum(), rel=0.08)
    assert expected.sum() == pytest.approx(later.sum(), rel=0.1)


@given(r=shape, alpha=shape, s=shape, beta=shape, x=st.integers(0, 40), last=st.floats(0, 1))
@settings(max_examples=tries(40), deadline=None)
def test_forecasts_are_possible_and_rise_with_the_horizon(r, alpha, s, beta, x, last):
    pareto = {"r": r, "alpha": alpha, "s": s, "beta": beta}
    row = [np.array([value]) for value in (float(x), 30.0 * last * (x > 0), 30.0)]
    alive = pareto_p_alive(pareto, *row)[0]
    assert 0.0 <= alive <= 1.0
    expected = [pareto_expected_orders(pareto, *row, horizon=h)[0] for h in (1e-9, 5.0, 50.0)]
    assert 0.0 <= expected[0] <= expected[1] <= expected[2]
    rate = (r + x) / (alpha + 30.0)
    assert expected[2] <= alive * rate * 50.0 * (1 + 1e-9)  # nobody drops out


def test_a_drop_out_shape_of_one_is_no_singularity():
    row = [np.array([3.0]), np.array([12.0]), np.array([30.0])]
    near = [
        pareto_expected_orders({**TRUTH, "s": s}, *row, horizon=40.0)[0]
        for s in (1.0 - 1e-6, 1.0, 1.0 + 1e-6)
    ]
    assert near[0] == pytest.approx(near[1], rel=1e-5)
    assert near[2] == pytest.approx(near[1], rel=1e-5)


def test_another_unit_of_time_changes_no_forecast():
    weeks = golden.inputs()[:400]
    days = weeks * [1, 7, 7]
    in_weeks, in_days = ParetoNBD().fit(weeks), ParetoNBD().fit(days)
    assert in_days.alpha_ == pytest.approx(7 * in_weeks.alpha_, rel=1e-3)
    one = pareto_expected_orders(in_weeks.to_parameters(), *weeks.T, horizon=13.0)
    other = pareto_expected_orders(in_days.to_parameters(), *days.T, horizon=91.0)
    np.testing.assert_allclose(one, other, rtol=2e-3)


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([[1, 40, 30]], id="a purchase after the end"),
        pytest.param([[-1, 0, 30]], id="fewer than none"),
        pytest.param([[1, 2]], id="a column is missing"),
        pytest.param([[1, float("nan"), 30]], id="not a number"),
        pytest.param(np.empty((0, 3)), id="nobody"),
    ],
)
def test_impossible_histories_are_refused(rows):
    with pytest.raises(ValueError, match=r"x|customers"):
        ParetoNBD().fit(np.asarray(rows, dtype=float))
