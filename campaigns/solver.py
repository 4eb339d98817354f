"""Who gets which campaign: the most value under caps, capacities and budgets.

Small cases are solved exactly by HiGHS. Beyond, prices for the scarce places are found by
subgradient steps on the Lagrangian dual, and a greedy pass hands out places in the order of value
above price. The dual gives a bound that no assignment can exceed, so the gap is always known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import optimize, sparse

Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int64]
Method = Literal["exact", "greedy"]

SAMPLE = 20_000  # customers on whom prices are sought first
STEPS, POLISH = 250, 25
EXACT_PAIRS = 500_000  # pairs up to which HiGHS is asked
EXACT_SECONDS = 20.0
EXACT_GAP = 1e-6  # share of the value within which an optimum counts as proven


@dataclass(frozen=True)
class Problem:
    """An assignment to be made.

    Attributes
    ----------
    value
        Money a pair brings, shape (customers, campaigns); NaN where the customer may not enter.
    cost
        Money a pair costs against the budgets, same shape.
    channel
        Code of the channel through which each pair would be contacted, same shape.
    at_most
        Campaigns that each customer may still enter, shape (customers,).
    channel_left
        Contacts that each customer may still get by channel, shape (customers, channels).
    capacity, campaign_budget
        Places and money of each campaign, shape (campaigns,); inf: no limit.
    budget
        Money of all campaigns together; inf: no limit.
    """

    value: Numbers
    cost: Numbers
    channel: Codes
    at_most: Codes
    channel_left: Codes
    capacity: Numbers
    campaign_budget: Numbers
    budget: float = np.inf

    @property
    def open(self) -> Flags:
        """Pairs that could bring something."""
        usable = self.value > 0
        usable &= self.at_most[:, None] > 0
        rows = np.arange(len(self.value))[:, None]
        return usable & (self.channel_left[rows, self.channel] > 0)

    def part(self, rows: Codes, share: float) -> Problem:
        """Some of the customers, with that share of the places and the money."""
        return Problem(
            self.value[rows],
            self.cost[rows],
            self.channel[rows],
            self.at_most[rows],
            self.channel_left[rows],
            self.capacity * share,
            self.campaign_budget * share,
            self.budget * share,
        )


@dataclass(frozen=True)
class Solution:
    """An assignment, and how good it is at least.

    Attributes
    ----------
    chosen
        Shape (customers, campaigns).
    value
        Its total.
    bound
        No assignment can be worth more.
    method
        ``exact`` (proven by HiGHS to within `EXACT_GAP`) or ``greedy``.
    """

    chosen: Flags
    value: float
    bound: float
    method: Method

    @property
    def gap(self) -> float:
        """Share of the bound that is missing at most; 0 where nothing can be won."""
        return max(0.0, 1 - self.value / self.bound) if self.bound > 0 else 0.0


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


def greedy(problem: Problem, *, seed: int) -> Solution:
    """Assignment by value above price, with the Lagrangian bound on what any could be worth."""
    return _guided(problem, problem.open, seed)[0]


def exact(problem: Problem, *, seed: int, seconds: float = EXACT_SECONDS) -> Solution:
    """The optimum, proven by HiGHS; the greedy one where that takes longer than `seconds`.

    Prices and bound of the greedy pass settle most pairs beforehand: a pair is left out (or in)
    where the opposite would cost more than the gap that is still open. HiGHS decides the rest.
    """
    usable = problem.open
    found, prices = _guided(problem, usable, seed)
    inside, free = _settled(problem, usable, prices, found.bound - found.value)
    who, which = np.nonzero(free)
    if len(who):
        result = optimize.milp(
            -problem.value[who, which],
            constraints=_constraints(problem, inside, who, which),
            bounds=optimize.Bounds(0, 1),
            integrality=np.ones(len(who)),
            options={"time_limit": seconds, "mip_rel_gap": 0.0},
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


def _settled(problem: Problem, usable: Flags, prices: _Prices, gap: float) -> tuple[Flags, Flags]:
    """Pairs that every better assignment holds, and pairs about which nothing is settled."""
    net = prices.net(problem, usable)
    chosen = _best_each(problem, net)
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
    matrix, limits = _rows(left, who, which)
    return optimize.LinearConstraint(matrix, ub=limits)


def _rows(problem: Problem, who: Codes, which: Codes) -> tuple[sparse.csr_array, Numbers]:
    """Constraint rows over the open pairs, and their upper limits."""
    n, m = problem.value.shape
    pairs = np.arange(len(who))
    one, cost = np.ones(len(who)), problem.cost[who, which]
    channels = problem.channel_left.shape[1]
    by_channel = who * channels + problem.channel[who, which]
    blocks = [
        (one, who, n, problem.at_most.astype(float)),
        (one, by_channel, n * channels, problem.channel_left.astype(float).ravel()),
        (one, which, m, problem.capacity),
        (cost, which, m, problem.campaign_budget),
        (cost, np.zeros(len(who), dtype=np.int64), 1, np.array([problem.budget])),
    ]
    matrices, limits = [], []
    for data, row, size, limit in blocks:
        # Most customers have fewer pairs than a limit allows: such rows would only cost time.
        most = np.bincount(row, weights=np.maximum(data, 0), minlength=size)
        binding = np.flatnonzero(most > limit + 1e-12)
        matrix = sparse.csr_array((data, (row, pairs)), shape=(size, len(who)))
        matrices.append(matrix[binding])
        limits.append(limit[binding])
    return sparse.csr_array(sparse.vstack(matrices)), np.concatenate(limits)


@dataclass(frozen=True)
class _Prices:
    """What a place in each campaign, its own money, and the common money cost."""

    place: Numbers
    money: Numbers
    common: float = 0.0

    def net(self, problem: Problem, usable: Flags) -> Numbers:
        """Value above price of every pair; -inf where not usable."""
        net = problem.value - self.place - (self.money + self.common) * problem.cost
        return np.where(usable, net, -np.inf)


def _guided(problem: Problem, usable: Flags, seed: int) -> tuple[Solution, _Prices]:
    """The greedy solution, and the prices that gave its bound."""
    prices = _priced(problem, usable, seed)
    priced, free = (_dual(problem, usable, p)[0] for p in (prices, _free(problem)))
    guided = _handed_out(problem, usable, prices)
    plain = _handed_out(problem, usable, _free(problem))
    totals = [float(problem.value[chosen].sum()) for chosen in (guided, plain)]
    chosen = guided if totals[0] >= totals[1] else plain
    bound = max(min(priced, free), *totals)
    solution = Solution(chosen, max(totals), bound, "greedy")
    return solution, prices if priced <= free else _free(problem)


def _free(problem: Problem) -> _Prices:
    none = np.zeros(problem.value.shape[1])
    return _Prices(none, none)


def _priced(problem: Problem, usable: Flags, seed: int) -> _Prices:
    """Prices by subgradient steps, first on some of the customers, then on all."""
    some = np.flatnonzero(usable.any(axis=1))
    prices = _free(problem)
    if len(some) > SAMPLE:
        drawn = np.sort(np.random.default_rng(seed).choice(some, SAMPLE, replace=False))
        part = problem.part(drawn, SAMPLE / len(some))
        prices = _descended(part, usable[drawn], prices, STEPS, 1.0)
        return _descended(problem, usable, prices, POLISH, 0.05)
    return _descended(problem, usable, prices, STEPS, 1.0)


def _descended(
    problem: Problem, usable: Flags, start: _Prices, steps: int, first: float
) -> _Prices:
    """Prices with the lowest bound met on the way."""
    m = problem.value.shape[1]
    money_limits = np.append(problem.campaign_budget, problem.budget)
    spread = float(np.mean(problem.value[usable])) if usable.any() else 0.0
    paid = problem.cost[usable]
    density = spread / max(float(paid.mean()), 1e-9) if len(paid) else 0.0
    place, own, common = start.place, start.money, start.common
    best, lowest = start, np.inf
    for step in range(steps):
        prices = _Prices(place, own, common)
        bound, demand, spent = _dual(problem, usable, prices)
        if bound < lowest:
            best, lowest = prices, bound
        size = first / (1 + step) ** 0.7
        over_places = _relative(demand, problem.capacity)
        over_money = _relative(np.append(spent, spent.sum()), money_limits)
        place = np.maximum(0.0, place + size * spread * over_places)
        own = np.maximum(0.0, own + size * density * over_money[:m])
        common = max(0.0, common + size * density * float(over_money[m]))
    return best


def _relative(used: Numbers, limit: Numbers) -> Numbers:
    """By how much a limit is missed, as a share of it, between -1 and 1; 0 where there is none."""
    finite = np.isfinite(limit)
    bound = np.where(finite, limit, 1.0)
    missed = (used - bound) / np.maximum(np.maximum(bound, used), 1e-9)
    return np.where(finite, missed, 0.0)


def _dual(problem: Problem, usable: Flags, prices: _Prices) -> tuple[float, Numbers, Numbers]:
    """Bound at some prices, and the demand for places and money there."""
    net = prices.net(problem, usable)
    chosen = _best_each(problem, net)
    bound = float(net[chosen].sum())
    paid = np.concatenate([prices.place, prices.money, [prices.common]])
    limits = np.concatenate([problem.capacity, problem.campaign_budget, [problem.budget]])
    finite = np.isfinite(limits)
    bound += float((paid[finite] * limits[finite]).sum())
    return bound, chosen.sum(axis=0).astype(float), (chosen * problem.cost).sum(axis=0)


def _best_each(problem: Problem, net: Numbers) -> Flags:
    """Each customer's best campaigns by net value, within their own caps.

    Caps by channel within a cap in all: for such nested caps, taking the best first is optimal.
    """
    chosen = np.zeros(net.shape, dtype=bool)
    rows = np.arange(len(net))
    left, by_channel = problem.at_most.copy(), problem.channel_left.copy()
    net = net.copy()
    for _ in range(int(min(left.max(initial=0), net.shape[1]))):
        which = np.argmax(net, axis=1)
        gain = (net[rows, which] > 0) & (left > 0)
        who = np.flatnonzero(gain)
        if not len(who):
            break
        taken = which[who]
        chosen[who, taken] = True
        net[who, taken] = -np.inf
        left[who] -= 1
        channel = problem.channel[who, taken]
        by_channel[who, channel] -= 1
        full = who[by_channel[who, channel] <= 0]
        if len(full):
            closed = by_channel[full[:, None], problem.channel[full]] <= 0
            net[full] = np.where(closed, -np.inf, net[full])
    return chosen


def _handed_out(problem: Problem, usable: Flags, prices: _Prices) -> Flags:
    """Places handed out in rounds: everyone asks for the best left, campaigns take the best.

    Nobody who has a place loses it. A pair that a campaign has refused is not asked for again, so
    the rounds end. The last rounds ignore prices, so that no place stays empty for their sake.
    """
    chosen = np.zeros(usable.shape, dtype=bool)
    state = _Left(problem)
    rows = np.arange(len(usable))
    for round_prices in (prices, _free(problem)):
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


class _Left:
    """What is left of places, money and contacts."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.left, self.by_channel = problem.at_most.copy(), problem.channel_left.copy()
        self.capacity = np.floor(problem.capacity)
        self.money, self.budget = problem.campaign_budget.copy(), problem.budget

    @property
    def places(self) -> Flags:
        """Campaigns with a place left."""
        return self.capacity >= 1

    def take(self, ordered: Codes, campaign: int) -> Codes:
        """Those of some customers, best first, whom the campaign can still take."""
        limit = min(self.capacity[campaign], len(ordered))
        cost = self.problem.cost[ordered, campaign]
        money = min(self.money[campaign], self.budget)
        if np.isfinite(money) and cost.sum() > money:
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
