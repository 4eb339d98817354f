"""Quality of uplift rankings: gain curves, Qini and AUUC with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from features.arrays import Array
from models.fitting.uplift_learner import Experiment


@dataclass(frozen=True)
class _GainCurve:
    """Incremental outcome by share of people addressed, highest score first.

    Attributes
    ----------
    share
        Share of people addressed, 0 to 1.
    gain
        Outcome added by the messages, a person of the whole population.
    """

    share: Array
    gain: Array


@dataclass(frozen=True)
class RankingQuality:
    """How well a ranking orders people by the effect of a message.

    Attributes
    ----------
    qini, auuc
        Area between the curve and the random line; area under the curve (a person).
    low, high
        95 % bootstrap interval of `qini`, people resampled.
    curve
        The gain curve.
    at_shares
        Share addressed -> gain a person.
    """

    qini: float
    auuc: float
    low: float
    high: float
    curve: _GainCurve
    at_shares: dict[float, float] = field(default_factory=dict)


_SHARES = (0.1, 0.2, 0.3, 0.5)
_GRID = 200


def ranking_quality(
    score: Array, data: Experiment, *, seed: int, draws: int = 200, grid: int = _GRID
) -> RankingQuality:
    """Qini and AUUC of a ranking on an experiment, with intervals.

    The gain at a share is the difference between the arms' outcomes among those addressed, weighted
    by inverse propensity, so that unequal treatment probabilities cause no bias. Ties are broken at
    random.
    """
    generator = np.random.default_rng(seed)
    order = np.lexsort([generator.random(len(score)), -np.nan_to_num(score, nan=-np.inf)])
    effect = weighted_effect(data)[order]
    row_ends = np.linspace(0, len(effect), grid + 1).round().astype(np.int64)
    curve = _curve(effect, np.ones(len(effect)), row_ends)
    drawn_qini = np.empty(draws)
    for number in range(draws):
        weight = generator.poisson(1.0, len(effect)).astype(np.float64)
        drawn_qini[number] = _areas(_curve(effect, weight, row_ends))[0]
    low, high = np.quantile(drawn_qini, [0.025, 0.975]) if draws else (np.nan, np.nan)
    qini, auuc = _areas(curve)
    gains = {share: float(np.interp(share, curve.share, curve.gain)) for share in _SHARES}
    return RankingQuality(qini, auuc, float(low), float(high), curve, gains)


def weighted_effect(data: Experiment) -> Array:
    """Unbiased, noisy effect of each person (Horvitz-Thompson about the mean outcome)."""
    centred_outcome = data.outcome - data.outcome.mean()
    return np.asarray(
        centred_outcome
        * (data.treatment / data.propensity - (1 - data.treatment) / (1 - data.propensity))
    )


def _curve(effect: Array, weight: Array, ends: Array) -> _GainCurve:
    cumulative_effect = np.concatenate([[0.0], np.cumsum(effect * weight)])[ends]
    cumulative_weight = np.concatenate([[0.0], np.cumsum(weight)])[ends]
    total_weight = max(float(cumulative_weight[-1]), 1e-12)
    return _GainCurve(cumulative_weight / total_weight, cumulative_effect / total_weight)


def _areas(curve: _GainCurve) -> tuple[float, float]:
    curve_area = float(np.trapezoid(curve.gain, curve.share))
    return curve_area - float(curve.gain[-1]) / 2, curve_area


def true_qini(score: Array, effect: Array, *, seed: int = 0) -> float:
    """Qini of a ranking given each person's true effect (simulated data)."""
    generator = np.random.default_rng(seed)
    order = np.lexsort([generator.random(len(score)), -score])
    row_ends = np.linspace(0, len(score), _GRID + 1).round().astype(np.int64)
    return _areas(_curve(effect[order], np.ones(len(score)), row_ends))[0]


def compare_rankings(
    rankings: Mapping[str, Array], data: Experiment, *, seed: int, draws: int = 200
) -> dict[str, RankingQuality]:
    """Quality of several rankings of the same people, and of a random one."""
    random_score = np.random.default_rng(seed).random(len(data.outcome))
    all_rankings = {**rankings, "random": random_score}
    return {
        name: ranking_quality(score, data, seed=seed, draws=draws)
        for name, score in all_rankings.items()
    }


def share_better(
    first: Array, second: Array, data: Experiment, *, seed: int, draws: int = 200
) -> float:
    """Share of paired bootstrap draws in which the first ranking has the greater Qini."""
    generator = np.random.default_rng(seed)
    effect, row_ends = weighted_effect(data), np.linspace(0, len(first), _GRID + 1).round()
    orders = [
        np.lexsort([generator.random(len(score)), -np.nan_to_num(score, nan=-np.inf)])
        for score in (first, second)
    ]
    wins_of_first = 0
    for _ in range(draws):
        weight = generator.poisson(1.0, len(effect)).astype(np.float64)
        areas = [
            _areas(_curve(effect[order], weight[order], row_ends.astype(np.int64)))[0]
            for order in orders
        ]
        wins_of_first += areas[0] > areas[1]
    return wins_of_first / draws
