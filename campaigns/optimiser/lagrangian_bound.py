"""The bound that no assignment can exceed, and the prices at which it is lowest.

Capacities, budgets and the common budget get prices; what is left falls apart into one small
problem a customer (Lagrangian relaxation). The dual is convex and piecewise linear in few prices:
cutting planes in a box that grows and shrinks find its minimum (Kelley 1960, Marsten et al. 1975).
"""

from __future__ import annotations

import numpy as np
from scipy import optimize

from campaigns.optimiser.problem import Flags, Numbers, Problem
from campaigns.optimiser.shadow_prices import Prices

STEPS = 150  # evaluations of the dual at most
TOLERANCE = 1e-6  # share of the bound that is not worth another step
SERIOUS = 0.3  # share of the promised decrease from which the box grows
WIDER, NARROWER = 2.0, 0.6


def best_each(problem: Problem, net: Numbers) -> Flags:
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


def bound_at(problem: Problem, usable: Flags, prices: Prices) -> tuple[float, Numbers]:
    """Bound at some prices, and what is then left of each limit (negative: asked for too much)."""
    net = prices.net(problem, usable)
    chosen = best_each(problem, net)
    limits = _limits(problem)
    finite = np.isfinite(limits)
    spent = (chosen * problem.cost).sum(axis=0)
    used = np.concatenate([chosen.sum(axis=0), spent, [spent.sum()]])
    bound = float(net[chosen].sum()) + float((_vector(prices)[finite] * limits[finite]).sum())
    return bound, limits - used


def lowest(problem: Problem, usable: Flags, start: Prices, width: float) -> Prices:
    """Prices of the lowest bound found from some start, within `STEPS` evaluations.

    Parameters
    ----------
    problem, usable
        The assignment, and the pairs that may be chosen.
    start
        Prices to begin with; they are returned where nothing is lower.
    width
        Half of the first box, in mean values (places) and mean values per money (money).
    """
    finite = np.isfinite(_limits(problem))
    if not finite.any() or not usable.any():
        return start
    scale = _scale(problem, usable)[finite]
    center = np.where(np.isfinite(_vector(start)), _vector(start), 0.0)[finite] / scale

    def dual(at: Numbers) -> tuple[float, Numbers]:
        bound, left = bound_at(problem, usable, _prices(at * scale, finite))
        return bound, left[finite] * scale

    least, slope = dual(center)
    slopes, offsets = [slope], [slope @ center - least]
    for _ in range(STEPS):
        step = _model(slopes, offsets, center, width)
        if step is None:
            break
        at, promised = step
        inside = bool(np.all(np.abs(at - center) < width * (1 - 1e-9)))
        promised = least - promised
        if promised <= TOLERANCE * least and inside:
            break
        found, slope = dual(at)
        slopes.append(slope)
        offsets.append(slope @ at - found)
        if least - found >= SERIOUS * promised:
            width *= 1.0 if inside else WIDER
        elif found >= least:
            width *= NARROWER
        if found < least:
            center, least = at, found
    return _prices(center * scale, finite)


def _model(
    slopes: list[Numbers], offsets: list[Numbers], center: Numbers, width: float
) -> tuple[Numbers, float] | None:
    """Where all cuts together promise the lowest bound within the box, and that bound."""
    rows = np.column_stack([np.array(slopes), -np.ones(len(slopes))])
    box = [(max(0.0, value - width), value + width) for value in center]
    found = optimize.linprog(
        np.append(np.zeros(len(center)), 1.0),
        A_ub=rows,
        b_ub=np.array(offsets),
        bounds=[*box, (None, None)],
        method="highs",
    )
    if found.status != 0:
        return None
    return np.maximum(0.0, found.x[:-1]), float(found.x[-1])


def _limits(problem: Problem) -> Numbers:
    return np.concatenate([problem.capacity, problem.campaign_budget, [problem.budget]])


def _vector(prices: Prices) -> Numbers:
    return np.concatenate([prices.place, prices.money, [prices.common]])


def _prices(values: Numbers, finite: Flags) -> Prices:
    """Prices of all limits; what is not limited costs nothing."""
    everything = np.zeros(len(finite))
    everything[finite] = values
    campaigns = (len(finite) - 1) // 2
    return Prices(
        everything[:campaigns], everything[campaigns : 2 * campaigns], float(everything[-1])
    )


def _scale(problem: Problem, usable: Flags) -> Numbers:
    """What a price is like: the mean value of a pair, and the mean value per money."""
    campaigns = problem.value.shape[1]
    value = float(np.mean(problem.value[usable]))
    density = value / max(float(np.mean(problem.cost[usable])), 1e-9)
    return np.concatenate([np.full(campaigns, value), np.full(campaigns + 1, density)])
