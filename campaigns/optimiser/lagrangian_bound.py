"""Upper bound on the value of any assignment, and the prices that minimise it.

Prices replace capacities, budgets and the common budget, which leaves one small problem per
customer (Lagrangian relaxation). The dual is convex and piecewise linear in few prices: cutting
planes in a box that grows and shrinks find its minimum (Kelley 1960, Marsten et al. 1975).
"""

from __future__ import annotations

import numpy as np
from scipy import optimize

from campaigns.optimiser.problem import Flags, FloatArray, Prices, Problem

DUAL_STEPS = 150  # most evaluations of the dual
_TOLERANCE = 1e-6  # relative decrease of the bound that ends the search
_SERIOUS_SHARE = 0.3  # share of the promised decrease above which the box grows
WIDER, NARROWER = 2.0, 0.6


def best_per_customer(problem: Problem, net: FloatArray, *, relaxed: bool = False) -> Flags:
    """Best offers of each customer by net value, within the customer's caps.

    Channel caps lie within a total cap: for such nested caps the greedy order is optimal. One
    offer of a campaign is a cap that lies within neither where its offers use several channels.
    `relaxed` then allows one offer of a campaign in each channel, so that the caps are nested, and
    the net value is an upper bound.
    """
    chosen = np.zeros(net.shape, dtype=bool)
    all_customers = np.arange(len(net))
    campaigns_left, by_channel = problem.at_most.copy(), problem.channel_left.copy()
    net = net.copy()
    for _ in range(int(min(campaigns_left.max(initial=0), net.shape[1]))):
        best_campaign = np.argmax(net, axis=1)
        has_gain = (net[all_customers, best_campaign] > 0) & (campaigns_left > 0)
        customers = np.flatnonzero(has_gain)
        if not len(customers):
            break
        campaigns = best_campaign[customers]
        chosen[customers, campaigns] = True
        net[customers, campaigns] = -np.inf
        if problem.has_siblings:
            excluded = problem.siblings(customers, campaigns, relaxed=relaxed)
            net[customers] = np.where(excluded, -np.inf, net[customers])
        campaigns_left[customers] -= 1
        channel = problem.channel[customers, campaigns]
        by_channel[customers, channel] -= 1
        full_customers = customers[by_channel[customers, channel] <= 0]
        if len(full_customers):
            is_closed = by_channel[full_customers[:, None], problem.channel[full_customers]] <= 0
            net[full_customers] = np.where(is_closed, -np.inf, net[full_customers])
    return chosen


def bound_at(problem: Problem, usable: Flags, prices: Prices) -> tuple[float, FloatArray]:
    """Bound at the prices, and the slack of each limit (negative: exceeded)."""
    net_value = prices.net(problem, usable)
    chosen = best_per_customer(problem, net_value, relaxed=True)
    limits = _limits(problem)
    finite = np.isfinite(limits)
    members, spent = chosen.sum(axis=0), (chosen * problem.cost).sum(axis=0)
    by_campaign = [problem.per_campaign(members), problem.per_campaign(spent)]
    amounts_used = np.concatenate([*by_campaign, members, [spent.sum()]])
    prices_of_limits = _vector(prices, problem)[finite]
    bound = float(net_value[chosen].sum()) + float((prices_of_limits * limits[finite]).sum())
    return bound, limits - amounts_used


def minimise_bound(problem: Problem, usable: Flags, start: Prices, width: float) -> Prices:
    """Prices of the lowest bound within `DUAL_STEPS` evaluations of the dual.

    Parameters
    ----------
    problem, usable
        The assignment problem, and the pairs that may be chosen.
    start
        First prices; returned if no others give a lower bound.
    width
        Half the width of the first box, in mean values (places) and mean values per cost (money).
    """
    finite = np.isfinite(_limits(problem))
    if not finite.any() or not usable.any():
        return start
    scale = _scale(problem, usable)[finite]
    first = _vector(start, problem)
    center = np.where(np.isfinite(first), first, 0.0)[finite] / scale

    def dual(scaled_prices: FloatArray) -> tuple[float, FloatArray]:
        bound, remaining = bound_at(problem, usable, _prices(scaled_prices * scale, problem))
        return bound, remaining[finite] * scale

    lowest_bound, gradient = dual(center)
    gradients, offsets = [gradient], [gradient @ center - lowest_bound]
    for _ in range(DUAL_STEPS):
        cut_minimum = _minimise_cuts(gradients, offsets, center, width)
        if cut_minimum is None:
            break
        point, promised_bound = cut_minimum
        is_inside = bool(np.all(np.abs(point - center) < width * (1 - 1e-9)))
        promised_bound = lowest_bound - promised_bound
        if promised_bound <= _TOLERANCE * lowest_bound and is_inside:
            break
        bound_here, gradient = dual(point)
        gradients.append(gradient)
        offsets.append(gradient @ point - bound_here)
        if lowest_bound - bound_here >= _SERIOUS_SHARE * promised_bound:
            width *= 1.0 if is_inside else WIDER
        elif bound_here >= lowest_bound:
            width *= NARROWER
        if bound_here < lowest_bound:
            center, lowest_bound = point, bound_here
    return _prices(center * scale, problem)


def _minimise_cuts(
    gradients: list[FloatArray], offsets: list[FloatArray], center: FloatArray, width: float
) -> tuple[FloatArray, float] | None:
    """Point within the box where the cuts give the lowest bound, and that bound; None: failed."""
    cut_rows = np.column_stack([np.array(gradients), -np.ones(len(gradients))])
    bounds_of_box = [(max(0.0, value - width), value + width) for value in center]
    result = optimize.linprog(
        np.append(np.zeros(len(center)), 1.0),
        A_ub=cut_rows,
        b_ub=np.array(offsets),
        bounds=[*bounds_of_box, (None, None)],
        method="highs",
    )
    if result.status != 0:
        return None
    return np.maximum(0.0, result.x[:-1]), float(result.x[-1])


def _limits(problem: Problem) -> FloatArray:
    """All limits in the order campaign places, campaign money, offer places, common money."""
    common = np.array([problem.budget])
    limits = (problem.capacity, problem.campaign_budget, problem.offer_places, common)
    return np.concatenate(limits)


def _vector(prices: Prices, problem: Problem) -> FloatArray:
    """Prices in the order of `_limits`."""
    of_offers = prices.offer_place
    if of_offers is None:
        of_offers = np.zeros(problem.value.shape[1])
    return np.concatenate([prices.place, prices.money, of_offers, [prices.common]])


def _prices(values: FloatArray, problem: Problem) -> Prices:
    """Prices of all limits from those of the finite ones; 0 where there is no limit."""
    finite = np.isfinite(_limits(problem))
    all_prices = np.zeros(len(finite))
    all_prices[finite] = values
    campaigns = len(problem.capacity)
    places, money, offers = np.split(all_prices[:-1], [campaigns, 2 * campaigns])
    of_offers = None if problem.offer_capacity is None else offers
    return Prices(places, money, float(all_prices[-1]), of_offers)


def _scale(problem: Problem, usable: Flags) -> FloatArray:
    """Scale of the prices: mean value of a pair (places), mean value per cost (money)."""
    campaigns, offers = len(problem.capacity), problem.value.shape[1]
    mean_value = float(np.mean(problem.value[usable]))
    value_per_money = mean_value / max(float(np.mean(problem.cost[usable])), 1e-9)
    return np.repeat(
        [mean_value, value_per_money, mean_value, value_per_money],
        [campaigns, campaigns, offers, 1],
    )
