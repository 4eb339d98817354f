"""True effects of several offers on the simulated customers, and decisions drawn between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.arrays import Array
from simulator.customers import SimulatedPeople

_TOWNS = 1  # regions up to this one are cities and suburbs


@dataclass(frozen=True)
class SimulatedOffer:
    """An offer and what it changes.

    Attributes
    ----------
    name
        Its name.
    mean, sd
        Effect on the chance of an order: mean and standard deviation over the customers.
    age, distance, deals
        Directions of the effect: by age (sign reversed outside cities and suburbs), by distance,
        and by the liking of deals, which no observable covariate shows. Only their ratios count.
    discount, cost
        Share of the order value that is given away; money per contact.
    """

    name: str
    mean: float
    sd: float
    age: float = 0.0
    distance: float = 0.0
    deals: float = 0.0
    discount: float = 0.0
    cost: float = 0.0


def offer_uplift(offer: SimulatedOffer, people: SimulatedPeople, base: Array) -> Array:
    """True effect of an offer on each customer's chance of an order, shape (customers,).

    Parameters
    ----------
    offer, people
        The offer, and a block of customers.
    base
        Chance of an order without any offer.
    """
    directions = np.array([offer.age, offer.distance, offer.deals])
    length = float(np.sqrt(np.sum(directions**2))) or 1.0
    town_sign = np.where(people.region <= _TOWNS, 1.0, -1.0)
    traits = np.stack([town_sign * people.age_score, people.distance_score, people.deal_score])
    score = (directions / length) @ traits
    return np.asarray(np.clip(offer.mean + offer.sd * score, -base, 1 - base))


def draw_decisions(
    chances: Array, base: Array, uplifts: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Draw what each customer gets, and whether they order.

    Parameters
    ----------
    chances
        Probability of nothing (first column) and of each offer, customers x (offers + 1).
    base
        Chance of an order without any offer, shape (customers,).
    uplifts
        True effect of each offer, customers x offers.
    rng
        Source of randomness.

    Returns
    -------
    tuple of ndarray
        Position of what was done (0: nothing), and 1.0 for an order, else 0.0.
    """
    draws = rng.random((2, len(base)))
    done = (chances.cumsum(axis=1)[:, :-1] <= draws[0][:, None]).sum(axis=1)
    with_nothing = np.column_stack([np.zeros(len(base)), uplifts])
    ordered = draws[1] < base + with_nothing[np.arange(len(base)), done]
    return done, ordered.astype(np.float64)


def offer_margin(
    offers: Sequence[SimulatedOffer], base: Array, uplifts: Array, order_value: Array, margin: float
) -> Array:
    """Expected margin of nothing (0) and of each offer against nothing, customers x (offers + 1).

    Margin of the added orders, less the discount on all orders and the cost of the contact.
    """
    columns = [np.zeros(len(base))]
    for number, offer in enumerate(offers):
        added = uplifts[:, number] * order_value * margin
        given = offer.discount * (base + uplifts[:, number]) * order_value
        columns.append(added - given - offer.cost)
    return np.column_stack(columns)
