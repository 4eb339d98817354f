"""Greedy assignment by net value (value minus prices), with a Lagrangian upper bound.

The linear programme of a sample of customers gives first prices of places and money. The
Lagrangian dual of a larger sample, then of all customers, improves them
(`campaigns/optimiser/lagrangian_bound.py`).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from campaigns.optimiser.lagrangian_bound import best_per_customer, bound_at, minimise_bound
from campaigns.optimiser.problem import (
    LAST_DIGITS,
    Codes,
    Flags,
    FloatArray,
    Prices,
    Problem,
    Solution,
)
from campaigns.optimiser.shadow_prices import linear_programme_prices

DIVIDED = 4_000  # customers in the linear programme that gives the first prices
SAMPLE = 20_000  # customers in the dual that improves them before the dual of all
WIDE, NARROW = 0.1, 0.02  # first box width, from the first prices and from those of a sample
_TIE_NOISE = 1e-4  # relative random noise that breaks ties between values
_MONEY_FACTORS = (0.97, 1.0, 1.03, 1.1)  # factors on the price of money; the best result is kept


def solve_greedily(problem: Problem, *, seed: int) -> Solution:
    """Greedy solution by net value, with the Lagrangian bound on the best value."""
    return greedy_with_prices(problem, problem.open, seed)[0]


def greedy_with_prices(problem: Problem, usable: Flags, seed: int) -> tuple[Solution, Prices]:
    """Greedy solution, and the prices of its bound."""
    distinct = _break_ties(problem, seed)
    prices = _dual_prices(distinct, usable, seed)
    bound_at_prices, bound_without_prices = (
        bound_at(problem, usable, p)[0] for p in (prices, _zero_prices(problem))
    )
    # The best assignment over several prices of money.
    chosen, value = np.zeros(usable.shape, dtype=bool), 0.0
    for trial_prices in (
        _zero_prices(problem),
        *(_raise_money_prices(prices, times) for times in _MONEY_FACTORS),
    ):
        assignment = _assign_in_rounds(distinct, usable, trial_prices)
        total = float(problem.value[assignment].sum())
        if total > value:
            chosen, value = assignment, total
    bound = max(min(bound_at_prices, bound_without_prices), value)
    if bound_at_prices > bound_without_prices:
        prices = _zero_prices(problem)
    solution = Solution(chosen, value, bound, "greedy", prices, _another_contact(problem, prices))
    return solution, prices


def _another_contact(problem: Problem, prices: Prices) -> float:
    """Rise of the bound at fixed prices if every customer may get one more contact."""
    more = replace(problem, at_most=problem.at_most + 1, channel_left=problem.channel_left + 1)
    return bound_at(more, more.open, prices)[0] - bound_at(problem, problem.open, prices)[0]


def _break_ties(problem: Problem, seed: int) -> Problem:
    """Break ties with tiny random noise: no price separates customers with equal values.

    Budgets grow by the rounding error of a sum, so that exact payments stay possible.
    """
    noise = np.random.default_rng(seed).random(problem.value.shape)
    return replace(
        problem,
        value=problem.value * (1 + _TIE_NOISE * noise),
        campaign_budget=problem.campaign_budget * (1 + LAST_DIGITS),
        budget=problem.budget * (1 + LAST_DIGITS),
    )


def _raise_money_prices(prices: Prices, factor: float) -> Prices:
    """Scale the prices of money: near the right price many pairs have a net value near 0."""
    return replace(prices, money=prices.money * factor, common=prices.common * factor)


def _zero_prices(problem: Problem) -> Prices:
    zeros = np.zeros(problem.value.shape[1])
    return Prices(zeros, zeros)


def _dual_prices(problem: Problem, usable: Flags, seed: int) -> Prices:
    """Prices from the linear programme of a sample, improved on a larger sample, then on all."""
    with_campaigns = np.flatnonzero(usable.any(axis=1))
    generator = np.random.default_rng(seed)

    def drawn(sample_size: int) -> tuple[Problem, Flags]:
        if len(with_campaigns) <= sample_size:
            return problem, usable
        sample_rows = np.sort(generator.choice(with_campaigns, sample_size, replace=False))
        return problem.part(sample_rows, sample_size / len(with_campaigns)), usable[sample_rows]

    prices = linear_programme_prices(*drawn(DIVIDED)) or _zero_prices(problem)
    if len(with_campaigns) > SAMPLE:
        prices = minimise_bound(*drawn(SAMPLE), prices, WIDE)
    return minimise_bound(problem, usable, prices, NARROW if len(with_campaigns) > SAMPLE else WIDE)


def _assign_in_rounds(problem: Problem, usable: Flags, prices: Prices) -> Flags:
    """Assign each customer's best campaigns at the prices, then the free places in rounds.

    In a round each customer asks for the best open campaign, and campaigns accept the best
    customers. An accepted pair stays; a refused pair is not asked for again, so the rounds end.
    Later rounds ignore the prices of places, the last one also those of money, so that no place
    stays free because of its price.
    """
    net_value = prices.net(problem, usable)
    chosen = _drop_excess_pairs(problem, net_value, best_per_customer(problem, net_value))
    remaining = _RemainingLimits(problem, chosen)
    all_customers = np.arange(len(usable))
    for round_prices in (
        prices,
        replace(prices, place=np.zeros_like(prices.place)),
        _zero_prices(problem),
    ):
        net_value = round_prices.net(problem, usable & ~chosen)
        while True:
            net_value[:, ~remaining.places] = -np.inf
            open_rows = all_customers[
                (remaining.left > 0) & (net_value.max(axis=1, initial=-np.inf) > 0)
            ]
            if not len(open_rows):
                break
            # Each customer asks for the campaign of the highest net value, once.
            best_campaign = np.argmax(net_value[open_rows], axis=1)
            net_asked = net_value[open_rows, best_campaign].copy()
            net_value[open_rows, best_campaign] = -np.inf
            # Requests through a channel without contacts left are dropped.
            has_contact_left = (
                remaining.by_channel[open_rows, problem.channel[open_rows, best_campaign]] > 0
            )
            asking, best_campaign, net_asked = (
                open_rows[has_contact_left],
                best_campaign[has_contact_left],
                net_asked[has_contact_left],
            )
            # Each campaign accepts the best requests within its limits.
            for campaign in np.unique(best_campaign):
                ask_this_one = best_campaign == campaign
                by_net_value = np.argsort(-net_asked[ask_this_one], kind="stable")
                accepted = remaining.take(asking[ask_this_one][by_net_value], int(campaign))
                chosen[accepted, campaign] = True
    return chosen


def _drop_excess_pairs(problem: Problem, net_value: FloatArray, chosen: Flags) -> Flags:
    """Drop the pairs of least net value until places and budgets suffice.

    First per campaign, then for the common budget. Short places rank pairs by net value, short
    money by net value per cost.
    """
    customers, campaigns = np.nonzero(chosen)
    net_values, cost = net_value[customers, campaigns], problem.cost[customers, campaigns]
    density = net_values / np.maximum(cost, 1e-12)
    is_kept = np.ones(len(customers), dtype=bool)
    for campaign in range(chosen.shape[1]):
        campaign_pairs = np.flatnonzero(campaigns == campaign)
        place_count = np.floor(problem.capacity[campaign])
        if len(campaign_pairs) > place_count:
            is_kept[
                campaign_pairs[
                    np.argsort(-net_values[campaign_pairs], kind="stable")[int(place_count) :]
                ]
            ] = False
            campaign_pairs = campaign_pairs[is_kept[campaign_pairs]]
        _drop_unpaid(is_kept, campaign_pairs, density, cost, problem.campaign_budget[campaign])
    _drop_unpaid(is_kept, np.flatnonzero(is_kept), density, cost, problem.budget)
    fitting = np.zeros_like(chosen)
    fitting[customers[is_kept], campaigns[is_kept]] = True
    return fitting


def _drop_unpaid(
    is_kept: Flags, pair_positions: Codes, density: FloatArray, cost: FloatArray, money: float
) -> None:
    """Drop pairs that the money does not pay, in the order of net value per cost."""
    if cost[pair_positions].sum() > money:
        ordered = pair_positions[np.argsort(-density[pair_positions], kind="stable")]
        is_kept[ordered[~_affordable(cost[ordered], money)]] = False


class _RemainingLimits:
    """Places, money and contacts left after the chosen pairs."""

    def __init__(self, problem: Problem, chosen: Flags) -> None:
        self.problem = problem
        self.left, self.by_channel = problem.at_most.copy(), problem.channel_left.copy()
        spent = (chosen * problem.cost).sum(axis=0)
        self.capacity = np.floor(problem.capacity) - chosen.sum(axis=0)
        self.money = problem.campaign_budget - spent
        self.budget = problem.budget - float(spent.sum())
        customers, campaigns = np.nonzero(chosen)
        self.left -= chosen.sum(axis=1)
        np.subtract.at(self.by_channel, (customers, problem.channel[customers, campaigns]), 1)

    @property
    def places(self) -> Flags:
        """True for campaigns with a free place."""
        return self.capacity >= 1

    def take(self, ordered: Codes, campaign: int) -> Codes:
        """Accept customers, best first, within the limits of the campaign; return them."""
        place_count = min(self.capacity[campaign], len(ordered))
        cost = self.problem.cost[ordered, campaign]
        money = min(self.money[campaign], self.budget)
        if cost.sum() > money:
            ordered = ordered[_affordable(cost, money)]
        accepted = ordered[: int(place_count)]
        spent = float(self.problem.cost[accepted, campaign].sum())
        self.capacity[campaign] -= len(accepted)
        self.money[campaign] -= spent
        self.budget -= spent
        self.left[accepted] -= 1
        self.by_channel[accepted, self.problem.channel[accepted, campaign]] -= 1
        return accepted


def _affordable(cost: FloatArray, money: float) -> Flags:
    """The longest prefix that the money pays, then each later item that still fits."""
    is_paid = np.cumsum(cost) <= money
    money_left = money - float(cost[is_paid].sum())
    for number in np.flatnonzero(~is_paid)[:1000]:
        if cost[number] <= money_left:
            is_paid[number] = True
            money_left -= float(cost[number])
    return is_paid
