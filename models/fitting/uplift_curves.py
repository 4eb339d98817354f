"""How well a ranking finds whom a message moves: gain curves, Qini, AUUC, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from features.arrays import Array
from models.fitting.uplift_learner import Experiment


@dataclass(frozen=True)
class Curve:
    """Incremental outcome by share of people addressed, best first.

    Attributes
    ----------
    share
        Of people addressed, 0 to 1.
    gain
        Outcome that the messages added, a person of the whole population.
    """

    share: Array
    gain: Array


@dataclass(frozen=True)
class Ranked:
    """How well a ranking finds those whom the message moves.

    Attributes
    ----------
    qini, auuc
        Area between the curve and the random line; area under the curve (a person).
    low, high
        95 % interval of `qini`, people drawn again.
    curve
        The curve itself.
    at_shares
        Share addressed -> gain a person.
    """

    qini: float
    auuc: float
    low: float
    high: float
    curve: Curve
    at_shares: dict[float, float] = field(default_factory=dict)


SHARES = (0.1, 0.2, 0.3, 0.5)
GRID = 200


def ranked(
    score: Array, data: Experiment, *, seed: int, draws: int = 200, grid: int = GRID
) -> Ranked:
    """Qini and AUUC of a ranking on an experiment, with intervals.

    The gain at a share is the difference between the arms' (inverse-propensity weighted) outcomes
    among those addressed, so that random treatment of unequal chance does no harm. Ties are
    broken at random.
    """
    rng = np.random.default_rng(seed)
    order = np.lexsort([rng.random(len(score)), -np.nan_to_num(score, nan=-np.inf)])
    effect = weighted_effect(data)[order]
    ends = np.linspace(0, len(effect), grid + 1).round().astype(np.int64)
    curve = _curve(effect, np.ones(len(effect)), ends)
    drawn = np.empty(draws)
    for number in range(draws):
        weight = rng.poisson(1.0, len(effect)).astype(np.float64)
        drawn[number] = _areas(_curve(effect, weight, ends))[0]
    low, high = np.quantile(drawn, [0.025, 0.975]) if draws else (np.nan, np.nan)
    qini, auuc = _areas(curve)
    gains = {share: float(np.interp(share, curve.share, curve.gain)) for share in SHARES}
    return Ranked(qini, auuc, float(low), float(high), curve, gains)


def weighted_effect(data: Experiment) -> Array:
    """Unbiased, noisy effect of every person (Horvitz-Thompson about the mean outcome)."""
    centre = data.outcome - data.outcome.mean()
    return np.asarray(
        centre * (data.treatment / data.propensity - (1 - data.treatment) / (1 - data.propensity))
    )


def _curve(effect: Array, weight: Array, ends: Array) -> Curve:
    total = np.concatenate([[0.0], np.cumsum(effect * weight)])[ends]
    counted = np.concatenate([[0.0], np.cumsum(weight)])[ends]
    everyone = max(float(counted[-1]), 1e-12)
    return Curve(counted / everyone, total / everyone)


def _areas(curve: Curve) -> tuple[float, float]:
    area = float(np.trapezoid(curve.gain, curve.share))
    return area - float(curve.gain[-1]) / 2, area


def true_qini(score: Array, effect: Array, *, seed: int = 0) -> float:
    """Qini of a ranking where every person's true effect is known (simulated data)."""
    rng = np.random.default_rng(seed)
    order = np.lexsort([rng.random(len(score)), -score])
    ends = np.linspace(0, len(score), GRID + 1).round().astype(np.int64)
    return _areas(_curve(effect[order], np.ones(len(score)), ends))[0]


def compared(
    rankings: Mapping[str, Array], data: Experiment, *, seed: int, draws: int = 200
) -> dict[str, Ranked]:
    """Several rankings of the same people, with a random one beside them."""
    chance = np.random.default_rng(seed).random(len(data.outcome))
    every = {**rankings, "random": chance}
    return {name: ranked(score, data, seed=seed, draws=draws) for name, score in every.items()}


def share_better(
    first: Array, second: Array, data: Experiment, *, seed: int, draws: int = 200
) -> float:
    """Share of draws of people (in pairs) in which the first ranking has the greater Qini."""
    rng = np.random.default_rng(seed)
    effect, ends = weighted_effect(data), np.linspace(0, len(first), GRID + 1).round()
    orders = [
        np.lexsort([rng.random(len(score)), -np.nan_to_num(score, nan=-np.inf)])
        for score in (first, second)
    ]
    better = 0
    for _ in range(draws):
        weight = rng.poisson(1.0, len(effect)).astype(np.float64)
        areas = [
            _areas(_curve(effect[order], weight[order], ends.astype(np.int64)))[0]
            for order in orders
        ]
        better += areas[0] > areas[1]
    return better / draws
