from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from campaigns.dual import best_each, bound_at, lowest
from campaigns.greedy import greedy
from campaigns.prices import PLACES, Prices, limit_rows, relaxed
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


def test_a_case_of_just_so_many_pairs_is_solved_exactly() -> None:
    problem = case(20, 3, 5)
    pairs = int(problem.open.sum())
    assert solve(problem, seed=1, exact_pairs=pairs).method == "exact"
    assert solve(problem, seed=1, exact_pairs=pairs - 1).method == "greedy"


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_each_customers_best_is_the_best_of_all_their_choices(seed: int) -> None:
    problem = case(8, 4, seed, at_most=3)
    worth = np.round(problem.value) - 2  # some are worth exactly nothing
    net = np.where(problem.open, worth, -np.inf)
    chosen = best_each(problem, net)
    assert (net[chosen] > 0).all()
    for row in range(8):
        totals = [0.0]
        for bits in itertools.product([False, True], repeat=4):
            taken = np.array(bits)
            used = np.bincount(problem.channel[row][taken], minlength=2)
            if taken.sum() <= problem.at_most[row] and (used <= problem.channel_left[row]).all():
                totals.append(float(net[row][taken].sum()))
        assert net[row][chosen[row]].sum() == max(totals)


def roomy(value: list[list[float]], **limits: object) -> Problem:
    """A case of one channel in which only the limits given are scarce."""
    values = np.array(value)
    n, m = values.shape
    free: dict[str, object] = {
        "cost": np.ones((n, m)),
        "channel": np.zeros((n, m), dtype=np.int64),
        "at_most": np.full(n, m),
        "channel_left": np.full((n, 1), m),
        "capacity": np.full(m, np.inf),
        "campaign_budget": np.full(m, np.inf),
    }
    return Problem(value=values, **{**free, **limits})  # type: ignore[arg-type]


def test_where_there_is_room_for_all_of_value_all_are_taken() -> None:
    worth = [[3.0, 1.0, 2.0], [1.0, np.nan, -1.0], [0.0, 4.0, 5.0]]
    for chosen in (greedy(roomy(worth), seed=1).chosen, exact(roomy(worth), seed=1).chosen):
        assert chosen.tolist() == [[True, True, True], [True, False, False], [False, True, True]]
    # Room for all of them, and no more than that, in every limit.
    just = roomy(worth, capacity=np.array([2.0, 2.0, 2.0]), budget=6.0)
    assert greedy(just, seed=1).chosen.sum() == 6
    two = roomy([[3.0, 1.0, 2.0]], channel_left=np.array([[2]]))
    assert greedy(two, seed=1).chosen.tolist() == [[True, False, True]]


def test_the_last_place_goes_to_whom_it_is_worth_most() -> None:
    short = roomy([[1.0], [3.0], [2.0]], capacity=np.array([2.0]))
    assert greedy(short, seed=1).chosen[:, 0].tolist() == [False, True, True]
    paid = roomy([[4.0], [3.0], [2.0]], cost=np.array([[4.0], [1.0], [1.0]]), budget=2.0)
    assert greedy(paid, seed=1).chosen[:, 0].tolist() == [False, True, True]
    assert exact(paid, seed=1).value == 5.0


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


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), money=st.booleans())
def test_the_prices_of_the_programme_are_the_best_there_are(seed: int, money: bool) -> None:
    problem = case(60, 4, seed, money=money)
    prices = relaxed(problem, problem.open)
    assert prices is not None
    bound = bound_at(problem, problem.open, prices)[0]
    assert bound == pytest.approx(by_linear_programme(problem), rel=1e-7)


def test_where_only_contacts_are_scarce_places_and_money_cost_nothing() -> None:
    problem = roomy([[3.0, 1.0], [2.0, 4.0]], at_most=np.array([1, 1]))
    prices = relaxed(problem, problem.open)
    assert prices is not None
    assert (prices.place.tolist(), prices.money.tolist()) == ([0.0, 0.0], [0.0, 0.0])
    # The row of a limit that everybody keeps is left out; one that can be broken is not.
    who, which = np.nonzero(problem.open)
    assert limit_rows(problem, who, which).limits.tolist() == [1.0, 1.0]
    tight = roomy([[3.0], [2.0]], capacity=np.array([1.0]))
    rows = limit_rows(tight, np.array([0, 1]), np.array([0, 0]))
    assert rows.matrix.toarray().tolist() == [[1.0, 1.0]]
    assert (rows.block == PLACES).all()
    found = relaxed(tight, tight.open)
    assert found is not None
    assert found.place.tolist() == [2.0]


def test_a_core_that_is_not_the_whole_case_is_proven_by_the_bound_of_the_prices() -> None:
    problem = case(4_000, 6, 3)
    assert problem.open.sum() > CORES[0]
    found = exact(problem, seed=1)
    assert_kept(problem, found)
    assert found.method == "exact"
    assert found.value >= by_linear_programme(problem) * (1 - 2e-5)
