"""Prices of scarce places and money, and the limits they come from as rows of a matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, sparse

from campaigns.optimiser.problem import Codes, Flags, Numbers, Problem

# Blocks of `limit_rows`, in this order.
PEOPLE, CHANNELS, PLACES, MONEY, COMMON = range(5)


@dataclass(frozen=True)
class Prices:
    """What a place in each campaign, its own money, and the common money cost."""

    place: Numbers
    money: Numbers
    common: float = 0.0

    def net(self, problem: Problem, usable: Flags) -> Numbers:
        """Value above price of every pair; -inf where not usable."""
        net = problem.value - self.place - (self.money + self.common) * problem.cost
        return np.where(usable, net, -np.inf)


@dataclass(frozen=True)
class LimitRows:
    """Limits on some pairs; one row each that could be exceeded.

    Attributes
    ----------
    matrix, limits
        Rows over the pairs, and their upper limits.
    block, number
        Which limit a row is: one of the blocks above, and its position there.
    """

    matrix: sparse.csr_array
    limits: Numbers
    block: Codes
    number: Codes


def limit_rows(problem: Problem, who: Codes, which: Codes) -> LimitRows:
    """All limits of a problem on the given pairs."""
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
    matrices, limits, numbers, codes = [], [], [], []
    for code, (data, row, size, limit) in enumerate(blocks):
        # Most customers have fewer pairs than a limit allows: such rows would only cost time.
        most = np.bincount(row, weights=np.maximum(data, 0), minlength=size)
        binding = np.flatnonzero(most > limit + 1e-12)
        matrix = sparse.csr_array((data, (row, pairs)), shape=(size, len(who)))
        matrices.append(matrix[binding])
        limits.append(limit[binding])
        numbers.append(binding)
        codes.append(np.full(len(binding), code))
    return LimitRows(
        sparse.csr_array(sparse.vstack(matrices)),
        np.concatenate(limits),
        np.concatenate(codes),
        np.concatenate(numbers),
    )


def relaxed(problem: Problem, usable: Flags) -> Prices | None:
    """What places and money are worth at the margin where people could be divided.

    None where the linear programme has no answer.
    """
    m = problem.value.shape[1]
    who, which = np.nonzero(usable)
    place, own = np.zeros(m), np.zeros(m)
    if not len(who):
        return Prices(place, own)
    rows = limit_rows(problem, who, which)
    if not (rows.block >= PLACES).any():
        return Prices(place, own)
    found = optimize.linprog(
        -problem.value[who, which],
        A_ub=rows.matrix,
        b_ub=rows.limits,
        bounds=(0, 1),
        method="highs",
    )
    if found.status != 0:
        return None
    worth = np.maximum(0.0, -np.asarray(found.ineqlin.marginals))
    for block, prices in ((PLACES, place), (MONEY, own)):
        mine = rows.block == block
        prices[rows.number[mine]] = worth[mine]
    return Prices(place, own, float(worth[rows.block == COMMON].sum()))
