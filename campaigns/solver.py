"""Who gets which campaign: the most value under caps, capacities and budgets.

Small cases are solved exactly: prices settle most pairs, HiGHS decides the rest. Beyond, the greedy
assignment is taken. Either way no assignment can be worth more than the bound.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import optimize

from campaigns.greedy import best_each, greedy, guided
from campaigns.prices import Prices, limit_rows
from campaigns.problem import Codes, Flags, Problem, Solution

EXACT_PAIRS = 500_000  # pairs up to which HiGHS is asked
EXACT_SECONDS = 20.0
EXACT_GAP = 1e-5  # share of the value within which an optimum counts as proven
MOST_UNDECIDED = 100_000  # pairs that HiGHS is given at most


def solve(problem: Problem, *, seed: int, exact_pairs: int = EXACT_PAIRS) -> Solution:
    """The best assignment: exactly where the case is small, else greedily with a bound.

    Parameters
    ----------
    problem
        Values, costs and limits.
    seed
        Of the customers on whom prices are sought first.
    exact_pairs
        Pairs with something to win up to which the exact solver is asked.

    Returns
    -------
    Solution
        Never above a cap, a capacity or a budget.
    """
    if int(problem.open.sum()) <= exact_pairs:
        return exact(problem, seed=seed)
    return greedy(problem, seed=seed)


def exact(problem: Problem, *, seed: int, seconds: float = EXACT_SECONDS) -> Solution:
    """The optimum, proven to within `EXACT_GAP`; the best found where that takes too long.

    Prices and bound of the greedy pass settle most pairs beforehand: a pair is left out (or in)
    where the opposite would cost more than the gap that is still open. HiGHS decides the rest.
    """
    usable = problem.open
    found, prices = guided(problem, usable, seed)
    if found.gap <= EXACT_GAP:
        return replace(found, method="exact")
    inside, free = _settled(problem, usable, prices, found.bound - found.value)
    who, which = np.nonzero(free)
    if len(who) > MOST_UNDECIDED:
        return found
    if len(who):
        result = optimize.milp(
            -problem.value[who, which],
            constraints=_constraints(problem, inside, who, which),
            bounds=optimize.Bounds(0, 1),
            integrality=np.ones(len(who)),
            options={"time_limit": seconds, "mip_rel_gap": EXACT_GAP / 10},
        )
        fixed = float(problem.value[inside].sum())
        if result.x is not None:
            chosen = inside.copy()
            taken = result.x > 0.5
            chosen[who[taken], which[taken]] = True
            value = float(problem.value[chosen].sum())
            if value >= found.value - 1e-9:
                bound = min(found.bound, fixed - float(result.mip_dual_bound))
                proven = bound - value <= EXACT_GAP * max(value, 1e-9)
                return Solution(chosen, value, max(value, bound), "exact" if proven else "greedy")
        return found
    return Solution(found.chosen, found.value, found.bound, "exact")


def _settled(problem: Problem, usable: Flags, prices: Prices, gap: float) -> tuple[Flags, Flags]:
    """Pairs that every better assignment holds, and pairs about which nothing is settled."""
    net = prices.net(problem, usable)
    chosen = best_each(problem, net)
    gap = gap + 1e-9 * max(1.0, abs(gap))
    full = chosen.sum(axis=1) >= problem.at_most
    rows = np.arange(len(net))[:, None]
    used = np.zeros(problem.channel_left.shape, dtype=np.int64)
    who, which = np.nonzero(chosen)
    np.add.at(used, (who, problem.channel[who, which]), 1)
    crowded = (used >= problem.channel_left)[rows, problem.channel] | full[:, None]
    least = np.where(chosen, net, np.inf).min(axis=1, initial=np.inf)
    least = np.where(np.isfinite(least), least, 0.0)
    # To enter, a pair displaces at least the least of those taken where there is no room.
    entering = np.where(crowded, least[:, None], 0.0) - net
    next_best = np.maximum(np.where(chosen, -np.inf, net).max(axis=1, initial=-np.inf), 0.0)
    leaving = net - next_best[:, None]
    inside = chosen & (leaving > gap)
    outside = ~chosen & (entering > gap)
    return inside, usable & ~inside & ~outside


def _constraints(
    problem: Problem, inside: Flags, who: Codes, which: Codes
) -> optimize.LinearConstraint:
    """Limits on the undecided pairs, once those inside have taken their share."""
    taken, by_channel = inside.sum(axis=1), problem.channel_left.copy()
    rows, columns = np.nonzero(inside)
    np.add.at(by_channel, (rows, problem.channel[rows, columns]), -1)
    spent = (inside * problem.cost).sum(axis=0)
    left = Problem(
        problem.value,
        problem.cost,
        problem.channel,
        problem.at_most - taken,
        by_channel,
        problem.capacity - inside.sum(axis=0),
        problem.campaign_budget - spent,
        problem.budget - float(spent.sum()),
    )
    rows_ = limit_rows(left, who, which)
    return optimize.LinearConstraint(rows_.matrix, ub=rows_.limits)
