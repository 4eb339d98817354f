"""Moves between states in past steps of 30 days, and what they say about the next steps."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from features.arrays import Array
from models.forecasting.stage_states import (
    STEP_DAYS,
    StageStates,
    is_active,
    silence_group,
    stage_of,
)

GRID_DAYS = 10  # between past dates; a step is a multiple of it
STEP_DATES = STEP_DAYS // GRID_DAYS
_LEAST = 200  # customers and dates that a state of its own needs; rarer ones join a coarser state
# Dates of the grid before the first step that counts, once a twentieth of the customers is known:
# where data begin, no customer looks silent or loyal yet.
_WARM_UP, _BEGUN = 12, 0.05
# Nor before stages that are common today had a quarter of their share: a young business.
_COMMON, _RIPE = 0.02, 0.25


@dataclass(frozen=True)
class Steps:
    """Moves of past steps between groups of states.

    Attributes
    ----------
    days
        Day on which each step ends, ascending.
    moves
        Customers by step, group before and group after (float64).
    newcomers
        Customers who did not exist before, by step and group after.
    sizes
        Customers by date of the grid and group.
    grid
        Day of each row of `sizes`.
    stage, active
        Of each group: its stage code; whether its customers were active in the last step.
    names
        Stage names by code.
    """

    days: Array
    moves: Array
    newcomers: Array
    sizes: Array
    grid: Array
    stage: Array
    active: Array
    names: tuple[str, ...]

    def counts(self, groups: Array) -> Array:
        """Customers by stage, from customers by group (last axis)."""
        table = np.zeros((len(self.stage), len(self.names)))
        table[np.arange(len(self.stage)), self.stage] = 1.0
        return np.asarray(groups @ table)


@dataclass(frozen=True)
class Chain:
    """Shares that move in a step, and what joins.

    Attributes
    ----------
    shares
        Group before x group after; rows sum to 1.
    newcomers
        Customers who join in a step, by group.
    """

    shares: Array
    newcomers: Array


def past_steps(states: StageStates) -> Steps:
    """Count the moves of all past steps on the grid; rare states are joined to coarser ones."""
    cell = states.cell
    group_of, stage, active = _groups(cell)
    group = np.where(cell >= 0, group_of[np.maximum(cell, 0)], -1)
    size = len(stage)
    sizes = np.stack([np.bincount(row[row >= 0], minlength=size) for row in group])
    begun = _first_place(sizes, stage)
    numbers = range(begun, len(group) - STEP_DATES)
    moves, newcomers = np.zeros((len(numbers), size, size)), np.zeros((len(numbers), size))
    for place, number in enumerate(numbers):
        before, after = group[number], group[number + STEP_DATES]
        both = (before >= 0) & (after >= 0)
        pairs = np.bincount(before[both] * size + after[both], minlength=size * size)
        moves[place] = pairs.reshape(size, size)
        newcomers[place] = np.bincount(after[(before < 0) & (after >= 0)], minlength=size)
    grid = np.array(states.days)
    ends = grid[begun + STEP_DATES :]
    return Steps(ends, moves, newcomers, sizes.astype(float), grid, stage, active, states.names)


def _first_place(sizes: Array, stage: Array) -> int:
    """First date of the grid that counts, at the latest after two fifths of the dates."""
    known = sizes.sum(axis=1)
    begun = int(np.argmax(known >= _BEGUN * known[-1])) + _WARM_UP
    shares = np.stack([sizes[:, stage == code].sum(axis=1) for code in np.unique(stage)], axis=1)
    shares = shares / np.maximum(known, 1)[:, None]
    common = shares[-1] >= _COMMON
    ripe = (shares[:, common] >= _RIPE * shares[-1, common]).all(axis=1)
    return max(begun, min(int(np.argmax(ripe)), 2 * len(sizes) // 5))


def _groups(cell: Array) -> tuple[Array, Array, Array]:
    """Group of every state code; stage and activity of every group."""
    counts = np.bincount(cell[cell >= 0], minlength=int(cell.max()) + 1)
    codes = np.arange(len(counts))
    middle, stage = silence_group(codes), stage_of(codes)
    common = counts >= _LEAST
    middle_counts = np.bincount(middle, weights=np.where(common, 0, counts))
    # Negative numbers keep the three levels apart.
    label = np.where(
        common,
        codes,
        np.where(middle_counts[middle] >= _LEAST, -1 - middle, -1 - middle.max() - 1 - stage),
    )
    labels, group_of = np.unique(label[counts > 0], return_inverse=True)
    whole = np.zeros(len(counts), dtype=np.int64)
    whole[counts > 0] = group_of
    seen = codes[counts > 0]
    weights = counts[counts > 0].astype(float)
    stages = np.zeros(len(labels), dtype=np.int64)
    stages[group_of] = stage[seen]
    totals = np.bincount(group_of, weights=weights)
    active = np.bincount(group_of, weights=weights * is_active(seen)) / totals > 0.5
    return whole, stages, active


def chain_at(steps: Steps, day: int, half_life: float) -> Chain:
    """Weighted shares of the steps that had ended by a day."""
    known = steps.days <= day
    weights = 0.5 ** ((day - steps.days[known]) / half_life)
    moves = np.tensordot(weights, steps.moves[known], axes=1)
    totals = moves.sum(axis=1, keepdims=True)
    stay = np.eye(len(moves))
    shares = np.where(totals > 0, moves / np.maximum(totals, 1e-12), stay)
    return Chain(shares, weights @ steps.newcomers[known] / weights.sum())


def tilted(chain: Chain, active: Array, change: float, rows: Array | None = None) -> Chain:
    """The chain after a change of the log-odds of being active, of some groups before (None: all).

    Parameters
    ----------
    chain
        Shares of a step.
    active
        Of each group: whether its customers were active in the step before.
    change
        Change of the log-odds; 0.1 is about 10 % more odds.
    rows
        Groups before that change; None: all.
    """
    factors = np.where(active, np.exp(change), 1.0)
    changed = chain.shares * factors
    changed /= changed.sum(axis=1, keepdims=True)
    keep = np.zeros(len(active), dtype=bool) if rows is None else ~rows
    return replace(chain, shares=np.where(keep[:, None], chain.shares, changed))


def group_paths(start: Array, chain: Chain, months: int) -> Array:
    """Customers by group after 1, 2, ... steps: months x groups."""
    current, path = start, []
    for _ in range(months):
        current = current @ chain.shares + chain.newcomers
        path.append(current)
    return np.stack(path)


def last_month_matrix(steps: Steps, day: int, months: int) -> Array:
    """The baseline: last month's moves between stages, again and again; months x stages."""
    number = int(np.flatnonzero(steps.days <= day)[-1])
    stages = len(steps.names)
    moves = np.zeros((stages, stages))
    np.add.at(moves, (steps.stage[:, None], steps.stage[None, :]), steps.moves[number])
    totals = moves.sum(axis=1, keepdims=True)
    shares = np.where(totals > 0, moves / np.maximum(totals, 1e-12), np.eye(stages))
    start = steps.counts(steps.sizes[int(np.searchsorted(steps.grid, day))])
    return group_paths(start, Chain(shares, steps.counts(steps.newcomers[number])), months)
