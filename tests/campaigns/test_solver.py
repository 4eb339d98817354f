from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from campaigns.dual import bound_at, lowest
from campaigns.greedy import greedy
from campaigns.prices import Prices, limit_rows
from campaigns.problem import Problem, Solution
from campaigns.solver import CORES, exact, solve


def case(n: int, m: int, seed: int, *, at_most: int = 2, money: bool = True) -> Problem:
    """A case in which places, contacts and money are all scarce."""
    rng = np.random.default_rng(seed)
    value = rng.gamma(2, 10, (n, 1)) * rng.uniform(0.1, 0.5, (1, m)) * rng.lognormal(0, 0.4, (n, m))
    value -= 1
    value[rng.random((n, m)) < 0.4] = np.nan
    cost = rng.choice([0.1, 0.5, 2.0], (n, m))
    return Problem(
        value=value,
        cost=cost,
        channel=np.broadcast_to(rng.integers(0, 2, m), (n, m)).astype(np.int64),
        at_most=rng.integers(0, at_most + 1, n),
        channel_left=rng.integers(0, 3, (n, 2)),
        capacity=np.where(rng.random(m) < 0.7, np.floor(n * rng.uniform(0.05, 0.3, m)), np.inf),
        campaign_budget=np.where(rng.random(m) < 0.3, n * 0.05, np.inf),
        budget=n * 0.2 if money else np.inf,
    )


def assert_kept(problem: Problem, found: Solution) -> None:
    chosen = found.chosen
    assert not (chosen & ~(problem.value > 0)).any()
    assert (chosen.sum(axis=1) <= problem.at_most).all()
    for channel in range(problem.channel_left.shape[1]):
        used = (chosen & (problem.channel == channel)).sum(axis=1)
        assert (used <= problem.channel_left[:, channel]).all()
    assert (chosen.sum(axis=0) <= problem.capacity).all()
    spent = (chosen * problem.cost).sum(axis=0)
    assert (spent <= problem.campaign_budget + 1e-9).all()
    assert spent.sum() <= problem.budget + 1e-9
    assert found.value == pytest.approx(problem.value[chosen].sum())
    assert found.value <= found.bound * (1 + 1e-12) + 1e-12


def by_trying(problem: Problem) -> float:
    """The best total, by trying every assignment."""
    n, m = problem.value.shape
    best = 0.0
    for bits in itertools.product([False, True], repeat=n * m):
        chosen = np.array(bits).reshape(n, m)
        cost = (chosen * problem.cost).sum(axis=0)
        used = [(chosen & (problem.channel == c)).sum(axis=1) for c in (0, 1)]
        if (
            not (chosen & ~(problem.value > 0)).any()
            and (chosen.sum(axis=1) <= problem.at_most).all()
            and (np.stack(used, axis=1) <= problem.channel_left).all()
            and (chosen.sum(axis=0) <= problem.capacity).all()
            and (cost <= problem.campaign_budget).all()
            and cost.sum() <= problem.budget
        ):
            best = max(best, float(problem.value[chosen].sum()))
    return best


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_exact_solution_is_the_best_of_all_assignments(seed: int) -> None:
    problem = case(4, 2, seed)
    best = by_trying(problem)
    found = exact(problem, seed=1)
    assert_kept(problem, found)
    assert found.value == pytest.approx(best)
    assert found.method == "exact"
    quick = greedy(problem, seed=1)
    assert_kept(problem, quick)
    assert quick.value <= best + 1e-9
    assert quick.bound >= best - 1e-9


@settings(max_examples=8, deadline=None)
@given(n=st.integers(1, 60), m=st.integers(1, 6), seed=st.integers(0, 10_000), money=st.booleans())
def test_no_limit_is_ever_exceeded_and_the_bound_holds(
    n: int, m: int, seed: int, money: bool
) -> None:
    problem = case(n, m, seed, money=money)
    quick, best = greedy(problem, seed=2), exact(problem, seed=2, seconds=1)
    for found in (quick, best):
        assert_kept(problem, found)
    assert best.value >= quick.value - 1e-9
    assert quick.bound >= best.value - 1e-9


def test_beyond_the_limit_the_greedy_one_is_taken_and_its_gap_is_small() -> None:
    problem = case(3000, 8, 5)
    found = solve(problem, seed=1, exact_pairs=100)
    assert found.method == "greedy"
    assert_kept(problem, found)
    assert found.gap < 0.01
    again = solve(problem, seed=1, exact_pairs=100)
    assert (again.chosen == found.chosen).all()


def test_nothing_to_win_gives_an_empty_assignment() -> None:
    problem = case(10, 2, 1)
    none = Problem(
        np.full_like(problem.value, np.nan), problem.cost, problem.channel, problem.at_most,
        problem.channel_left, problem.capacity, problem.campaign_budget,
    )  # fmt: skip
    found = solve(none, seed=1)
    assert (found.value, found.gap, found.method) == (0.0, 0.0, "exact")
    assert not found.chosen.any()


def by_linear_programme(problem: Problem) -> float:
    """The best total where people could be divided: what the lowest bound must come down to."""
    who, which = np.nonzero(problem.open)
    rows = limit_rows(problem, who, which)
    found = optimize.linprog(
        -problem.value[who, which], A_ub=rows.matrix, b_ub=rows.limits, bounds=(0, 1)
    )
    return -float(found.fun)


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_bound_is_that_of_the_linear_programme(seed: int) -> None:
    problem = case(300, 4, seed)
    programme = by_linear_programme(problem)
    for prices in (
        Prices(np.zeros(4), np.zeros(4)),
        Prices(np.full(4, 50.0), np.full(4, 20.0), 9.0),
    ):
        bound = bound_at(problem, problem.open, lowest(problem, problem.open, prices, 0.1))[0]
        assert programme - 1e-6 <= bound <= programme * (1 + 1e-4) + 1e-6


def test_a_core_that_is_not_the_whole_case_is_proven_by_the_bound_of_the_prices() -> None:
    problem = case(4_000, 6, 3)
    assert problem.open.sum() > CORES[0]
    found = exact(problem, seed=1)
    assert_kept(problem, found)
    assert found.method == "exact"
    assert found.value >= by_linear_programme(problem) * (1 - 2e-5)
