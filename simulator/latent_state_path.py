"""The hidden path of every customer: a weekly chain of latent states, with orders on the way.

Every week a customer is in one state. They order with the state's chance (times season and their
own factor), at most once a week, then move on: by one table of chances after an order, by another
without. A randomised campaign replaces the chance of an order in its week for everyone on its
list, treated or not, so that its effect is exactly what the truth says.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.customers import People
from simulator.scenario import (
    AWARE,
    COLD,
    DECIDING,
    GONE,
    INTERESTED,
    LOYAL,
    NEW,
    REPEAT,
    SLEEPING,
    STATES,
)
from simulator.shared_settings import BLOCK, Array, Plan

# An order's chance in a week never exceeds this, whatever the season and the customer.
MOST = 0.9


@dataclass(frozen=True)
class Chances:
    """What drives the chain of each customer.

    Attributes
    ----------
    order
        Chance of an order in a week of season 1, by customer and state.
    without
        Chances of the next state after a week without an order: customer x state x next state.
    after
        The same after an order: state x next state.
    listed
        Chance of being on a campaign's list, by state.
    base, uplift
        Chance of an order in the campaign's week untreated, and what the treatment adds:
        customer x campaign.
    """

    order: Array
    without: Array
    after: Array
    listed: Array
    base: Array
    uplift: Array


@dataclass(frozen=True)
class Path:
    """What happened to the customers of a block.

    Attributes
    ----------
    state
        Latent state at the start of each week and after the last, -1 before joining:
        customer x (weeks + 1).
    ordered
        Ordered in the week: customer x weeks.
    arm
        -1 not on the campaign's list, 0 control, 1 treated: customer x campaign.
    """

    state: Array
    ordered: Array
    arm: Array


def chances(plan: Plan, person: People, rng: np.random.Generator) -> Chances:
    """Chances of the customers of a block."""
    spec = plan.scenario.progress
    order = np.zeros((BLOCK, len(STATES)))
    order[:, DECIDING] = spec.first_order * person.converting
    order[:, NEW] = order[:, REPEAT] = spec.order * person.ordering
    order[:, LOYAL] = spec.loyal_order * spec.order * person.ordering
    order[:, SLEEPING] = spec.sleeping_returns * person.ordering
    listed = np.array([plan.scenario.eligible.get(name, 0.0) for name in STATES])
    base, uplift = _effects(plan, person, rng)
    return Chances(order, _without(plan, person), _after(plan), listed, base, uplift)


def _without(plan: Plan, person: People) -> Array:
    spec, converting, dropping = plan.scenario.progress, person.converting, person.dropping
    moves = np.zeros((BLOCK, len(STATES), len(STATES)))
    moves[:, AWARE, INTERESTED] = spec.aware_to_interested * converting
    moves[:, AWARE, DECIDING] = spec.aware_to_deciding * converting
    moves[:, AWARE, GONE] = spec.aware_to_gone
    moves[:, INTERESTED, DECIDING] = spec.interested_to_deciding * converting
    moves[:, INTERESTED, COLD] = spec.interested_to_cold
    moves[:, DECIDING, INTERESTED] = spec.deciding_to_interested
    moves[:, DECIDING, COLD] = spec.deciding_to_cold
    for state in (NEW, REPEAT):
        moves[:, state, SLEEPING] = spec.to_sleeping
        moves[:, state, GONE] = spec.drop_out * dropping
    moves[:, LOYAL, SLEEPING] = spec.loyal_sleeps * spec.to_sleeping
    moves[:, LOYAL, GONE] = spec.loyal_drops_out * spec.drop_out * dropping
    moves[:, LOYAL, REPEAT] = spec.loyal_to_repeat
    moves[:, SLEEPING, GONE] = spec.sleeping_to_gone * dropping
    moves[:, COLD, INTERESTED] = spec.cold_to_interested
    moves[:, COLD, GONE] = spec.cold_to_gone
    total = moves.sum(axis=2, keepdims=True)
    moves /= np.maximum(total / MOST, 1.0)
    states = np.arange(len(STATES))
    moves[:, states, states] = 1 - moves.sum(axis=2)
    return moves


def _after(plan: Plan) -> Array:
    moves = np.zeros((len(STATES), len(STATES)))
    for state, follows in ((DECIDING, NEW), (NEW, REPEAT), (SLEEPING, REPEAT), (LOYAL, LOYAL)):
        moves[state, follows] = 1.0
    moves[REPEAT, LOYAL] = plan.scenario.progress.becomes_loyal
    moves[REPEAT, REPEAT] = 1 - plan.scenario.progress.becomes_loyal
    for state in (AWARE, INTERESTED, COLD, GONE):
        moves[state, state] = 1.0
    return moves


def _effects(plan: Plan, person: People, rng: np.random.Generator) -> tuple[Array, Array]:
    """Untreated response and uplift of each customer and campaign, the latter normal by design.

    Age (reversed outside towns) and distance are observable, the liking of deals is not.
    """
    facts, campaigns = plan.scenario.facts, plan.scenario.campaigns
    spread = np.clip(rng.standard_normal((BLOCK, 1)), -2, 2) * plan.scenario.base_response_sd
    base = np.repeat(facts.base_response + spread, max(len(campaigns), 1), axis=1)
    urban = np.where(person.region <= 1, 1.0, -1.0)[:, None]
    turn = np.array([c.mix for c in campaigns])[None, :]
    seen = np.sqrt(turn) * urban * person.age_score[:, None]
    seen = seen + np.sqrt(1 - turn) * person.distance_score[:, None]
    hidden = facts.uplift_latent_share
    score = np.sqrt(1 - hidden) * seen + np.sqrt(hidden) * person.deal_score[:, None]
    base = base[:, : len(campaigns)]
    uplift = facts.uplift_mean + facts.uplift_sd * score
    return base, np.clip(uplift, -base, 1 - base)


def walk(plan: Plan, person: People, chance: Chances, rng: np.random.Generator) -> Path:
    """Let a block of customers live through all weeks."""
    weeks, campaigns = plan.weeks, plan.scenario.campaigns
    rows = np.arange(BLOCK)
    state = np.full((weeks + 1, BLOCK), -1, dtype=np.int8)
    ordered = np.zeros((weeks, BLOCK), dtype=bool)
    arm = np.full((BLOCK, len(campaigns)), -1, dtype=np.int8)
    sends = {c.week: number for number, c in enumerate(campaigns)}
    edges = np.cumsum(chance.without, axis=2, dtype=np.float64)[:, :, :-1].astype(np.float32)
    loyal = plan.scenario.progress.becomes_loyal
    after = np.argmax(chance.after, axis=1).astype(np.int8)
    now = np.full(BLOCK, -1, dtype=np.int8)
    for week in range(weeks):
        draws = rng.random((2, BLOCK), dtype=np.float32)
        now = np.where(person.join_week == week, person.begins_as, now)
        state[week] = now
        p = np.minimum(chance.order[rows, now] * plan.season[week], MOST)
        if week in sends:
            number = sends[week]
            arm[:, number] = _assign(plan, person, chance, now, number, rng)
            treated = np.where(arm[:, number] == 1, chance.uplift[:, number], 0.0)
            p = np.where(arm[:, number] >= 0, chance.base[:, number] + treated, p)
        buys = (draws[0] < p) & (now >= 0)
        drawn = (draws[1][:, None] >= edges[rows, now]).sum(axis=1).astype(np.int8)
        # After an order only repeat buyers have a choice: some of them become loyal.
        bought = np.where((now == REPEAT) & (draws[1] >= loyal), REPEAT, after[now])
        bought = np.where((now == REPEAT) & (draws[1] < loyal), LOYAL, bought)
        ordered[week] = buys
        now = np.where(now < 0, now, np.where(buys, bought, drawn)).astype(np.int8)
    state[weeks] = now
    return Path(np.ascontiguousarray(state.T), np.ascontiguousarray(ordered.T), arm)


def _assign(
    plan: Plan,
    person: People,
    chance: Chances,
    now: Array,
    number: int,
    rng: np.random.Generator,
) -> Array:
    """Arm of a campaign: -1 off its list, else 0 or 1 at random."""
    campaign = plan.scenario.campaigns[number]
    draws = rng.random((2, BLOCK))
    consenting = person.consents(campaign.channel, np.array(campaign.week), np.arange(BLOCK))
    there = person.join_week < campaign.week
    listed = (draws[0] < chance.listed[now]) & there & consenting
    return np.where(listed, (draws[1] < campaign.treated).astype(np.int8), -1)
