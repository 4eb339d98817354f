"""Who gets which campaign: the most value under caps, capacities and budgets.

Up to a size the optimum is sought: prices settle most pairs, HiGHS decides the rest. Beyond, the
greedy assignment is taken. Either way no assignment can be worth more than the bound.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import optimize

from campaigns.optimiser.greedy import greedy, guided
from campaigns.optimiser.lagrangian_bound import best_each
from campaigns.optimiser.problem import LAST_DIGITS, Codes, Flags, Numbers, Problem, Solution
from campaigns.optimiser.shadow_prices import Prices, limit_rows

EXACT_PAIRS = 1_000_000  # pairs up to which HiGHS is asked
EXACT_SECONDS = 20.0  # of each attempt at a core
EXACT_GAP = 1e-5  # share of the value within which an optimum counts as proven
# Share of money that HiGHS is not given: none, and where its rounding exceeds a limit, a little.
MONEY_SLACK = (0.0, 1e-7, 1e-6, 1e-5)
CORES = (5_000, 20_000)  # pairs that HiGHS is given, first and last


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

    Prices settle most pairs: HiGHS decides those that are worth about what they cost (the core),
    and the bound of the prices says whether any other assignment could be better. Where only a few
    pairs could still change the optimum, HiGHS gets all of them and its own bound holds.

    Parameters
    ----------
    problem
        Values, costs and limits.
    seed
        Of the customers on whom prices are sought first.
    seconds
        That HiGHS may take for an attempt at a core: there are more where its rounding is refused.
    """
    usable = problem.open
    found, prices = guided(problem, usable, seed)
    for most in CORES:
        if found.gap <= EXACT_GAP:
            break
        doubt = _doubt(problem, usable, prices)
        open_gap = found.bound - found.value + 1e-9 * max(1.0, abs(found.bound))
        free = usable & (doubt <= open_gap)
        complete = int(free.sum()) <= most
        if not complete:
            free = usable & (doubt <= np.partition(doubt[usable], most - 1)[most - 1])
        inside = best_each(problem, prices.net(problem, usable)) & ~free
        found = _decided(problem, found, inside, free, seconds, complete)
    proven = found.gap <= EXACT_GAP
    return replace(found, method="exact" if proven else "greedy")


def _decided(
    problem: Problem, found: Solution, inside: Flags, free: Flags, seconds: float, complete: bool
) -> Solution:
    """The better of a solution and of what HiGHS makes of the free pairs beside those inside."""
    who, which = np.nonzero(free)
    fixed = float(problem.value[inside].sum())
    bound = found.bound
    for slack in MONEY_SLACK:
        result = optimize.milp(
            -problem.value[who, which],
            constraints=_constraints(problem, inside, who, which, slack),
            bounds=optimize.Bounds(0, 1),
            integrality=np.ones(len(who)),
            options={
                "time_limit": seconds,
                # The gap that counts is one of the whole value, not of the core's.
                "mip_rel_gap": EXACT_GAP / 4 * found.bound / max(found.bound - fixed, 1e-9),
            },
        )
        if result.x is None:
            break
        if complete and not slack:
            bound = max(min(bound, fixed - float(result.mip_dual_bound)), found.value)
        chosen = inside.copy()
        taken = result.x > 0.5
        chosen[who[taken], which[taken]] = True
        if _paid(problem, chosen):
            value = float(problem.value[chosen].sum())
            if value >= found.value:
                return Solution(chosen, value, max(value, bound), "greedy")
            break
    return replace(found, bound=bound)


def _paid(problem: Problem, chosen: Flags) -> bool:
    """Whether all money limits are kept, but for the last digits of a sum."""
    spent = (chosen * problem.cost).sum(axis=0)
    used = np.append(spent, spent.sum())
    limits = np.append(problem.campaign_budget, problem.budget)
    return bool((used <= limits * (1 + LAST_DIGITS)).all())


def _doubt(problem: Problem, usable: Flags, prices: Prices) -> Numbers:
    """What the opposite decision on each pair costs at least; the smaller, the less settled."""
    net = prices.net(problem, usable)
    chosen = best_each(problem, net)
    full = chosen.sum(axis=1) >= problem.at_most
    rows = np.arange(len(net))[:, None]
    by_channel = problem.channel_left.copy()
    who, which = np.nonzero(chosen)
    np.subtract.at(by_channel, (who, problem.channel[who, which]), 1)
    crowded = (by_channel <= 0)[rows, problem.channel] | full[:, None]
    least = np.where(chosen, net, np.inf).min(axis=1)
    least = np.where(np.isfinite(least), least, 0.0)
    # To enter, a pair displaces at least the least of those taken where there is no room.
    entering = np.where(crowded, least[:, None], 0.0) - net
    next_best = np.maximum(np.where(chosen, -np.inf, net).max(axis=1), 0.0)
    leaving = net - next_best[:, None]
    doubt: Numbers = np.where(chosen, leaving, entering)
    return doubt


def _constraints(
    problem: Problem, inside: Flags, who: Codes, which: Codes, slack: float
) -> optimize.LinearConstraint:
    """Limits on the undecided pairs, once those inside have taken their share.

    Of money a share (`slack`) is held back.
    """
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
        problem.campaign_budget * (1 - slack) - spent,
        problem.budget * (1 - slack) - float(spent.sum()),
    )
    rows_ = limit_rows(left, who, which)
    return optimize.LinearConstraint(rows_.matrix, ub=rows_.limits)
