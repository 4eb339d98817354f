from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.policy.decision_log import (
    DecisionLog,
    Policy,
    chosen_policy,
    constant_policy,
    group_policy,
    uniform_policy,
)
from campaigns.policy.estimates import logged_value, policy_value
from campaigns.policy.reward_model import expected_reward
from features.arrays import Array
from tests.tries import tries

REWARD = np.array([[0.1, 0.3, 0.2], [0.1, 0.0, 0.6]])  # by group and offer
OFFERS, GROUPS = ("nothing", "mail", "voucher"), ("new", "loyal")


def drawn(count: int = 20_000, seed: int = 1) -> DecisionLog:
    """A log in which offers are drawn with chances that depend on the group."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 2, count)
    chances = np.array([[0.5, 0.3, 0.2], [0.2, 0.7, 0.1]])[group]
    offer = (chances.cumsum(axis=1) < rng.random((count, 1))).sum(axis=1)
    row = np.arange(count)
    reward = (rng.random(count) < REWARD[group, offer]).astype(float)
    context = np.stack([group.astype(float), np.ones(count)], axis=1)
    return DecisionLog(OFFERS, offer, chances[row, offer], reward, GROUPS, group, context, row)


def best_policy(log: DecisionLog) -> Policy:
    return chosen_policy("best", log, np.array([1, 2])[log.group])


def naive_dr(log: DecisionLog, policy: Policy, seed: int) -> float:
    """Doubly robust mean, decision by decision."""
    expected, total = expected_reward(log, seed=seed), 0.0
    by_offer = [expected.of(np.full(len(log), offer)) for offer in range(len(log.offers))]
    for row in range(len(log)):
        chances = policy.probability[row]
        total += sum(chances[offer] * by_offer[offer][row] for offer in range(len(log.offers)))
        surprise = log.reward[row] - by_offer[log.offer[row]][row]
        total += chances[log.offer[row]] / log.propensity[row] * surprise
    return total / len(log)


@pytest.mark.parametrize("make", [uniform_policy, best_policy], ids=["uniform", "best"])
def test_the_interval_holds_the_reward_that_the_policy_would_bring(
    make: Callable[[DecisionLog], Policy],
) -> None:
    log = drawn()
    policy = make(log)
    truth = float((policy.probability * REWARD[log.group]).sum(axis=1).mean())
    value = policy_value(log, policy, expected_reward(log, seed=0))
    assert value.low < truth < value.high
    assert value.low < value.ips < value.high
    assert value.low < value.snips < value.high
    assert value.low < value.switch < value.high


def test_a_better_policy_is_told_to_earn_more_than_the_log() -> None:
    log = drawn()
    value = policy_value(log, best_policy(log), expected_reward(log, seed=0))
    assert value.gain_low > 0
    assert value.gain == pytest.approx(value.value - log.reward.mean())


def test_the_estimate_equals_a_plain_loop() -> None:
    log = drawn(400)
    policy = uniform_policy(log)
    value = policy_value(log, policy, expected_reward(log, seed=3))
    assert value.value == pytest.approx(naive_dr(log, policy, 3))
    weight = 1 / 3 / log.propensity
    assert value.ips == pytest.approx(np.mean(weight * log.reward))
    assert value.snips == pytest.approx(np.sum(weight * log.reward) / np.sum(weight))


def test_the_policy_of_the_log_itself_has_the_value_of_the_log() -> None:
    log = drawn(5_000)
    chances = np.array([[0.5, 0.3, 0.2], [0.2, 0.7, 0.1]])
    value = policy_value(log, group_policy("same", log, chances), expected_reward(log, seed=0))
    assert value.ips == value.snips == pytest.approx(log.reward.mean())
    assert value.gain_low < 0 < value.gain_high


@settings(max_examples=tries(30), deadline=None)
@given(factor=st.floats(0.01, 1000), shift=st.floats(-5, 5), seed=st.integers(0, 99))
def test_other_units_of_the_reward_change_nothing_but_the_units(
    factor: float, shift: float, seed: int
) -> None:
    log = drawn(1_000, seed)
    policy = uniform_policy(log)
    plain = policy_value(log, policy, expected_reward(log, seed=0))
    changed = DecisionLog(**{**vars(log), "reward": log.reward * factor})
    scaled = policy_value(changed, policy, expected_reward(changed, seed=0))
    assert scaled.value == pytest.approx(plain.value * factor)
    assert scaled.low == pytest.approx(plain.low * factor)
    moved = DecisionLog(**{**vars(log), "reward": log.reward + shift})
    gain = policy_value(moved, policy, expected_reward(moved, seed=0)).gain
    assert gain == pytest.approx(plain.gain, abs=0.05 * (1 + abs(shift)))


def test_repeated_decisions_of_a_person_widen_the_interval() -> None:
    log = drawn(2_000)
    people = np.repeat(np.arange(500), 4)
    alike = DecisionLog(**{**vars(log), "reward": np.repeat(log.reward[:500], 4), "person": people})
    apart = DecisionLog(**{**vars(alike), "person": np.arange(2_000)})
    low, high = logged_value(alike)[1:]
    assert high - low > 1.8 * (logged_value(apart)[2] - logged_value(apart)[1])


def rows_of(log: DecisionLog, rows: Array | slice) -> DecisionLog:
    cut = {name: v[rows] if isinstance(v, np.ndarray) else v for name, v in vars(log).items()}
    return DecisionLog(**cut)


def test_a_log_with_two_effective_decisions_is_refused() -> None:
    log = drawn(4_000)
    rare = log.propensity.copy()
    rare[:2] = 1e-6
    heavy = DecisionLog(**{**vars(log), "propensity": rare})
    value = policy_value(heavy, uniform_policy(heavy), expected_reward(heavy, seed=0))
    assert "about 2 decisions" in value.unknown
    assert np.isnan([value.value, value.low, value.gain]).all()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda log: rows_of(log, slice(60)), "are needed"),
        (lambda log: DecisionLog(**{**vars(log), "propensity": log.propensity / 2}), "average 2.0"),
        (lambda log: DecisionLog(**{**vars(log), "reward": log.reward * 0}), "0 rewarded"),
    ],
    ids=["few decisions", "wrong propensities", "no reward"],
)
def test_what_a_log_cannot_tell_is_said(
    change: Callable[[DecisionLog], DecisionLog], reason: str
) -> None:
    log = change(drawn(4_000))
    value = policy_value(log, uniform_policy(log), expected_reward(log, seed=0))
    assert reason in value.unknown


def test_an_offer_that_a_group_never_got_is_named() -> None:
    log = drawn(4_000)
    kept: Array = ~((log.group == 1) & (log.offer == 2))
    log = rows_of(log, kept)
    value = policy_value(log, constant_policy(log, 2), expected_reward(log, seed=0))
    assert "such as voucher in loyal" in value.unknown


def test_the_gain_over_another_policy_is_the_difference_of_both_values() -> None:
    log = drawn()
    expected = expected_reward(log, seed=1)
    best, nothing = best_policy(log), constant_policy(log, 0)
    both = policy_value(log, best, expected, against=nothing)
    alone = policy_value(log, nothing, expected)
    assert both.value == policy_value(log, best, expected).value
    assert both.gain == pytest.approx(both.value - alone.value)
    truth = float(np.mean([REWARD[0, 1] - REWARD[0, 0], REWARD[1, 2] - REWARD[1, 0]]))
    assert both.gain_low < truth < both.gain_high
    assert policy_value(log, best, expected, against=best).gain == 0.0


def test_a_comparison_policy_that_the_log_never_followed_is_unknown() -> None:
    log = drawn(count=400)
    never = DecisionLog(
        (*log.offers, "gift"), log.offer, log.propensity, log.reward, log.groups, log.group,
        log.context, log.person,
    )  # fmt: skip
    expected = expected_reward(never, seed=1)
    value = policy_value(
        never, uniform_of_first(never), expected, against=constant_policy(never, 3)
    )
    assert value.unknown.startswith("always gift: 100% of its decisions")
    assert np.isnan(value.gain)


def uniform_of_first(log: DecisionLog) -> Policy:
    return group_policy("first", log, np.array([[0.4, 0.3, 0.3, 0.0]] * 2))
