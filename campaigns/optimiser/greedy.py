"""Assignment by prices: places go out by value above price, under a bound none can exceed.

Prices for the scarce places and the money come from the linear programme of some of the customers,
and are bettered on the Lagrangian dual, of some more and then of all
(`campaigns/optimiser/lagrangian_bound.py`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from campaigns.optimiser.lagrangian_bound import best_each, bound_at, lowest
from campaigns.optimiser.problem import LAST_DIGITS, Codes, Flags, Numbers, Problem, Solution
from campaigns.optimiser.shadow_prices import Prices, relaxed

DIVIDED = 4_000  # customers whose linear programme gives the first prices
SAMPLE = 20_000  # customers on whom they are bettered before all are asked
WIDE, NARROW = 0.1, 0.02  # first steps from the prices of a few, and from those of a sample
HAIR = 1e-4  # share of a value by which it is told from its like
DEARER = (0.97, 1.0, 1.03, 1.1)  # times the price of money, of which the best is kept


def greedy(problem: Problem, *, seed: int) -> Solution:
    """Assignment by value above price, with the Lagrangian bound on what any could be worth."""
    return guided(problem, problem.open, seed)[0]


def guided(problem: Problem, usable: Flags, seed: int) -> tuple[Solution, Prices]:
    """The greedy solution, and the prices that gave its bound."""
    apart = _apart(problem, seed)
    prices = _priced(apart, usable, seed)
    priced, free = (bound_at(problem, usable, p)[0] for p in (prices, _free(problem)))
    chosen, value = np.zeros(usable.shape, dtype=bool), 0.0
    for tried in (_free(problem), *(_dearer(prices, times) for times in DEARER)):
        made = _handed_out(apart, usable, tried)
        total = float(problem.value[made].sum())
        if total > value:
            chosen, value = made, total
    bound = max(min(priced, free), value)
    solution = Solution(chosen, value, bound, "greedy")
    return solution, prices if priced <= free else _free(problem)


def _apart(problem: Problem, seed: int) -> Problem:
    """Values a hair apart: no price could divide people to whom two campaigns are worth alike.

    And budgets that pay whom they pay exactly, whatever the last digits of a sum.
    """
    hair = np.random.default_rng(seed).random(problem.value.shape)
    return replace(
        problem,
        value=problem.value * (1 + HAIR * hair),
        campaign_budget=problem.campaign_budget * (1 + LAST_DIGITS),
        budget=problem.budget * (1 + LAST_DIGITS),
    )


def _dearer(prices: Prices, times: float) -> Prices:
    """The same with dearer money: near its right price many pairs are worth about nothing."""
    return replace(prices, money=prices.money * times, common=prices.common * times)


def _free(problem: Problem) -> Prices:
    none = np.zeros(problem.value.shape[1])
    return Prices(none, none)


def _priced(problem: Problem, usable: Flags, seed: int) -> Prices:
    """Prices by the linear programme of a few, bettered on some, then on all customers."""
    some = np.flatnonzero(usable.any(axis=1))
    rng = np.random.default_rng(seed)

    def drawn(size: int) -> tuple[Problem, Flags]:
        if len(some) <= size:
            return problem, usable
        rows = np.sort(rng.choice(some, size, replace=False))
        return problem.part(rows, size / len(some)), usable[rows]

    prices = relaxed(*drawn(DIVIDED)) or _free(problem)
    if len(some) > SAMPLE:
        prices = lowest(*drawn(SAMPLE), prices, WIDE)
    return lowest(problem, usable, prices, NARROW if len(some) > SAMPLE else WIDE)


def _handed_out(problem: Problem, usable: Flags, prices: Prices) -> Flags:
    """What is best at some prices, as far as there is room; then places handed out in rounds.

    In a round everyone asks for the best left, and campaigns take the best. Nobody who has a place
    loses it. A pair that a campaign has refused is not asked for again, so the rounds end. The
    later rounds ignore the prices of places, the last also those of money, so that none is left
    for their sake.
    """
    net = prices.net(problem, usable)
    chosen = _made_to_fit(problem, net, best_each(problem, net))
    state = _Left(problem, chosen)
    rows = np.arange(len(usable))
    for round_prices in (
        prices,
        replace(prices, place=np.zeros_like(prices.place)),
        _free(problem),
    ):
        net = round_prices.net(problem, usable & ~chosen)
        while True:
            net[:, ~state.places] = -np.inf
            open_rows = rows[(state.left > 0) & (net.max(axis=1, initial=-np.inf) > 0)]
            if not len(open_rows):
                break
            which = np.argmax(net[open_rows], axis=1)
            asked = net[open_rows, which].copy()
            net[open_rows, which] = -np.inf
            fits = state.by_channel[open_rows, problem.channel[open_rows, which]] > 0
            who, which, asked = open_rows[fits], which[fits], asked[fits]
            for campaign in np.unique(which):
                mine = which == campaign
                order = np.argsort(-asked[mine], kind="stable")
                taken = state.take(who[mine][order], int(campaign))
                chosen[taken, campaign] = True
    return chosen


def _made_to_fit(problem: Problem, net: Numbers, chosen: Flags) -> Flags:
    """Without the pairs worth least above price, campaign by campaign and then of all together.

    Where places are short a pair counts by its worth, where money is, by its worth per money.
    """
    who, which = np.nonzero(chosen)
    worth, cost = net[who, which], problem.cost[who, which]
    density = worth / np.maximum(cost, 1e-12)
    kept = np.ones(len(who), dtype=bool)
    for campaign in range(chosen.shape[1]):
        mine = np.flatnonzero(which == campaign)
        places = np.floor(problem.capacity[campaign])
        if len(mine) > places:
            kept[mine[np.argsort(-worth[mine], kind="stable")[int(places) :]]] = False
            mine = mine[kept[mine]]
        _drop_unpaid(kept, mine, density, cost, problem.campaign_budget[campaign])
    _drop_unpaid(kept, np.flatnonzero(kept), density, cost, problem.budget)
    fitting = np.zeros_like(chosen)
    fitting[who[kept], which[kept]] = True
    return fitting


def _drop_unpaid(kept: Flags, mine: Codes, density: Numbers, cost: Numbers, money: float) -> None:
    """Unset those of some pairs, the densest first, whom money does not pay any more."""
    if cost[mine].sum() > money:
        ordered = mine[np.argsort(-density[mine], kind="stable")]
        kept[ordered[~_affordable(cost[ordered], money)]] = False


class _Left:
    """What some chosen pairs leave of places, money and contacts."""

    def __init__(self, problem: Problem, chosen: Flags) -> None:
        self.problem = problem
        self.left, self.by_channel = problem.at_most.copy(), problem.channel_left.copy()
        spent = (chosen * problem.cost).sum(axis=0)
        self.capacity = np.floor(problem.capacity) - chosen.sum(axis=0)
        self.money = problem.campaign_budget - spent
        self.budget = problem.budget - float(spent.sum())
        who, which = np.nonzero(chosen)
        self.left -= chosen.sum(axis=1)
        np.subtract.at(self.by_channel, (who, problem.channel[who, which]), 1)

    @property
    def places(self) -> Flags:
        """Campaigns with a place left."""
        return self.capacity >= 1

    def take(self, ordered: Codes, campaign: int) -> Codes:
        """Those of some customers, best first, whom the campaign can still take."""
        limit = min(self.capacity[campaign], len(ordered))
        cost = self.problem.cost[ordered, campaign]
        money = min(self.money[campaign], self.budget)
        if cost.sum() > money:
            ordered = ordered[_affordable(cost, money)]
        taken = ordered[: int(limit)]
        spent = float(self.problem.cost[taken, campaign].sum())
        self.capacity[campaign] -= len(taken)
        self.money[campaign] -= spent
        self.budget -= spent
        self.left[taken] -= 1
        self.by_channel[taken, self.problem.channel[taken, campaign]] -= 1
        return taken


def _affordable(cost: Numbers, money: float) -> Flags:
    """A longest prefix that the money pays, then whoever else still fits in turn."""
    fits = np.cumsum(cost) <= money
    rest = money - float(cost[fits].sum())
    for number in np.flatnonzero(~fits)[:1000]:
        if cost[number] <= rest:
            fits[number] = True
            rest -= float(cost[number])
    return fits
