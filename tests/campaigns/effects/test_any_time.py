from __future__ import annotations

import numpy as np
import pytest

from campaigns.effects.any_time import AnyTime
from campaigns.effects.share_effect import share_effect
from campaigns.effects.two_arms import TwoArms


def test_a_daily_reader_is_seldom_wrong_where_one_look_intervals_are_often() -> None:
    rng = np.random.default_rng(0)
    once = ever = 0
    for _ in range(60):
        treated = rng.random(6000) < 0.5
        outcome = (rng.random(6000) < 0.1).astype(float)
        looks = [TwoArms.of(outcome[:n], treated[:n]) for n in range(300, 6001, 300)]
        intervals = [(share_effect(arms), AnyTime.of(arms)) for arms in looks]
        once += any(effect.low > 0 or effect.high < 0 for effect, _ in intervals)
        widened = [any_time.widened(effect) for effect, any_time in intervals]
        ever += any(low > 0 or high < 0 for low, high in widened)
    assert once >= 8
    assert ever <= 3


@pytest.mark.parametrize("people", [100, 5_000, 100_000])
def test_the_p_value_agrees_with_the_interval(people: int) -> None:
    treated = np.arange(people) % 2 == 0
    for extra in range(0, people // 5, people // 25):
        outcome = (np.arange(people) % 10 < 2).astype(float)
        outcome[np.flatnonzero(treated & (outcome == 0))[:extra]] = 1
        arms = TwoArms.of(outcome, treated)
        any_time, effect = AnyTime.of(arms), share_effect(arms)
        low, high = any_time.widened(effect)
        p_value = any_time.p_value(low, high, effect.difference)
        assert (p_value < 0.05) == (low > 0 or high < 0)


def test_the_sequence_is_wider_than_one_look_and_not_much() -> None:
    for people in (1_000, 5_000, 50_000):
        arms = TwoArms.of(np.zeros(people), np.arange(people) % 2 == 0)
        assert 2.8 < AnyTime.of(arms).multiple < 3.8
