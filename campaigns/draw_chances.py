"""Chances of the offers in the draw of an explorer: equal ones, or by Thompson sampling.

Thompson sampling (Thompson 1933; Chapelle and Li 2011) takes each offer as often as it is the best
one. Here the value of an offer is normally distributed around the expected one, with the standard
error that the learner gives. How often each offer is the best is counted over a fixed number of
seeded draws, raised to a floor, and used as the chance of the real draw. So the chance of what was
drawn is known exactly, whatever the number of counted draws, and no possible offer has a chance
below the floor: off-policy evaluation stays possible.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import norm

from campaigns.candidates import CampaignCandidates
from campaigns.holdout import uniform_draws
from campaigns.optimiser.problem import Codes, Flags, FloatArray

_COUNTED_DRAWS = 256
_ROWS_AT_ONCE = 2_000  # 12 MB of draws for three offers

DrawChances = Callable[[Codes, Flags], FloatArray]


def draw_chances(
    campaign: CampaignCandidates, people: Codes, *, salt: str, wave: str
) -> DrawChances:
    """Return the function that gives the chances of an explorer's draw.

    Parameters
    ----------
    campaign
        A campaign with several offers.
    people
        Positions of its newcomers.
    salt, wave
        Fix the counted draws.

    Returns
    -------
    callable
        Takes positions in ``people`` and the offers that each may get, shape (rows, offers), at
        least one a row. Returns the probability of every offer, same shape: rows add up to 1, and
        offers that a person may not get have 0. People with an offer of unknown error draw with
        equal chances.
    """
    if campaign.playbook.exploration == "uniform":
        return lambda _rows, could_get: equal_chances(could_get)
    expected, error = (
        np.stack([column[people] for column in columns], axis=1)
        for columns in (
            [offer.value.expected for offer in campaign.offers],
            [_error_of(offer.value.error, len(campaign.offer)) for offer in campaign.offers],
        )
    )
    numbers = [str(number) for number in range(_COUNTED_DRAWS)]
    uniform = [
        uniform_draws(
            numbers, salt=salt, campaign=f"*thompson {campaign.playbook.campaign} {offer.name}",
            wave=wave,
        )
        for offer in campaign.offers
    ]  # fmt: skip
    # Half a step of the smallest number keeps the normal draws finite.
    normal = norm.ppf(np.stack(uniform) + 2.0**-54)
    floor = campaign.playbook.exploration_floor
    return lambda rows, could_get: thompson_chances(
        expected[rows], error[rows], could_get, normal=normal, floor=floor
    )


def equal_chances(could_get: Flags) -> FloatArray:
    """Every possible offer with the same probability, shape (people, offers)."""
    chances: FloatArray = could_get / could_get.sum(axis=1, keepdims=True)
    return chances


def thompson_chances(
    expected: FloatArray, error: FloatArray, could_get: Flags, *, normal: FloatArray, floor: float
) -> FloatArray:
    """Probability of every offer by how often it is the best one, shape (people, offers).

    Parameters
    ----------
    expected, error
        Expected money of every offer and its standard error, shape (people, offers); NaN: unknown.
    could_get
        Offers that each person may get, at least one a row.
    normal
        Standard normal draws, shape (offers, draws).
    floor
        Least probability of a possible offer, at most 1 / number of offers.
    """
    chances = equal_chances(could_get)
    known = np.isfinite(expected) & np.isfinite(error)
    learned = np.flatnonzero((known | ~could_get).all(axis=1) & (could_get.sum(axis=1) > 1))
    for start in range(0, len(learned), _ROWS_AT_ONCE):
        rows = learned[start : start + _ROWS_AT_ONCE]
        drawn = expected[rows, :, None] + error[rows, :, None] * normal
        drawn[~could_get[rows]] = -np.inf
        best = drawn.argmax(axis=1)
        often = np.stack([(best == k).mean(axis=1) for k in range(expected.shape[1])], axis=1)
        left = 1 - floor * could_get[rows].sum(axis=1, keepdims=True)
        chances[rows] = floor * could_get[rows] + left * often
    return chances


def _error_of(error: FloatArray | None, count: int) -> FloatArray:
    return np.full(count, np.nan) if error is None else error
