from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.effects.comparison import compared_ratios
from campaigns.effects.ratio_effect import as_mean
from campaigns.effects.two_arms import Floats, TwoArms
from tests.tries import tries


def orders_and_spend(
    seed: int, people: int, *, lift: float = 0.0, more_orders: float = 0.0
) -> tuple[TwoArms, Floats]:
    """Orders of people who buy often or seldom; who buys often pays more for an order."""
    rng = np.random.default_rng(seed)
    treated = rng.random(people) >= 0.3
    often = rng.random(people) < 0.2
    orders = rng.poisson(np.where(often, 3.0, 0.4) * (1 + more_orders * treated)).astype(float)
    price = (20 + 30 * often) * (1 + lift * treated)
    spend = orders * price * rng.lognormal(0, 0.4, people)
    return TwoArms.of(spend, treated, rng.integers(0, 3, people)), orders


@settings(max_examples=tries(15), deadline=None)
@given(st.integers(0, 10_000), st.floats(-0.4, 0.8))
def test_the_means_of_the_arms_are_their_ratios_and_the_variance_that_of_the_delta_method(
    seed: int, lift: float
) -> None:
    arms, orders = orders_and_spend(seed, 600, lift=lift)
    single = TwoArms.of(arms.outcome, arms.treated)
    ratios = as_mean(single, orders)
    assert ratios is not None
    for in_arm in (arms.treated, ~arms.treated):
        spend, count = arms.outcome[in_arm], orders[in_arm]
        ratio, people = spend.sum() / count.sum(), len(spend)
        assert ratios.outcome[in_arm].mean() == pytest.approx(ratio)
        covariance = np.cov(spend, count)
        gradient = np.array([1, -ratio]) / count.mean()
        assert np.var(ratios.outcome[in_arm], ddof=1) / people == pytest.approx(
            gradient @ covariance @ gradient / people
        )


def test_without_an_effect_gains_are_rare_even_if_the_treated_order_more_often() -> None:
    gains = naive_gains = 0
    for seed in range(200):
        arms, orders = orders_and_spend(seed, 700, more_orders=0.3)
        cells = compared_ratios(arms, orders, seed=seed)
        assert cells is not None
        gains += cells["low"] > 0
        # Orders as if each were drawn by itself: too sure of itself.
        prices = [np.repeat(arms.outcome[a] / np.maximum(orders[a], 1), orders[a].astype(int))
                  for a in (arms.treated, ~arms.treated)]  # fmt: skip
        error = np.sqrt(sum(price.var() / len(price) for price in prices))
        naive_gains += prices[0].mean() - prices[1].mean() > 1.96 * error
    assert gains <= 11 < naive_gains


def test_a_dearer_order_is_found_and_arms_without_orders_have_no_ratio() -> None:
    arms, orders = orders_and_spend(1, 6000, lift=0.3)
    cells = compared_ratios(arms, orders, seed=1)
    assert cells is not None
    assert 0 < cells["low_any_time"] < cells["low"] < cells["difference"] < cells["high"]
    assert compared_ratios(arms, np.where(arms.treated, orders, 0.0), seed=1) is None
    few = np.where(np.arange(len(orders)) < 30, arms.outcome, 0.0)
    cells = compared_ratios(TwoArms.of(few, arms.treated), np.sign(few), seed=1)
    assert cells is not None
    assert np.isnan(cells["low"])
