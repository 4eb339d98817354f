"""Assignment of campaigns and their offers with the highest value under caps, capacities, budgets.

Up to a size the exact optimum: prices settle most pairs, HiGHS decides the rest. Above it, the
greedy assignment. Both give an upper bound on the value of every assignment.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import optimize

from campaigns.optimiser.greedy import greedy_with_prices, solve_greedily
from campaigns.optimiser.lagrangian_bound import best_per_customer
from campaigns.optimiser.problem import (
    LAST_DIGITS,
    Codes,
    Flags,
    FloatArray,
    Prices,
    Problem,
    Solution,
)
from campaigns.optimiser.shadow_prices import limit_rows

_EXACT_PAIRS = 1_000_000  # pairs up to which HiGHS runs
_EXACT_SECONDS = 20.0  # per attempt at a core
_EXACT_GAP = 1e-5  # relative gap at which an optimum counts as proven
# Share of money withheld from HiGHS: none, then a little if its rounding exceeds a limit.
_MONEY_SLACK = (0.0, 1e-7, 1e-6, 1e-5)
CORES = (5_000, 20_000)  # number of pairs in the core, at the first and the last attempt


def solve_assignment(problem: Problem, *, seed: int, exact_pairs: int = _EXACT_PAIRS) -> Solution:
    """Best assignment: exact for small problems, else greedy with a bound.

    Parameters
    ----------
    problem
        Values, costs and limits.
    seed
        Random seed of the sample of customers that gives the first prices.
    exact_pairs
        Pairs of positive value up to which the exact solver runs.

    Returns
    -------
    Solution
        Within all caps, capacities and budgets.
    """
    if int(problem.open.sum()) <= exact_pairs:
        return solve_exactly(problem, seed=seed)
    return solve_greedily(problem, seed=seed)


def solve_exactly(problem: Problem, *, seed: int, seconds: float = _EXACT_SECONDS) -> Solution:
    """Optimum proven to within `_EXACT_GAP`, or the best solution within the time limit.

    Prices settle most pairs. HiGHS decides the pairs with a net value near 0 (the core); the bound
    of the prices limits the value of all other assignments. If few pairs can still change the
    optimum, HiGHS decides all of them, and its own bound applies.

    Parameters
    ----------
    problem
        Values, costs and limits.
    seed
        Random seed of the sample of customers that gives the first prices.
    seconds
        Time limit of HiGHS per attempt at a core; rejected rounding needs further attempts.
    """
    usable = problem.open
    solution, prices = greedy_with_prices(problem, usable, seed)
    for core_size in CORES:
        if solution.gap <= _EXACT_GAP:
            break
        switching_cost = _switching_cost(problem, usable, prices)
        open_gap = solution.bound - solution.value + 1e-9 * max(1.0, abs(solution.bound))
        undecided = usable & (switching_cost <= open_gap)
        is_complete = int(undecided.sum()) <= core_size
        if not is_complete:
            undecided = usable & (
                switching_cost <= np.partition(switching_cost[usable], core_size - 1)[core_size - 1]
            )
        best = best_per_customer(problem, prices.net(problem, usable), relaxed=True)
        if problem.has_siblings:
            undecided |= usable & _with_two_of_a_campaign(problem, best)[:, None]
        decided = best & ~undecided
        undecided &= ~problem.with_siblings(decided)
        solution = _solve_core(problem, solution, decided, undecided, seconds, is_complete)
    is_proven = solution.gap <= _EXACT_GAP
    return replace(solution, method="exact" if is_proven else "greedy")


def _solve_core(
    problem: Problem,
    solution: Solution,
    decided: Flags,
    undecided: Flags,
    seconds: float,
    is_complete: bool,
) -> Solution:
    """Let HiGHS decide the open pairs beside the decided ones; return the better solution."""
    customers, offers = np.nonzero(undecided)
    decided_value = float(problem.value[decided].sum())
    bound = solution.bound
    for slack in _MONEY_SLACK:
        result = optimize.milp(
            -problem.value[customers, offers],
            constraints=_constraints(problem, decided, customers, offers, slack),
            bounds=optimize.Bounds(0, 1),
            integrality=np.ones(len(customers)),
            options={
                "time_limit": seconds,
                # The gap refers to the total value, not to the value of the core.
                "mip_rel_gap": _EXACT_GAP
                / 4
                * solution.bound
                / max(solution.bound - decided_value, 1e-9),
            },
        )
        if result.x is None:
            break
        if is_complete and not slack:
            bound = max(min(bound, decided_value - float(result.mip_dual_bound)), solution.value)
        chosen = decided.copy()
        is_taken = result.x > 0.5
        chosen[customers[is_taken], offers[is_taken]] = True
        if _within_budgets(problem, chosen):
            value = float(problem.value[chosen].sum())
            if value >= solution.value:
                return replace(solution, chosen=chosen, value=value, bound=max(value, bound))
            break
    return replace(solution, bound=bound)


def _within_budgets(problem: Problem, chosen: Flags) -> bool:
    """True if all budgets hold, up to the rounding error of a sum."""
    spent = (chosen * problem.cost).sum(axis=0)
    money_used = np.append(problem.per_campaign(spent), spent.sum())
    limits = np.append(problem.campaign_budget, problem.budget)
    return bool((money_used <= limits * (1 + LAST_DIGITS)).all())


def _switching_cost(problem: Problem, usable: Flags, prices: Prices) -> FloatArray:
    """Least loss from reversing the decision on each pair, shape (customers, offers)."""
    net_value = prices.net(problem, usable)
    chosen = best_per_customer(problem, net_value, relaxed=True)
    is_full = chosen.sum(axis=1) >= problem.at_most
    customer_rows = np.arange(len(net_value))[:, None]
    # Pairs without room: the customer or the channel has no contact left.
    by_channel = problem.channel_left.copy()
    customers, offers = np.nonzero(chosen)
    np.subtract.at(by_channel, (customers, problem.channel[customers, offers]), 1)
    has_no_room = (by_channel <= 0)[customer_rows, problem.channel] | is_full[:, None]
    lowest_chosen = np.where(chosen, net_value, np.inf).min(axis=1)
    lowest_chosen = np.where(np.isfinite(lowest_chosen), lowest_chosen, 0.0)
    # Without room, a new pair displaces at least the chosen pair of the lowest net value.
    displaced = np.where(has_no_room, lowest_chosen[:, None], 0.0)
    if problem.has_siblings:
        # A pair displaces the chosen offer of the same campaign.
        excluded = problem.siblings(customers, offers, relaxed=True)
        pairs, others = np.nonzero(excluded)
        displaced[customers[pairs], others] = net_value[customers[pairs], offers[pairs]]
    entering = displaced - net_value
    next_best = np.maximum(np.where(chosen, -np.inf, net_value).max(axis=1), 0.0)
    leaving = net_value - next_best[:, None]
    switching_cost: FloatArray = np.where(chosen, leaving, entering)
    return switching_cost


def _with_two_of_a_campaign(problem: Problem, chosen: Flags) -> Flags:
    """Customers with two offers of a campaign, which only relaxed caps allow."""
    customers, offers = np.nonzero(chosen)
    codes = customers * len(problem.capacity) + problem.campaign_of[offers]
    pair_codes, counts = np.unique(codes, return_counts=True)
    doubled = np.zeros(len(chosen), dtype=bool)
    doubled[pair_codes[counts > 1] // len(problem.capacity)] = True
    return doubled


def _constraints(
    problem: Problem, decided: Flags, customers: Codes, offers: Codes, slack: float
) -> optimize.LinearConstraint:
    """Limits on the undecided pairs after the decided ones; withholds a share `slack` of money."""
    campaigns_taken, by_channel = decided.sum(axis=1), problem.channel_left.copy()
    decided_customers, decided_offers = np.nonzero(decided)
    np.add.at(
        by_channel, (decided_customers, problem.channel[decided_customers, decided_offers]), -1
    )
    members, spent = decided.sum(axis=0), (decided * problem.cost).sum(axis=0)
    remaining = replace(
        problem,
        at_most=problem.at_most - campaigns_taken,
        channel_left=by_channel,
        capacity=problem.capacity - problem.per_campaign(members),
        campaign_budget=problem.campaign_budget * (1 - slack) - problem.per_campaign(spent),
        budget=problem.budget * (1 - slack) - float(spent.sum()),
        offer_capacity=problem.offer_places - members,
    )
    constraint_rows = limit_rows(remaining, customers, offers)
    return optimize.LinearConstraint(constraint_rows.matrix, ub=constraint_rows.limits)
