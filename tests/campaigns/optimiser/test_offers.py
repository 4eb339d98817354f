"""Assignments where campaigns have several offers, of which a customer gets at most one."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.optimiser import exact as solver
from campaigns.optimiser.exact import solve_exactly
from campaigns.optimiser.greedy import solve_greedily
from campaigns.optimiser.lagrangian_bound import best_per_customer
from campaigns.optimiser.problem import Problem
from campaigns.optimiser.shadow_prices import limit_rows
from tests.campaigns.assignment_cases import (
    assert_kept,
    best_of_all,
    case,
    case_with_offers,
    limits_by_hand,
    offers_by_campaign,
    roomy,
)
from tests.tries import tries


@settings(max_examples=tries(15), deadline=None)
@given(n=st.integers(1, 25), m=st.integers(1, 4), seed=st.integers(0, 10_000))
def test_no_limit_is_exceeded_and_the_bound_holds(n: int, m: int, seed: int) -> None:
    problem = case_with_offers(n, m, seed, at_most=3)
    best = best_of_all(problem)
    for found in (solve_greedily(problem, seed=2), solve_exactly(problem, seed=2, seconds=5)):
        assert_kept(problem, found)
        assert found.bound >= best - 1e-6
    if found.method == "exact":
        assert found.value >= best * (1 - 1.1e-5)


@pytest.mark.parametrize("cores", [(5, 20), (15, 10_000)])
def test_whatever_the_core_the_bound_holds(
    cores: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(solver, "CORES", cores)
    value, most = 0.0, 0.0
    for seed in range(12):
        problem = case_with_offers(30, 3, seed, at_most=3)
        found, best = solve_exactly(problem, seed=1), best_of_all(problem)
        assert_kept(problem, found)
        assert found.bound >= best - 1e-6
        if found.method == "exact":
            assert found.value >= best * (1 - 1.1e-5)
        value, most = value + found.value, most + best
    assert value >= most * (1 - 2e-3)


@settings(max_examples=tries(25), deadline=None)
@given(seed=st.integers(0, 10_000))
def test_relaxed_caps_bound_the_best_choice_of_each_customer(seed: int) -> None:
    problem = case_with_offers(8, 2, seed, at_most=3)
    net = np.where(problem.open, problem.value, -np.inf)
    strict, relaxed = best_per_customer(problem, net), best_per_customer(problem, net, relaxed=True)
    offers = problem.value.shape[1]
    for row in range(8):
        totals = [0.0]
        for bits in itertools.product([False, True], repeat=offers):
            taken = np.array(bits)
            used = np.bincount(problem.channel[row][taken], minlength=2)
            if (
                taken.sum() <= problem.at_most[row]
                and (used <= problem.channel_left[row]).all()
                and all(taken[its].sum() <= 1 for its in offers_by_campaign(problem))
            ):
                totals.append(float(net[row][taken].sum()))
        assert net[row][strict[row]].sum() <= max(totals) + 1e-9
        assert net[row][relaxed[row]].sum() >= max(totals) - 1e-9
        if (problem.channel_left[row] >= problem.at_most[row]).all() or problem.at_most[row] == 1:
            assert net[row][strict[row]].sum() == pytest.approx(max(totals))


@settings(max_examples=tries(20), deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_rows_of_limits_allow_what_the_limits_allow(seed: int) -> None:
    problem = case_with_offers(5, 2, seed)
    who, which = np.nonzero(problem.value > 0)
    rows, plain = limit_rows(problem, who, which), limits_by_hand(problem)
    rng = np.random.default_rng(seed)
    for share in (0.1, 0.2, 0.5):
        for _ in range(10):
            chosen = np.zeros(problem.value.shape)
            chosen[who, which] = rng.random(len(who)) < share
            kept = (rows.matrix @ chosen[who, which] <= rows.limits + 1e-9).all()
            assert kept == (plain[0] @ chosen.ravel() <= plain[1] + 1e-9).all()


@settings(max_examples=tries(6), deadline=None)
@given(seed=st.integers(0, 10_000))
def test_campaigns_of_one_offer_are_assigned_as_without_offers(seed: int) -> None:
    problem = case(200, 4, seed)
    named = replace(problem, campaign=np.arange(4), offer_capacity=np.full(4, np.inf))
    plain, same = solve_exactly(problem, seed=1), solve_exactly(named, seed=1)
    assert (plain.chosen == same.chosen).all()
    assert (plain.value, plain.bound) == (same.value, same.bound)


def test_a_scarce_offer_goes_to_those_who_gain_most_by_it_and_has_a_price() -> None:
    problem: Problem = roomy(
        [[5.0, 4.0], [5.0, 1.0], [3.0, 2.5]],
        capacity=np.array([np.inf]),
        campaign_budget=np.array([np.inf]),
        campaign=np.array([0, 0]),
        offer_capacity=np.array([1.0, np.inf]),
    )
    found = solve_exactly(problem, seed=1)
    assert found.chosen.tolist() == [[False, True], [True, False], [False, True]]
    assert found.method == "exact"
    prices = solve_greedily(problem, seed=1).prices
    assert prices.offer_place is not None
    # The second place would bring what the first customer gains by it: 5 - 4.
    assert prices.offer_place[0] == pytest.approx(1.0, abs=0.05)
