"""Simulate each customer's weekly latent states and orders.

In each week a customer is in one state and orders at most once, with a probability that depends on
the state, the season and the customer. The next state is then drawn from one table of
probabilities after an order, from another without. A randomised campaign replaces the order
probability in its week for all customers on its list, treated or not, so that its effect is
exactly the one written as truth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.arrays import Array
from simulator.customers import SimulatedPeople
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
from simulator.shared_settings import BLOCK_SIZE, SimulationPlan

# Upper limit of the weekly order probability.
HIGHEST_CHANCE = 0.9


@dataclass(frozen=True)
class TransitionChances:
    """Probabilities of orders and moves for the customers of a block.

    Attributes
    ----------
    order
        Order probability in a week with season factor 1: customer x state.
    without
        Next state after a week without an order: customer x state x next state.
    after
        Next state after an order: state x next state.
    listed
        Probability of being on a campaign's list, by state.
    base, uplift
        Order probability in the campaign's week untreated, and the increase by the treatment:
        customer x campaign.
    """

    order: Array
    without: Array
    after: Array
    listed: Array
    base: Array
    uplift: Array


@dataclass(frozen=True)
class StatePaths:
    """States, orders and campaign arms of the customers of a block.

    Attributes
    ----------
    state
        Latent state (code) at the start of each week and after the last, -1 before joining:
        customer x (weeks + 1).
    ordered
        True if the customer ordered in the week: customer x weeks.
    arm
        -1 not on the campaign's list, 0 control, 1 treated: customer x campaign.
    """

    state: Array
    ordered: Array
    arm: Array


def transition_chances(
    plan: SimulationPlan, people: SimulatedPeople, rng: np.random.Generator
) -> TransitionChances:
    """Compute the probabilities of a block; campaign effects use `rng`."""
    progress = plan.scenario.progress
    order_chance = np.zeros((BLOCK_SIZE, len(STATES)))
    order_chance[:, DECIDING] = progress.first_order * people.converting
    order_chance[:, NEW] = order_chance[:, REPEAT] = progress.order * people.ordering
    order_chance[:, LOYAL] = progress.loyal_order * progress.order * people.ordering
    order_chance[:, SLEEPING] = progress.sleeping_returns * people.ordering
    listed = np.array([plan.scenario.eligible.get(name, 0.0) for name in STATES])
    base_response, uplift = _campaign_effects(plan, people, rng)
    return TransitionChances(
        order_chance,
        _moves_without_order(plan, people),
        _moves_after_order(plan),
        listed,
        base_response,
        uplift,
    )


def _moves_without_order(plan: SimulationPlan, people: SimulatedPeople) -> Array:
    progress, converting, dropping = plan.scenario.progress, people.converting, people.dropping
    moves = np.zeros((BLOCK_SIZE, len(STATES), len(STATES)))
    moves[:, AWARE, INTERESTED] = progress.aware_to_interested * converting
    moves[:, AWARE, DECIDING] = progress.aware_to_deciding * converting
    moves[:, AWARE, GONE] = progress.aware_to_gone
    moves[:, INTERESTED, DECIDING] = progress.interested_to_deciding * converting
    moves[:, INTERESTED, COLD] = progress.interested_to_cold
    moves[:, DECIDING, INTERESTED] = progress.deciding_to_interested
    moves[:, DECIDING, COLD] = progress.deciding_to_cold
    for state in (NEW, REPEAT):
        moves[:, state, SLEEPING] = progress.to_sleeping
        moves[:, state, GONE] = progress.drop_out * dropping
    moves[:, LOYAL, SLEEPING] = progress.loyal_sleeps * progress.to_sleeping
    moves[:, LOYAL, GONE] = progress.loyal_drops_out * progress.drop_out * dropping
    moves[:, LOYAL, REPEAT] = progress.loyal_to_repeat
    moves[:, SLEEPING, GONE] = progress.sleeping_to_gone * dropping
    moves[:, COLD, INTERESTED] = progress.cold_to_interested
    moves[:, COLD, GONE] = progress.cold_to_gone
    total = moves.sum(axis=2, keepdims=True)
    moves /= np.maximum(total / HIGHEST_CHANCE, 1.0)
    states = np.arange(len(STATES))
    moves[:, states, states] = 1 - moves.sum(axis=2)
    return moves


def _moves_after_order(plan: SimulationPlan) -> Array:
    moves = np.zeros((len(STATES), len(STATES)))
    for state, follows in ((DECIDING, NEW), (NEW, REPEAT), (SLEEPING, REPEAT), (LOYAL, LOYAL)):
        moves[state, follows] = 1.0
    moves[REPEAT, LOYAL] = plan.scenario.progress.becomes_loyal
    moves[REPEAT, REPEAT] = 1 - plan.scenario.progress.becomes_loyal
    for state in (AWARE, INTERESTED, COLD, GONE):
        moves[state, state] = 1.0
    return moves


def _campaign_effects(
    plan: SimulationPlan, people: SimulatedPeople, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Draw untreated response and uplift: customer x campaign.

    The uplift score is standard normal: a mix of age (sign reversed outside cities and suburbs)
    and distance, both observable, and of the hidden preference for deals.
    """
    targets, campaigns = plan.scenario.facts, plan.scenario.campaigns
    base_noise = (
        np.clip(rng.standard_normal((BLOCK_SIZE, 1)), -2, 2) * plan.scenario.base_response_sd
    )
    base_response = np.repeat(targets.base_response + base_noise, max(len(campaigns), 1), axis=1)
    urban_sign = np.where(people.region <= 1, 1.0, -1.0)[:, None]
    age_share = np.array([c.mix for c in campaigns])[None, :]
    observable = np.sqrt(age_share) * urban_sign * people.age_score[:, None]
    observable = observable + np.sqrt(1 - age_share) * people.distance_score[:, None]
    latent_share = targets.uplift_latent_share
    score = (
        np.sqrt(1 - latent_share) * observable + np.sqrt(latent_share) * people.deal_score[:, None]
    )
    base_response = base_response[:, : len(campaigns)]
    uplift = targets.uplift_mean + targets.uplift_sd * score
    return base_response, np.clip(uplift, -base_response, 1 - base_response)


def simulate_paths(
    plan: SimulationPlan,
    people: SimulatedPeople,
    chances: TransitionChances,
    rng: np.random.Generator,
) -> StatePaths:
    """Simulate all weeks of a block of customers."""
    weeks, campaigns = plan.weeks, plan.scenario.campaigns
    positions = np.arange(BLOCK_SIZE)
    state = np.full((weeks + 1, BLOCK_SIZE), -1, dtype=np.int8)
    ordered = np.zeros((weeks, BLOCK_SIZE), dtype=bool)
    arm = np.full((BLOCK_SIZE, len(campaigns)), -1, dtype=np.int8)
    campaign_by_week = {c.week: number for number, c in enumerate(campaigns)}
    cumulative = np.cumsum(chances.without, axis=2, dtype=np.float64)[:, :, :-1].astype(np.float32)
    loyal_chance = plan.scenario.progress.becomes_loyal
    next_state = np.argmax(chances.after, axis=1).astype(np.int8)
    current = np.full(BLOCK_SIZE, -1, dtype=np.int8)
    for week in range(weeks):
        # Order probability of the week: by state and season, or by the campaign for its list.
        draws = rng.random((2, BLOCK_SIZE), dtype=np.float32)
        current = np.where(people.join_week == week, people.begins_as, current)
        state[week] = current
        order_chance = np.minimum(
            chances.order[positions, current] * plan.season[week], HIGHEST_CHANCE
        )
        if week in campaign_by_week:
            number = campaign_by_week[week]
            arm[:, number] = _assign_arms(plan, people, chances, current, number, rng)
            treated = np.where(arm[:, number] == 1, chances.uplift[:, number], 0.0)
            order_chance = np.where(
                arm[:, number] >= 0, chances.base[:, number] + treated, order_chance
            )
        # Orders of the week, and the next state without an order from cumulative probabilities.
        buys = (draws[0] < order_chance) & (current >= 0)
        without_order = (
            (draws[1][:, None] >= cumulative[positions, current]).sum(axis=1).astype(np.int8)
        )
        # After an order the next state is fixed, except that some repeat buyers become loyal.
        after_order = np.where(
            (current == REPEAT) & (draws[1] >= loyal_chance), REPEAT, next_state[current]
        )
        after_order = np.where((current == REPEAT) & (draws[1] < loyal_chance), LOYAL, after_order)
        ordered[week] = buys
        current = np.where(current < 0, current, np.where(buys, after_order, without_order)).astype(
            np.int8
        )
    state[weeks] = current
    return StatePaths(np.ascontiguousarray(state.T), np.ascontiguousarray(ordered.T), arm)


def _assign_arms(
    plan: SimulationPlan,
    people: SimulatedPeople,
    chances: TransitionChances,
    current: Array,
    number: int,
    rng: np.random.Generator,
) -> Array:
    """Draw a campaign's arm: -1 not on its list, 0 control, 1 treated."""
    campaign = plan.scenario.campaigns[number]
    draws = rng.random((2, BLOCK_SIZE))
    has_consent = people.consents(campaign.channel, np.array(campaign.week), np.arange(BLOCK_SIZE))
    has_joined = people.join_week < campaign.week
    is_listed = (draws[0] < chances.listed[current]) & has_joined & has_consent
    return np.where(is_listed, (draws[1] < campaign.treated).astype(np.int8), -1)
