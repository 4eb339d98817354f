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
    zeros = np.zeros(len(problem.capacity))
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
    """Assign each customer's best offers at the prices, then the free places in rounds.

    In a round each customer asks for the best open offer, and offers accept the best
    customers. An accepted pair stays; a refused pair is not asked for again, so the rounds end.
    Later rounds ignore the prices of places, the last one also those of money, so that no place
    stays free because of its price.
    """
    net_value = prices.net(problem, usable)
    chosen = _drop_excess_pairs(problem, net_value, best_per_customer(problem, net_value))
    remaining, campaign_of = _RemainingLimits(problem, chosen), problem.campaign_of
    all_customers = np.arange(len(usable))
    for round_prices in (
        prices,
        replace(prices, place=np.zeros_like(prices.place), offer_place=None),
        _zero_prices(problem),
    ):
        net_value = round_prices.net(problem, usable & ~problem.with_siblings(chosen))
        while True:
            net_value[:, ~remaining.places] = -np.inf
            open_rows = all_customers[
                (remaining.left > 0) & (net_value.max(axis=1, initial=-np.inf) > 0)
            ]
            if not len(open_rows):
                break
            # Each customer asks for the offer of the highest net value, once.
            best_offer = np.argmax(net_value[open_rows], axis=1)
            net_asked = net_value[open_rows, best_offer].copy()
            net_value[open_rows, best_offer] = -np.inf
            # Requests through a channel without contacts left are dropped.
            has_contact_left = (
                remaining.by_channel[open_rows, problem.channel[open_rows, best_offer]] > 0
            )
            asking, best_offer, net_asked = (
                open_rows[has_contact_left],
                best_offer[has_contact_left],
                net_asked[has_contact_left],
            )
            # Each offer accepts the best requests within its limits and those of its campaign.
            for offer in np.unique(best_offer):
                ask_this_one = best_offer == offer
                by_net_value = np.argsort(-net_asked[ask_this_one], kind="stable")
                accepted = remaining.take(asking[ask_this_one][by_net_value], int(offer))
                chosen[accepted, offer] = True
                if problem.has_siblings:
                    net_value[np.ix_(accepted, campaign_of == campaign_of[offer])] = -np.inf
    return chosen


def _drop_excess_pairs(problem: Problem, net_value: FloatArray, chosen: Flags) -> Flags:
    """Drop the pairs of least net value until places and budgets suffice.

    First per offer, then per campaign, then for the common budget. Short places rank pairs by net
    value, short money by net value per cost.
    """
    customers, offers = np.nonzero(chosen)
    net_values, cost = net_value[customers, offers], problem.cost[customers, offers]
    density = net_values / np.maximum(cost, 1e-12)
    is_kept = np.ones(len(customers), dtype=bool)

    def drop_surplus(pairs: Codes, places: float) -> Codes:
        """Drop the pairs beyond the places; return the others."""
        if len(pairs) <= np.floor(places):
            return pairs
        by_net_value = np.argsort(-net_values[pairs], kind="stable")
        is_kept[pairs[by_net_value[int(places) :]]] = False
        return pairs[is_kept[pairs]]

    for offer in np.flatnonzero(np.isfinite(problem.offer_places)):
        drop_surplus(np.flatnonzero(offers == offer), problem.offer_places[offer])
    campaigns = problem.campaign_of[offers]
    for campaign in range(len(problem.capacity)):
        campaign_pairs = np.flatnonzero((campaigns == campaign) & is_kept)
        campaign_pairs = drop_surplus(campaign_pairs, problem.capacity[campaign])
        _drop_unpaid(is_kept, campaign_pairs, density, cost, problem.campaign_budget[campaign])
    _drop_unpaid(is_kept, np.flatnonzero(is_kept), density, cost, problem.budget)
    fitting = np.zeros_like(chosen)
    fitting[customers[is_kept], offers[is_kept]] = True
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
        self.campaign, members = problem.campaign_of, chosen.sum(axis=0)
        self.capacity = np.floor(problem.capacity) - problem.per_campaign(members)
        self.offer_capacity = np.floor(problem.offer_places) - members
        self.money = problem.campaign_budget - problem.per_campaign(spent)
        self.budget = problem.budget - float(spent.sum())
        customers, offers = np.nonzero(chosen)
        self.left -= chosen.sum(axis=1)
        np.subtract.at(self.by_channel, (customers, problem.channel[customers, offers]), 1)

    @property
    def places(self) -> Flags:
        """True for offers with a free place."""
        return np.minimum(self.capacity[self.campaign], self.offer_capacity) >= 1

    def take(self, ordered: Codes, offer: int) -> Codes:
        """Accept customers, best first, within the limits of offer and campaign; return them."""
        campaign = self.campaign[offer]
        place_count = min(self.capacity[campaign], self.offer_capacity[offer], len(ordered))
        cost = self.problem.cost[ordered, offer]
        money = min(self.money[campaign], self.budget)
        if cost.sum() > money:
            ordered = ordered[_affordable(cost, money)]
        accepted = ordered[: int(place_count)]
        spent = float(self.problem.cost[accepted, offer].sum())
        self.capacity[campaign] -= len(accepted)
        self.offer_capacity[offer] -= len(accepted)
        self.money[campaign] -= spent
        self.budget -= spent
        self.left[accepted] -= 1
        self.by_channel[accepted, self.problem.channel[accepted, offer]] -= 1
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
