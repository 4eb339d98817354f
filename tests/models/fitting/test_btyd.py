from __future__ import annotations

from math import exp, lgamma, log

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime
from scipy.special import hyp2f1
from sklearn.base import clone

from models.fitting.btyd import BGNBD, MBGNBD, GammaGamma, fit_btyd
from models.scorer.btyd import (
    beta_quadrature,
    btyd_columns,
    btyd_expected_orders,
    btyd_next_order_days,
    btyd_p_alive,
    btyd_p_no_order,
    gamma_gamma_mean,
)
from tests.golden import btyd as golden
from tests.golden import peer_btyd as peer
from tests.tries import tries

MODELS = [BGNBD, MBGNBD]
positive = st.floats(0.05, 20.0)


def simulated(seed, *, n=4000, r=0.8, alpha=30.0, a=0.9, b=3.0, at_start=False, ahead=90.0):
    """x, t_x, T and the purchases of the `ahead` days after T, drawn purchase by purchase."""
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        rate, drop = random.gamma(r) / alpha, random.beta(a, b)
        age = float(random.integers(60, 400))
        day, x, last, later = 0.0, 0, 0.0, 0
        gone = at_start and random.random() < drop
        while not gone:
            day += random.exponential(1 / rate)
            if day > age + ahead:
                break
            if day > age:
                later += 1
            else:
                x, last = x + 1, day
            gone = random.random() < drop
        rows.append((x, last, age, later))
    return np.array(rows, dtype=float)


@pytest.fixture(scope="module")
def cdnow():
    return golden.inputs()


def test_bg_nbd_finds_the_published_numbers(cdnow):
    found = BGNBD().fit(cdnow)
    assert found.converged_
    assert found.n_customers_ == 2357
    for name in ("r", "alpha", "a", "b"):
        assert getattr(found, f"{name}_") == pytest.approx(golden.PUBLISHED[name], abs=6e-4)
    assert found.log_likelihood_ == pytest.approx(golden.PUBLISHED["log_likelihood"], abs=0.05)
    assert found.score(cdnow) * 2357 == pytest.approx(found.log_likelihood_)


def test_mbg_nbd_finds_its_golden_numbers(cdnow):
    found = MBGNBD().fit(cdnow).to_parameters()
    for name in ("r", "alpha", "a", "b"):
        assert found[name] == pytest.approx(golden.MBG_NBD[name], rel=1e-3)
    assert found["log_likelihood"] == pytest.approx(golden.MBG_NBD["ll"], abs=1e-3)


def test_gamma_gamma_finds_the_published_numbers():
    values = golden.values()
    assert len(values) == golden.PUBLISHED_VALUE["customers"]
    found = GammaGamma().fit(values).to_parameters()
    for name in ("p", "q", "v"):
        assert found[name] == pytest.approx(golden.PUBLISHED_VALUE[name], abs=6e-3)


@pytest.mark.parametrize("model", MODELS)
def test_parameters_and_forecasts_are_those_of_lifetimes(model, cdnow):
    theirs = peer.LIFETIMES[model.model]
    found = model().fit(cdnow).to_parameters()
    for name, value in theirs["parameters"].items():
        assert found[name] == pytest.approx(value, rel=1e-3)
    rows = cdnow[list(peer.ROWS)].T
    expected = btyd_expected_orders(found, *rows, horizon=peer.HORIZON)
    np.testing.assert_allclose(expected, theirs["expected"], rtol=2e-3)
    alive = btyd_p_alive(found, *rows)
    np.testing.assert_allclose(alive, theirs["alive"], rtol=2e-3)


def test_values_are_those_of_lifetimes():
    theirs, values = peer.LIFETIMES["gamma_gamma"], golden.values()
    found = GammaGamma().fit(values).to_parameters()
    for name, value in theirs["parameters"].items():
        assert found[name] == pytest.approx(value, rel=1e-3)
    n, mean = values[list(peer.VALUE_ROWS)].T
    np.testing.assert_allclose(gamma_gamma_mean(found, n, mean), theirs["expected"], rtol=1e-3)


def test_the_published_holdout_forecast(cdnow):
    found = BGNBD().fit(cdnow).to_parameters()
    expected = btyd_expected_orders(found, *cdnow.T, horizon=golden.HOLDOUT_WEEKS)
    assert round(expected.sum()) == golden.HOLDOUT["predicted"]
    assert golden.holdout_days() == golden.HOLDOUT["actual"]


def textbook(model, x, t_x, age, r, alpha, a, b):
    """Log likelihood of one customer, straight from the papers."""
    m = x + (model is MBGNBD)

    def log_beta(p, q):
        return lgamma(p) + lgamma(q) - lgamma(p + q)

    head = lgamma(r + x) - lgamma(r) + r * log(alpha)
    alive = log_beta(a, b + m) - log_beta(a, b) - (r + x) * log(alpha + age)
    total = exp(alive)
    if m > 0:
        dead = log_beta(a + 1, b + m - 1) - log_beta(a, b)
        total += exp(dead - (r + x) * log(alpha + t_x))
    return head + log(total)


@pytest.mark.parametrize("model", MODELS)
def test_likelihood_is_the_textbook_one(model):
    rows = np.array([[0, 0, 30], [1, 5, 30], [4, 20.5, 33], [7, 30, 31]], dtype=float)
    fit = model()
    fit.r_, fit.alpha_, fit.a_, fit.b_ = 0.7, 6.0, 0.4, 2.5
    oracle = np.mean([textbook(model, *row, 0.7, 6.0, 0.4, 2.5) for row in rows])
    assert fit.score(rows) == pytest.approx(oracle, rel=1e-12)


@pytest.mark.parametrize("model", MODELS)
@given(theta=st.lists(st.floats(-3, 3), min_size=4, max_size=4))
@settings(max_examples=tries(25), deadline=None)
def test_gradient_of_the_purchase_models(model, theta):
    x, t_x, age = np.array([[0, 0, 1.0], [1, 0.4, 1.2], [6, 1.1, 1.1], [2, 0.1, 2]]).T
    objective = model()._objective(x, t_x, age, np.array([3.0, 1, 2, 1]))
    numeric = approx_fprime(np.array(theta), lambda at: objective(at)[0], 1e-6)
    assert objective(np.array(theta))[1] == pytest.approx(numeric, abs=2e-4, rel=2e-4)


@given(theta=st.lists(st.floats(-2, 2), min_size=3, max_size=3))
@settings(max_examples=tries(25), deadline=None)
def test_gradient_of_gamma_gamma(theta):
    objective = GammaGamma()._objective(np.array([1.0, 3, 9]), np.array([0.5, 1.0, 2.2]))
    numeric = approx_fprime(np.array(theta), lambda at: objective(at)[0], 1e-6)
    assert objective(np.array(theta))[1] == pytest.approx(numeric, abs=2e-4, rel=2e-4)


@given(a=positive, b=positive, power=st.integers(1, 12))
@settings(max_examples=tries(50), deadline=None)
def test_quadrature_has_the_moments_of_the_beta_distribution(a, b, power):
    nodes, weights = beta_quadrature(np.array([a]), np.array([b]))
    assert ((nodes >= 0) & (nodes <= 1)).all()
    k = np.arange(power)
    moment = np.prod((a + k) / (a + b + k))
    assert (weights * nodes**power).sum() == pytest.approx(moment, rel=1e-8)


@pytest.mark.parametrize("name", ["bg_nbd", "mbg_nbd"])
@given(
    r=st.floats(0.1, 5), alpha=st.floats(0.5, 50), a=st.floats(0.1, 4), b=st.floats(0.2, 8),
    x=st.integers(0, 30), seen=st.floats(0, 1), age=st.floats(1, 400), ahead=st.floats(0.5, 400),
)  # fmt: skip
@settings(max_examples=tries(60), deadline=None)
def test_expected_orders_equal_the_closed_form(name, r, alpha, a, b, x, seen, age, ahead):
    if abs(a - 1) < 0.02:
        a = 1.05  # the closed form is singular at 1; ours is not, see below
    ahead = min(ahead, 30 * (alpha + age))  # farther out the quadrature loses the fifth digit
    parameters = {"model": name, "r": r, "alpha": alpha, "a": a, "b": b}
    t_x = seen * age if x else 0.0
    row = [np.array([float(value)]) for value in (x, t_x, age)]
    found = btyd_expected_orders(parameters, *row, horizon=ahead)
    m = x + (name == "mbg_nbd")
    growth = ((alpha + age) / (alpha + age + ahead)) ** (r + x)
    z = ahead / (alpha + age + ahead)
    rest = 1 - growth * hyp2f1(r + x, b + m, a + b + m - 1, z)
    alive = btyd_p_alive(parameters, *row)
    assert found == pytest.approx(alive * (a + b + m - 1) / (a - 1) * rest, rel=1e-4, abs=1e-7)


def test_no_singularity_where_a_is_one():
    row = [np.array([value]) for value in (3.0, 20.0, 30.0)]
    around = [
        btyd_expected_orders(
            {"model": "bg_nbd", "r": 0.5, "alpha": 8.0, "a": a, "b": 2.0}, *row, horizon=20.0
        )[0]
        for a in (1 - 1e-7, 1.0, 1 + 1e-7)
    ]
    assert around == pytest.approx([around[1]] * 3, rel=1e-6)


@pytest.mark.parametrize(("model", "at_start"), [(BGNBD, False), (MBGNBD, True)])
def test_the_posterior_forecasts_customers_drawn_from_the_model(model, at_start):
    rows = simulated(1, at_start=at_start)
    truth = {"model": model.model, "r": 0.8, "alpha": 30.0, "a": 0.9, "b": 3.0}
    expected = btyd_expected_orders(truth, *rows[:, :3].T, horizon=90.0)
    nothing = btyd_p_no_order(truth, *rows[:, :3].T, horizon=90.0)
    later = rows[:, 3]
    for part in (rows[:, 0] == 0, rows[:, 0] > 0, rows[:, 0] > 5):
        error = later[part] - expected[part]
        assert abs(error.mean()) < 4 * error.std() / np.sqrt(part.sum())
        error = (later[part] == 0) - nothing[part]
        assert abs(error.mean()) < 4 * error.std() / np.sqrt(part.sum())


def test_the_right_model_is_kept_and_its_parameters_found():
    rows = simulated(2, n=6000, at_start=True)
    frame = pd.DataFrame(rows[:, :3], columns=["btyd__x", "btyd__t_x", "btyd__T"])
    random = np.random.default_rng(3)
    n = frame["btyd__x"].to_numpy()
    means = np.array([random.gamma(5.0 * max(k, 1), 1.0) / max(k, 1) for k in n])
    scale = 60.0 / random.gamma(4.0, size=len(n))
    frame["btyd__value_n"] = n
    frame["btyd__mean_value"] = np.where(n > 0, means * scale / 5.0 * 2.0, np.nan)
    found = fit_btyd(frame)
    assert found["model"] == "mbg_nbd"
    assert found["r"] == pytest.approx(0.8, rel=0.15)
    assert found["alpha"] == pytest.approx(30.0, rel=0.2)
    assert found["a"] / (found["a"] + found["b"]) == pytest.approx(0.9 / 3.9, rel=0.15)
    assert found["value"]["p"] == pytest.approx(5.0, rel=0.1)
    assert found["value"]["q"] == pytest.approx(4.0, rel=0.15)


@pytest.mark.parametrize("model", MODELS)
def test_the_time_unit_and_duplicates_do_not_matter(model, cdnow):
    rows = cdnow[::5]
    weeks = model().fit(rows)
    days = model().fit(rows * [1, 7, 7])
    assert days.alpha_ == pytest.approx(7 * weeks.alpha_, rel=1e-3)
    assert days.r_ == pytest.approx(weeks.r_, rel=1e-3)
    thrice = model().fit(np.tile(rows, (3, 1)))
    assert thrice.b_ == pytest.approx(weeks.b_, rel=1e-3)
    assert thrice.log_likelihood_ == pytest.approx(3 * weeks.log_likelihood_, rel=1e-9)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "rows",
    [
        np.column_stack([np.zeros(50), np.zeros(50), np.linspace(1, 300, 50)]),
        np.tile([5.0, 100.0, 110.0], (50, 1)),
        np.column_stack([np.arange(50.0), np.arange(50.0) * 2, np.arange(50.0) * 2]),
        np.column_stack([np.full(50, 400.0), np.full(50, 3.0), np.full(50, 4000.0)]),
    ],
    ids=["one-time buyers", "identical", "nobody left", "all left at once"],
)
def test_ridges_of_the_likelihood_end_in_finite_forecasts(model, rows):
    found = model().fit(rows)
    values = btyd_expected_orders(found.to_parameters(), *rows.T, horizon=60.0)
    assert np.isfinite([found.r_, found.alpha_, found.a_, found.b_]).all()
    assert np.isfinite(values).all()
    assert (values >= 0).all()


def test_estimators_are_clonable_and_refuse_impossible_rows():
    assert clone(BGNBD(max_iter=7)).get_params() == {"max_iter": 7}
    with pytest.raises(ValueError, match="t_x"):
        BGNBD().fit([[1.0, 5.0, 4.0]])
    with pytest.raises(ValueError, match="missing or infinite"):
        BGNBD().fit([[1.0, np.nan, 4.0]])
    with pytest.raises(ValueError, match="above 0"):
        GammaGamma().fit([[1.0, 0.0]])


def test_next_order_days_are_where_a_purchase_is_as_likely_as_not():
    parameters = {"model": "bg_nbd", "r": 0.5, "alpha": 8.0, "a": 0.5, "b": 2.0}
    row = [np.array(value) for value in ([9.0, 9.0, np.nan], [30.0, 2.0, np.nan], [31.0, 90, 90])]
    days = btyd_next_order_days(parameters, *row)
    nothing = btyd_p_no_order(parameters, *row, horizon=float(days[0]))
    assert nothing[0] == pytest.approx(0.5)
    assert np.isnan(days[1:]).all()


def heavy_tailed_gifts(seed: int, *, members: int = 300) -> pd.DataFrame:
    """Snapshot of givers whose gifts are mostly small, and one in eight a thousand times larger."""
    rng = np.random.default_rng(seed)
    counts = 1 + rng.poisson(2.5, members)
    means = np.array(
        [
            np.where(
                rng.random(count) < 0.125,
                rng.uniform(2e4, 1e5, count),
                np.exp(rng.uniform(np.log(20), np.log(2000), count)),
            ).mean()
            for count in counts
        ]
    )
    return pd.DataFrame(
        {
            "btyd__x": counts.astype(float),
            "btyd__t_x": 500.0,
            "btyd__T": 700.0,
            "btyd__mean_value": means,
            "btyd__value_n": counts.astype(float),
        }
    )


@pytest.mark.parametrize("seed", range(3))
def test_the_value_of_a_purchase_stays_near_what_was_seen_in_a_heavy_tail(seed):
    frame = heavy_tailed_gifts(seed)
    fitted = fit_btyd(frame)
    expected = btyd_columns(fitted, frame, horizon=180.0)["btyd__expected_value"]
    observed = frame["btyd__mean_value"]
    assert 0.4 < expected.mean() / observed.mean() < 2.5
    assert expected.max() <= 2 * observed.max()


def test_a_gamma_gamma_fit_at_its_bound_is_not_converged():
    frame = heavy_tailed_gifts(1)
    fitted = GammaGamma().fit(frame[["btyd__value_n", "btyd__mean_value"]].to_numpy())
    assert fitted.at_bound_ == (not fitted.converged_)
    assert fitted.q_ < 1.2
