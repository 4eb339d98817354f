"""Shadow prices of places and money, and the limits as rows of a sparse matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, sparse

from campaigns.optimiser.problem import Codes, Flags, FloatArray, Prices, Problem

# Blocks of `limit_rows`, in this order.
PEOPLE, CHANNELS, PLACES, MONEY, COMMON, OFFERS, SIBLINGS = range(7)


@dataclass(frozen=True)
class _LimitRows:
    """Limits on some pairs: one row per limit that the pairs can exceed.

    Attributes
    ----------
    matrix, limits
        Coefficients, shape (limits, pairs), and the upper limits.
    block, number
        Block of each row (see above), and its position in the block.
    """

    matrix: sparse.csr_array
    limits: FloatArray
    block: Codes
    number: Codes


def limit_rows(problem: Problem, customers: Codes, offers: Codes) -> _LimitRows:
    """Limits of a problem that the given pairs can exceed."""
    customer_count, offer_count = problem.value.shape
    campaign_count = len(problem.capacity)
    pairs = np.arange(len(customers))
    unit, cost = np.ones(len(customers)), problem.cost[customers, offers]
    channels = problem.channel_left.shape[1]
    by_channel = customers * channels + problem.channel[customers, offers]
    campaigns = problem.campaign_of[offers]
    blocks = [
        (unit, customers, customer_count, problem.at_most.astype(float)),
        (unit, by_channel, customer_count * channels, problem.channel_left.astype(float).ravel()),
        (unit, campaigns, campaign_count, problem.capacity),
        (cost, campaigns, campaign_count, problem.campaign_budget),
        (cost, np.zeros(len(customers), dtype=np.int64), 1, np.array([problem.budget])),
        (unit, offers, offer_count, problem.offer_places),
    ]
    if problem.has_siblings:
        # One row for each customer and campaign that occur: all of them would be too many.
        pair_codes, sibling = np.unique(customers * campaign_count + campaigns, return_inverse=True)
        blocks.append((unit, sibling, len(pair_codes), np.ones(len(pair_codes))))
    matrices, limits, positions, block_codes = [], [], [], []
    for block, (weights, limit_number, limit_count, limit) in enumerate(blocks):
        # Leave out limits that all pairs together cannot exceed: they only cost time.
        highest_use = np.bincount(
            limit_number, weights=np.maximum(weights, 0), minlength=limit_count
        )
        can_exceed = np.flatnonzero(highest_use > limit + 1e-12)
        matrix = sparse.csr_array(
            (weights, (limit_number, pairs)), shape=(limit_count, len(customers))
        )
        matrices.append(matrix[can_exceed])
        limits.append(limit[can_exceed])
        positions.append(can_exceed)
        block_codes.append(np.full(len(can_exceed), block))
    return _LimitRows(
        sparse.csr_array(sparse.vstack(matrices)),
        np.concatenate(limits),
        np.concatenate(block_codes),
        np.concatenate(positions),
    )


def linear_programme_prices(problem: Problem, usable: Flags) -> Prices | None:
    """Shadow prices of the linear relaxation; None if it has no solution."""
    campaign_count = len(problem.capacity)
    customers, offers = np.nonzero(usable)
    places, money = np.zeros(campaign_count), np.zeros(campaign_count)
    of_offers = np.zeros(problem.value.shape[1])
    if not len(customers):
        return Prices(places, money)
    rows = limit_rows(problem, customers, offers)
    if not np.isin(rows.block, (PLACES, MONEY, COMMON, OFFERS)).any():
        return Prices(places, money)
    result = optimize.linprog(
        -problem.value[customers, offers],
        A_ub=rows.matrix,
        b_ub=rows.limits,
        bounds=(0, 1),
        method="highs",
    )
    if result.status != 0:
        return None
    duals = np.maximum(0.0, -np.asarray(result.ineqlin.marginals))
    for block, prices in ((PLACES, places), (MONEY, money), (OFFERS, of_offers)):
        in_block = rows.block == block
        prices[rows.number[in_block]] = duals[in_block]
    common = float(duals[rows.block == COMMON].sum())
    return Prices(places, money, common, None if problem.offer_capacity is None else of_offers)
