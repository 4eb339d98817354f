"""The greedy assignment and its bound beside plain second answers, on small cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.optimiser import greedy as rounds
from campaigns.optimiser import lagrangian_bound
from campaigns.optimiser.exact import solve_exactly
from campaigns.optimiser.greedy import greedy_with_prices, solve_greedily
from campaigns.optimiser.lagrangian_bound import bound_at
from campaigns.optimiser.problem import Prices
from tests.campaigns.assignment_cases import (
    assert_kept,
    best_of_all,
    by_linear_programme,
    by_value_in_turn,
    case,
    left_over,
    roomy,
)
from tests.tries import tries


@settings(max_examples=tries(12), deadline=None)
@given(seed=st.integers(0, 10_000), money=st.booleans())
def test_nobody_is_left_for_whom_there_is_room(seed: int, money: bool) -> None:
    problem = case(25, 4, seed, at_most=3, money=money)
    found = solve_greedily(problem, seed=1)
    assert_kept(problem, found)
    assert left_over(problem, found.chosen) == []


def test_it_finds_nearly_all_and_more_than_whoever_takes_pairs_in_turn() -> None:
    found, in_turn, best = 0.0, 0.0, 0.0
    for seed in range(12):
        problem = case(30, 4, seed, at_most=3)
        made = solve_greedily(problem, seed=1)
        orders = (problem.value, problem.value / problem.cost)
        most = max(by_value_in_turn(problem, worth) for worth in orders)
        assert made.value >= 0.95 * most
        assert made.bound >= best_of_all(problem) - 1e-6
        assert made.bound <= by_linear_programme(problem) * (1 + 1e-4) + 1e-6
        found, in_turn, best = found + made.value, in_turn + most, best + best_of_all(problem)
    assert found > in_turn
    assert found > 0.98 * best


def test_prices_of_a_sample_hold_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    for most, size in (("DIVIDED", 60), ("SAMPLE", 150)):
        monkeypatch.setattr(rounds, most, size)
    for seed in range(4):
        problem = case(400, 4, seed)
        found, prices = greedy_with_prices(problem, problem.open, 1)
        assert_kept(problem, found)
        programme = by_linear_programme(problem)
        assert programme - 1e-6 <= found.bound <= programme * (1 + 1e-4)
        assert bound_at(problem, problem.open, prices)[0] == pytest.approx(found.bound)
        assert found.value >= 0.99 * programme


def test_prices_of_a_few_are_nearly_those_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "DIVIDED", 100)
    monkeypatch.setattr(lagrangian_bound, "DUAL_STEPS", 0)  # they are not bettered on all
    nothing = Prices(np.zeros(4), np.zeros(4))
    for seed in range(6):
        problem = case(400, 4, seed)
        programme = by_linear_programme(problem)
        few = solve_greedily(problem, seed=1)
        assert few.bound <= programme * 1.02
        assert bound_at(problem, problem.open, nothing)[0] > programme * 1.1
        assert solve_greedily(problem, seed=1).bound == few.bound


def test_the_same_seed_gives_the_same_assignment() -> None:
    alike = roomy(np.full((60, 2), 3.0), capacity=np.array([20.0, 10.0]))
    first, again, other = (solve_greedily(alike, seed=seed).chosen for seed in (1, 1, 2))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()
    assert first.sum(axis=0).tolist() == [20, 10]


@pytest.mark.parametrize(("customers", "campaigns"), [(0, 2), (3, 0)])
def test_where_there_are_no_pairs_nothing_is_assigned(customers: int, campaigns: int) -> None:
    problem = roomy(np.ones((customers, campaigns)), budget=1.0)
    for found in (solve_greedily(problem, seed=1), solve_exactly(problem, seed=1)):
        assert found.chosen.shape == (customers, campaigns)
        assert (found.value, found.bound, found.gap) == (0.0, 0.0, 0.0)


def test_money_that_pays_just_so_many_pays_all_of_them() -> None:
    # 0.1 + 0.1 + 0.1 is a last digit more than 0.3.
    some = roomy(np.full((5, 1), 3.0), cost=np.full((5, 1), 0.1), budget=0.3)
    assert solve_greedily(some, seed=1).chosen.sum() == 3
    own = roomy(np.full((5, 1), 3.0), cost=np.full((5, 1), 0.1), campaign_budget=np.array([0.3]))
    assert solve_greedily(own, seed=1).chosen.sum() == 3


def test_a_second_contact_of_a_channel_may_be_given_after_the_first() -> None:
    # At first the only place of the second campaign goes to whom the money cannot pay.
    problem = roomy(
        [[5.0, 3.0], [0.0, 10.0]],
        cost=np.array([[1.0, 1.0], [1.0, 4.0]]),
        capacity=np.array([2.0, 1.0]),
        channel_left=np.array([[2], [2]]),
        budget=3.0,
    )
    assert solve_greedily(problem, seed=1).chosen.tolist() == [[True, True], [False, False]]
