"""Cases of the assignment, and plain second answers to them: slow, short and separate."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy import optimize

from campaigns.optimiser.problem import Flags, FloatArray, Problem, Solution
from campaigns.optimiser.shadow_prices import limit_rows


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
        channel=rng.integers(0, 2, (n, m)),
        at_most=rng.integers(0, at_most + 1, n),
        channel_left=rng.integers(0, 3, (n, 2)),
        capacity=np.where(rng.random(m) < 0.7, np.floor(n * rng.uniform(0.05, 0.3, m)), np.inf),
        campaign_budget=np.where(rng.random(m) < 0.3, n * 0.05, np.inf),
        budget=n * 0.2 if money else np.inf,
    )


def case_with_offers(n: int, m: int, seed: int, *, at_most: int = 2) -> Problem:
    """A case of m campaigns with one to three offers each, some of them of few places."""
    rng = np.random.default_rng([seed, 9])
    campaign = np.repeat(np.arange(m), rng.integers(1, 4, m))
    wide = case(n, len(campaign), seed, at_most=at_most)
    return replace(
        wide,
        capacity=np.where(rng.random(m) < 0.5, np.floor(n * rng.uniform(0.1, 0.4, m)), np.inf),
        campaign_budget=np.where(rng.random(m) < 0.3, n * 0.05, np.inf),
        campaign=campaign,
        offer_capacity=np.where(
            rng.random(len(campaign)) < 0.5, np.floor(n * rng.uniform(0, 0.2)), np.inf
        ),
    )


def offers_by_campaign(problem: Problem) -> list[Flags]:
    """The offers of each campaign, as flags over all offers."""
    return [problem.campaign_of == number for number in range(len(problem.capacity))]


def assert_kept(problem: Problem, found: Solution) -> None:
    chosen = found.chosen
    assert not (chosen & ~(problem.value > 0)).any()
    assert (chosen.sum(axis=1) <= problem.at_most).all()
    for channel in range(problem.channel_left.shape[1]):
        used = (chosen & (problem.channel == channel)).sum(axis=1)
        assert (used <= problem.channel_left[:, channel]).all()
    assert (chosen.sum(axis=0) <= problem.offer_places).all()
    spent = (chosen * problem.cost).sum(axis=0)
    for number, its_offers in enumerate(offers_by_campaign(problem)):
        assert (chosen[:, its_offers].sum(axis=1) <= 1).all()
        assert chosen[:, its_offers].sum() <= problem.capacity[number]
        assert spent[its_offers].sum() <= problem.campaign_budget[number] + 1e-9
    assert spent.sum() <= problem.budget + 1e-9
    assert found.value == pytest.approx(problem.value[chosen].sum())
    assert found.value <= found.bound * (1 + 1e-12) + 1e-12


def roomy(value: list[list[float]] | FloatArray, **limits: object) -> Problem:
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
            and (cost <= problem.campaign_budget + 1e-9).all()
            and cost.sum() <= problem.budget + 1e-9
        ):
            best = max(best, float(problem.value[chosen].sum()))
    return best


def by_linear_programme(problem: Problem) -> float:
    """The best total where people could be divided: what the lowest bound must come down to."""
    who, which = np.nonzero(problem.open)
    rows = limit_rows(problem, who, which)
    found = optimize.linprog(
        -problem.value[who, which], A_ub=rows.matrix, b_ub=rows.limits, bounds=(0, 1)
    )
    return -float(found.fun)


def limits_by_hand(problem: Problem) -> tuple[FloatArray, FloatArray]:
    """Every limit as a row over all pairs, whether or not it could be exceeded."""
    n, m = problem.value.shape
    rows, limits = [], []

    def limit(weights: FloatArray, most: float) -> None:
        if np.isfinite(most):
            rows.append(weights.ravel())
            limits.append(float(most))

    for who in range(n):
        mine = np.zeros((n, m))
        mine[who] = 1
        limit(mine, problem.at_most[who])
        for channel in range(problem.channel_left.shape[1]):
            limit(mine * (problem.channel == channel), problem.channel_left[who, channel])
        for its_offers in offers_by_campaign(problem):
            limit(mine * its_offers, 1)
    for which in range(m):
        mine = np.zeros((n, m))
        mine[:, which] = 1
        limit(mine, problem.offer_places[which])
    for number, its_offers in enumerate(offers_by_campaign(problem)):
        mine = np.tile(its_offers.astype(float), (n, 1))
        limit(mine, problem.capacity[number])
        limit(mine * problem.cost, problem.campaign_budget[number])
    limit(problem.cost, problem.budget)
    return np.array(rows).reshape(-1, n * m), np.array(limits)


def best_of_all(problem: Problem) -> float:
    """The best total by one integer programme of all pairs and all limits."""
    rows, limits = limits_by_hand(problem)
    found = optimize.milp(
        -np.nan_to_num(problem.value, nan=0.0).ravel(),
        constraints=optimize.LinearConstraint(rows, ub=limits) if len(limits) else None,
        bounds=optimize.Bounds(0, (problem.value > 0).astype(float).ravel()),
        integrality=np.ones(problem.value.size),
        options={"mip_rel_gap": 0.0},
    )
    return -float(found.fun)


def by_value_in_turn(problem: Problem, worth: FloatArray) -> float:
    """The total where pairs are taken in turn, those of most worth first, as far as they fit."""
    chosen = np.zeros(problem.value.shape, dtype=bool)
    for flat in np.argsort(-np.nan_to_num(worth, nan=-1.0), axis=None, kind="stable"):
        who, which = np.unravel_index(flat, worth.shape)
        if problem.value[who, which] > 0 and fits(problem, chosen, int(who), int(which)):
            chosen[who, which] = True
    return float(problem.value[chosen].sum())


def fits(problem: Problem, chosen: Flags, who: int, which: int) -> bool:
    """Whether one more pair keeps every limit."""
    more = chosen.copy()
    more[who, which] = True
    spent = (more * problem.cost).sum(axis=0)
    same = problem.channel[who] == problem.channel[who, which]
    return bool(
        more[who].sum() <= problem.at_most[who]
        and more[who, same].sum() <= problem.channel_left[who, problem.channel[who, which]]
        and more[:, which].sum() <= problem.capacity[which]
        and spent[which] <= problem.campaign_budget[which] + 1e-9
        and spent.sum() <= problem.budget + 1e-9
    )


def left_over(problem: Problem, chosen: Flags) -> list[tuple[int, int]]:
    """Pairs of value that were not chosen, though there is room for them."""
    open_ = zip(*np.nonzero((problem.value > 0) & ~chosen), strict=True)
    return [(int(a), int(b)) for a, b in open_ if fits(problem, chosen, int(a), int(b))]
