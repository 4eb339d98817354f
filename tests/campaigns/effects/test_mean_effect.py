from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from campaigns.effects.mean_effect import mean_effect
from campaigns.effects.two_arms import TwoArms
from tests.tries import tries

seeds = st.integers(0, 10_000)


def spend(seed: int, people: int = 400, *, control_share: float = 0.3) -> TwoArms:
    """Revenue of two arms without an effect: few buy, amounts are skewed."""
    rng = np.random.default_rng(seed)
    outcome = (rng.random(people) < 0.4) * rng.lognormal(3, 1.2, people)
    return TwoArms.of(outcome, rng.random(people) >= control_share)


def test_without_an_effect_gains_are_as_rare_as_promised_where_welch_finds_too_many() -> None:
    gains = welch_gains = shown = 0
    for seed in range(200):
        arms = spend(seed, 800, control_share=0.1)
        effect = mean_effect(arms, seed=seed, permutations=199)
        if np.isnan(effect.low):
            continue
        shown += 1
        gains += effect.low > 0
        treated, control = arms.outcome[arms.treated], arms.outcome[~arms.treated]
        other = stats.ttest_ind(treated, control, equal_var=False)
        welch_gains += other.confidence_interval(0.95).low > 0
    assert shown > 150
    assert gains / shown <= 0.05 < welch_gains / shown


@settings(max_examples=tries(10), deadline=None)
@given(seeds, st.floats(0.1, 100), st.floats(-50, 50))
def test_units_and_a_constant_for_everybody_do_not_matter(
    seed: int, unit: float, constant: float
) -> None:
    arms = spend(seed)
    plain = mean_effect(arms, seed=1, permutations=199)
    scaled = mean_effect(TwoArms.of(unit * arms.outcome, arms.treated), seed=1, permutations=199)
    assert (scaled.low, scaled.high) == pytest.approx((unit * plain.low, unit * plain.high))
    moved = mean_effect(TwoArms.of(arms.outcome + constant, arms.treated), seed=1, permutations=199)
    assert moved.difference == pytest.approx(plain.difference)


@settings(max_examples=tries(10), deadline=None)
@given(seeds)
def test_swapped_arms_swap_the_interval(seed: int) -> None:
    arms = spend(seed, control_share=0.5)
    plain = mean_effect(arms, seed=1)
    swapped = mean_effect(TwoArms.of(arms.outcome, ~arms.treated), seed=1)
    width = plain.high - plain.low
    assert swapped.difference == pytest.approx(-plain.difference)
    # Other permutations are drawn: the ends agree up to their noise.
    assert swapped.low == pytest.approx(-plain.high, abs=0.15 * width)


@settings(max_examples=tries(10), deadline=None)
@given(seeds, st.floats(0, 0.5))
def test_the_p_value_agrees_with_the_interval(seed: int, effect: float) -> None:
    arms = spend(seed)
    moved = TwoArms.of(arms.outcome * (1 + effect * arms.treated), arms.treated)
    measured = mean_effect(moved, seed=2, permutations=199)
    assert measured.low <= measured.difference <= measured.high
    assert (measured.p_value > 0.05) == (measured.low <= 0 <= measured.high)


def test_a_changed_control_share_is_no_effect() -> None:
    """Waves that differ in rate and in share: pooling them would show an effect."""
    rng = np.random.default_rng(0)
    wave = np.repeat([0, 1], 4000)
    treated = rng.random(8000) >= np.where(wave == 0, 0.5, 0.1)
    outcome = (rng.random(8000) < np.where(wave == 0, 0.4, 0.05)) * rng.lognormal(3, 1, 8000)
    pooled = mean_effect(TwoArms.of(outcome, treated), seed=1)
    by_wave = mean_effect(TwoArms.of(outcome, treated, wave), seed=1)
    assert pooled.high < 0
    assert by_wave.low < 0 < by_wave.high


def test_covariates_of_the_past_narrow_the_interval_and_their_gain_is_shown() -> None:
    rng = np.random.default_rng(0)
    before = rng.gamma(2, 20, 2000)
    outcome = before + rng.gamma(2, 5, 2000)
    treated = rng.random(2000) < 0.5
    plain = mean_effect(TwoArms.of(outcome, treated), seed=1)
    past = np.where(rng.random(2000) < 0.1, np.nan, before)[:, None]
    adjusted = mean_effect(TwoArms.of(outcome, treated, None, past), seed=1)
    assert plain.variance_left == 1.0
    assert adjusted.variance_left < 0.4
    narrower = (adjusted.high - adjusted.low) / (plain.high - plain.low)
    assert narrower == pytest.approx(np.sqrt(adjusted.variance_left), rel=0.1)


def test_below_twenty_buyers_in_an_arm_there_is_no_interval() -> None:
    outcome = np.zeros(400)
    outcome[:19], outcome[200:300] = 5.0, 5.0
    treated = np.arange(400) >= 200
    assert np.isnan(mean_effect(TwoArms.of(outcome, treated), seed=1).low)
    outcome[19] = 5.0
    assert np.isfinite(mean_effect(TwoArms.of(outcome, treated), seed=1).low)
