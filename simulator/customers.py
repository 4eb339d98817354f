"""Draw the customers of a block: traits, favourites, consent, and the week they first appear."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.arrays import Array
from simulator.scenario import ATTRIBUTES, CONSENTS, STATES
from simulator.shared_settings import (
    BLOCK_SIZE,
    DAY_SECONDS,
    SimulationPlan,
    draw_choices,
    lookup_table,
)

NO_WEEK = 1_000_000  # week number that stands for "never"
REGIONS = ("city", "suburb", "town", "village")


@dataclass(frozen=True)
class SimulatedPeople:
    """Traits of the customers of a block; each array has one entry or row a customer.

    Attributes
    ----------
    first
        Number of the block's first customer.
    join_week, begins_as
        Week of the first event, and latent state (code) then.
    anonymous
        True if the customer begins as an unknown visitor.
    age_score, distance_score
        Standard normal scores behind `age` (years) and `distance_km`, both observable.
    age, distance_km, household, region
        Static attributes; `region` is a code of `REGIONS`.
    deal_score
        Preference for deals, standard normal, hidden.
    satisfaction
        Standard normal, hidden; drives surveys and complaints, and lowers the drop-out rate.
    activity, ordering, dropping, converting, opening
        Hidden factors with mean about 1: visits, orders, drop-out, first orders, e-mail opens.
    order_value
        Mean value of an order (money).
    redeeming
        Share of orders with a coupon.
    prefetching
        True if the mail program opens every message automatically.
    favourite, favourite_share
        Attribute -> code of the favourite choice, and the share of events that use it.
    granted, withdrawn, again
        Weeks in which each consent starts, ends and starts again: customer x `CONSENTS`.
    hour_shift
        Hours by which visits come later in the day than those of all.
    """

    first: int
    join_week: Array
    begins_as: Array
    anonymous: Array
    age_score: Array
    distance_score: Array
    age: Array
    distance_km: Array
    household: Array
    region: Array
    deal_score: Array
    satisfaction: Array
    activity: Array
    ordering: Array
    dropping: Array
    converting: Array
    opening: Array
    order_value: Array
    redeeming: Array
    prefetching: Array
    favourite: dict[str, Array]
    favourite_share: dict[str, Array]
    granted: Array
    withdrawn: Array
    again: Array
    hour_shift: Array

    def at_own_hours(self, moment: Array, customer: Array) -> Array:
        """Moments (seconds since 1970) moved within their day by the customers' shifts."""
        shift = np.round(self.hour_shift[customer]).astype(np.int64) * 3600
        day, second = np.divmod(moment, DAY_SECONDS)
        moved: Array = day * DAY_SECONDS + (second + shift) % DAY_SECONDS
        return moved

    def consents(self, channel: str, week: Array, customer: Array) -> Array:
        """Whether customers (positions) consent to a channel in a week."""
        column = CONSENTS.index(channel)
        withdrawn = self.withdrawn[customer, column]
        is_granted = (self.granted[customer, column] <= week) & (week < withdrawn)
        return is_granted | (self.again[customer, column] <= week)


def _arrivals(plan: SimulationPlan, rng: np.random.Generator) -> tuple[Array, Array]:
    arrival = plan.scenario.arrival
    launch_week = rng.integers(0, arrival.launch_weeks, BLOCK_SIZE)
    later_week = rng.integers(0, arrival.last_week + 1, BLOCK_SIZE)
    join_week = np.where(rng.random(BLOCK_SIZE) < arrival.launch_share, launch_week, later_week)
    first_states = np.array([STATES.index(name) for name in arrival.begins_as])
    begins_as = first_states[
        draw_choices(rng, lookup_table(list(arrival.begins_as.values())), BLOCK_SIZE)
    ]
    return join_week, begins_as.astype(np.int8)


def _consents(
    plan: SimulationPlan, rng: np.random.Generator, join_week: Array
) -> tuple[Array, Array, Array]:
    settings = plan.scenario.consent
    granted_share = np.array([settings.granted[name] for name in CONSENTS])
    shape = (BLOCK_SIZE, len(CONSENTS))
    granted = np.where(rng.random(shape) < granted_share, join_week[:, None], NO_WEEK)
    weeks_granted = rng.geometric(max(settings.withdrawn, 1e-9), shape)
    withdrawn = np.minimum(np.where(granted < NO_WEEK, granted + weeks_granted, NO_WEEK), NO_WEEK)
    returns = (rng.random(shape) < settings.granted_again) & (withdrawn < plan.weeks)
    return granted, withdrawn, np.where(returns, withdrawn + 26, NO_WEEK)


def _favourites(
    plan: SimulationPlan, rng: np.random.Generator, age: Array, distance: Array
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Draw favourite choices by popularity, and the share of events that use them.

    Age raises the chance of the first payment method, distance that of the first delivery method,
    so that events carry information about both.
    """
    favourite = {name: draw_choices(rng, plan.popular[name], BLOCK_SIZE) for name in ATTRIBUTES}
    a, b = plan.scenario.customers.favourite_share
    favourite_share = {name: rng.beta(a, b, BLOCK_SIZE) for name in ATTRIBUTES}
    for name, score in (("payment_method", age), ("delivery_method", distance)):
        takes_first = rng.random(BLOCK_SIZE) < 0.6 / (1 + np.exp(-2.5 * score))
        favourite[name] = np.where(takes_first, 0, favourite[name]).astype(np.int16)
    # Quantities follow overall popularity more than the customer's favourite.
    favourite_share["quantity"] = favourite_share["quantity"] * 0.6
    return favourite, favourite_share


def _log_factor(score: Array, sd: float) -> Array:
    """Log-normal factor of mean 1 from standard normal scores."""
    return np.exp(sd * score - sd**2 / 2)


def draw_people(plan: SimulationPlan, rng: np.random.Generator, block: int) -> SimulatedPeople:
    """Draw a whole block, so that a smaller simulation is a prefix of a larger one."""
    spread = plan.scenario.customers
    join_week, begins_as = _arrivals(plan, rng)
    age_score, distance_score, deal_score, satisfaction = rng.standard_normal((4, BLOCK_SIZE))
    drop_out_score = 0.8 * rng.standard_normal(BLOCK_SIZE) - 0.5 * satisfaction + 0.2 * deal_score
    converting = _log_factor(rng.standard_normal(BLOCK_SIZE), spread.conversion_sd)
    order_shape, activity_shape = spread.order_shape, spread.activity_shape
    # A quarter of the ordering factor is the activity factor: frequent visitors order more.
    activity = rng.gamma(activity_shape, 1 / activity_shape, BLOCK_SIZE)
    ordering = 0.25 * activity + 0.75 * rng.gamma(order_shape, 1 / order_shape, BLOCK_SIZE)
    order_value = spread.order_value * _log_factor(
        rng.standard_normal(BLOCK_SIZE), spread.order_value_sd
    )
    redeeming = plan.scenario.engagement.redemption_share * _log_factor(deal_score, 0.8)
    favourite, favourite_share = _favourites(plan, rng, age_score, distance_score)
    granted, withdrawn, again = _consents(plan, rng, join_week)
    return SimulatedPeople(
        first=block * BLOCK_SIZE,
        join_week=join_week,
        begins_as=begins_as,
        anonymous=rng.random(BLOCK_SIZE) < plan.scenario.arrival.anonymous_share,
        age_score=age_score,
        distance_score=distance_score,
        age=np.clip(np.round(44 + 13 * age_score), 18, 95).astype(np.int16),
        distance_km=np.round(np.exp(2.2 + 0.9 * distance_score), 1),
        household=(1 + np.minimum(rng.poisson(1.3, BLOCK_SIZE), 6)).astype(np.int8),
        region=draw_choices(rng, lookup_table([28, 22, 30, 20]), BLOCK_SIZE),
        deal_score=deal_score,
        satisfaction=satisfaction,
        activity=activity,
        ordering=ordering,
        dropping=_log_factor(drop_out_score, spread.drop_out_sd),
        converting=converting,
        opening=rng.gamma(2.0, 0.5, BLOCK_SIZE),
        order_value=order_value,
        redeeming=np.minimum(redeeming, 0.9),
        prefetching=rng.random(BLOCK_SIZE) < plan.scenario.messages.prefetching_share,
        favourite=favourite,
        favourite_share=favourite_share,
        granted=granted,
        withdrawn=withdrawn,
        again=again,
        # Drawn last, and only if asked for: other scenarios keep their draws.
        hour_shift=rng.normal(0.0, spread.hour_shift_sd, BLOCK_SIZE)
        if spread.hour_shift_sd
        else np.zeros(BLOCK_SIZE),
    )


def choose_attribute(
    plan: SimulationPlan,
    rng: np.random.Generator,
    people: SimulatedPeople,
    attribute: str,
    customer: Array,
) -> Array:
    """Draw an attribute's choice for each event: the customer's favourite, or by popularity."""
    any_choice = draw_choices(rng, plan.popular[attribute], len(customer))
    favourite_share = people.favourite_share[attribute].astype(np.float32)[customer]
    takes_favourite = rng.random(len(customer), dtype=np.float32) < favourite_share
    return np.where(takes_favourite, people.favourite[attribute][customer], any_choice)
