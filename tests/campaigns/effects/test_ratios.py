from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.effects.comparison import compared
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
    return TwoArms.of(spend, treated, rng.integers(0, 3, people), denominator=orders), orders


@settings(max_examples=tries(15), deadline=None)
@given(st.integers(0, 10_000), st.floats(-0.4, 0.8))
def test_the_difference_is_that_of_the_ratios_and_the_interval_that_of_the_delta_method(
    seed: int, lift: float
) -> None:
    arms, orders = orders_and_spend(seed, 3000, lift=lift)
    single = TwoArms.of(arms.outcome, arms.treated, denominator=orders)
    cells = compared(single, is_share=False, seed=1)
    ratios, variance = [], 0.0
    for in_arm in (arms.treated, ~arms.treated):
        spend, count = arms.outcome[in_arm], orders[in_arm]
        ratios.append(spend.sum() / count.sum())
        gradient = np.array([1, -ratios[-1]]) / count.mean()
        variance += gradient @ np.cov(spend, count) @ gradient / len(spend)
    assert cells["control"] == pytest.approx(ratios[1])
    assert cells["difference"] == pytest.approx(ratios[0] - ratios[1])
    width = 2 * 1.96 * np.sqrt(variance)
    assert cells["high"] - cells["low"] == pytest.approx(width, rel=0.15)


def test_over_many_small_waves_gains_without_an_effect_stay_rare() -> None:
    """30 waves with 10 held-out customers each, a tenth of whom buy: amounts differ widely."""
    gains = losses = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        orders = (rng.random(3000) < 0.1) * (1.0 + rng.poisson(0.3, 3000))
        spend = orders * rng.lognormal(3, 1.5, 3000)
        wave = rng.integers(0, 30, 3000)
        arms = TwoArms.of(spend, rng.random(3000) >= 0.1, wave, denominator=orders)
        cells = compared(arms, is_share=False, seed=seed)
        gains += cells["low"] > 0
        losses += cells["high"] < 0
    # Nominally 3.75 each; 10 or more come once in 200 times.
    assert max(gains, losses) < 10


def test_without_an_effect_gains_are_rare_even_if_the_treated_order_more_often() -> None:
    gains = naive_gains = 0
    for seed in range(200):
        arms, orders = orders_and_spend(seed, 700, more_orders=0.3)
        cells = compared(arms, is_share=False, seed=seed)
        gains += cells["low"] > 0
        # Orders as if each were drawn by itself: too sure of itself.
        prices = [np.repeat(arms.outcome[a] / np.maximum(orders[a], 1), orders[a].astype(int))
                  for a in (arms.treated, ~arms.treated)]  # fmt: skip
        error = np.sqrt(sum(price.var() / len(price) for price in prices))
        naive_gains += prices[0].mean() - prices[1].mean() > 1.96 * error
    assert gains <= 11 < naive_gains


def test_a_dearer_order_is_found_and_arms_without_orders_have_no_ratio() -> None:
    arms, orders = orders_and_spend(1, 6000, lift=0.3)
    cells = compared(arms, is_share=False, seed=1)
    assert 0 < cells["low_any_time"] < cells["low"] < cells["difference"] < cells["high"]
    no_orders = replace(arms, denominator=np.where(arms.treated, orders, 0.0))
    assert np.isnan(compared(no_orders, is_share=False, seed=1)["difference"])
    few = np.where(np.arange(len(orders)) < 30, arms.outcome, 0.0)
    few_arms = TwoArms.of(few, arms.treated, denominator=np.sign(few))
    cells = compared(few_arms, is_share=False, seed=1)
    assert np.isnan(cells["low"])
    assert cells["difference"] != 0
