"""True effects of several offers on the simulated customers."""

from __future__ import annotations

import numpy as np

from features.arrays import Array
from simulator.customers import SimulatedPeople
from simulator.scenario import ScenarioOffer

_TOWNS = 1  # regions up to this one are cities and suburbs


def offer_uplift(offer: ScenarioOffer, people: SimulatedPeople, base: Array) -> Array:
    """True effect of an offer on each customer's chance of an order, shape (customers,).

    Parameters
    ----------
    offer, people
        The offer, and a block of customers.
    base
        Chance of an order without any offer, shape (customers,).
    """
    directions = np.array([offer.age, offer.distance, offer.deals])
    length = float(np.sqrt(np.sum(directions**2))) or 1.0
    town_sign = np.where(people.region <= _TOWNS, 1.0, -1.0)
    traits = np.stack([town_sign * people.age_score, people.distance_score, people.deal_score])
    score = (directions / length) @ traits
    return np.asarray(np.clip(offer.mean + offer.sd * score, -base, 1 - base))
