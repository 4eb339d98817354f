"""Quality of an uplift ranking: gain curve, Qini and AUUC with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from features.arrays import Array
from models.fitting.uplift_learner import Experiment


@dataclass(frozen=True)
class _Curve:
    """Incremental outcome by share of people addressed, in ranking order.

    Attributes
    ----------
    share
        Share of people addressed, 0 to 1.
    gain
        Outcome that the messages added, per person of the whole population.
    """

    share: Array
    gain: Array


@dataclass(frozen=True)
class RankingQuality:
    """Qini, AUUC and gain curve of a ranking.

    Attributes
    ----------
    qini, auuc
        Area between the curve and the line of a random ranking; area under the curve. Both in
        outcome per person.
    low, high
        95 % bootstrap interval of `qini` (people resampled).
    curve
        The gain curve.
    at_shares
        Gain per person by share addressed.
    """

    qini: float
    auuc: float
    low: float
    high: float
    curve: _Curve
    at_shares: dict[float, float] = field(default_factory=dict)


_SHARES = (0.1, 0.2, 0.3, 0.5)
_GRID = 200


def evaluate_ranking(
    scores: Array, experiment: Experiment, *, seed: int, draws: int = 200, grid: int = _GRID
) -> RankingQuality:
    """Qini and AUUC of a ranking on an experiment, with intervals.

    The gain at a share is the difference of the inverse-propensity weighted outcomes of both arms
    among the people addressed, so unequal chances of treatment do not bias it. Ties are broken at
    random.
    """
    return rank_by_effects(scores, weighted_effect(experiment), seed=seed, draws=draws, grid=grid)


def rank_by_effects(
    scores: Array, effects: Array, *, seed: int, draws: int = 200, grid: int = _GRID
) -> RankingQuality:
    """Qini and AUUC of a ranking by unbiased, noisy effects of every person, with intervals."""
    generator = np.random.default_rng(seed)
    ranking = np.lexsort([generator.random(len(scores)), -np.nan_to_num(scores, nan=-np.inf)])
    effect = effects[ranking]
    cut_rows = np.linspace(0, len(effect), grid + 1).round().astype(np.int64)
    curve = _curve(effect, np.ones(len(effect)), cut_rows)
    drawn_qini = np.empty(draws)
    for number in range(draws):
        draw_weights = generator.poisson(1.0, len(effect)).astype(np.float64)
        drawn_qini[number] = _areas(_curve(effect, draw_weights, cut_rows))[0]
    lower, upper = np.quantile(drawn_qini, [0.025, 0.975]) if draws else (np.nan, np.nan)
    qini, auuc = _areas(curve)
    gains = {share: float(np.interp(share, curve.share, curve.gain)) for share in _SHARES}
    return RankingQuality(qini, auuc, float(lower), float(upper), curve, gains)


def weighted_effect(experiment: Experiment) -> Array:
    """Unbiased, noisy effect of every person (Horvitz-Thompson about the mean outcome)."""
    centre = experiment.outcome - experiment.outcome.mean()
    return np.asarray(
        centre
        * (
            experiment.treatment / experiment.propensity
            - (1 - experiment.treatment) / (1 - experiment.propensity)
        )
    )


def _curve(effect: Array, weight: Array, cut_rows: Array) -> _Curve:
    cumulative_effect = np.concatenate([[0.0], np.cumsum(effect * weight)])[cut_rows]
    cumulative_weight = np.concatenate([[0.0], np.cumsum(weight)])[cut_rows]
    total_weight = max(float(cumulative_weight[-1]), 1e-12)
    return _Curve(cumulative_weight / total_weight, cumulative_effect / total_weight)


def _areas(curve: _Curve) -> tuple[float, float]:
    area = float(np.trapezoid(curve.gain, curve.share))
    return area - float(curve.gain[-1]) / 2, area


def true_qini(scores: Array, effect: Array, *, seed: int = 0) -> float:
    """Qini of a ranking by the true effect of every person (simulated data)."""
    generator = np.random.default_rng(seed)
    ranking = np.lexsort([generator.random(len(scores)), -scores])
    cut_rows = np.linspace(0, len(scores), _GRID + 1).round().astype(np.int64)
    return _areas(_curve(effect[ranking], np.ones(len(scores)), cut_rows))[0]


def compare_rankings(
    rankings: Mapping[str, Array], experiment: Experiment, *, seed: int, draws: int = 200
) -> dict[str, RankingQuality]:
    """Quality of several rankings of the same people and of a random one."""
    random_scores = np.random.default_rng(seed).random(len(experiment.outcome))
    all_rankings = {**rankings, "random": random_scores}
    return {
        name: evaluate_ranking(scores, experiment, seed=seed, draws=draws)
        for name, scores in all_rankings.items()
    }


def share_better(
    first: Array, second: Array, experiment: Experiment, *, seed: int, draws: int = 200
) -> float:
    """Share of bootstrap draws of people in which the first ranking has the greater Qini."""
    generator = np.random.default_rng(seed)
    effect, cut_rows = weighted_effect(experiment), np.linspace(0, len(first), _GRID + 1).round()
    rankings = [
        np.lexsort([generator.random(len(scores)), -np.nan_to_num(scores, nan=-np.inf)])
        for scores in (first, second)
    ]
    wins = 0
    for _ in range(draws):
        draw_weights = generator.poisson(1.0, len(effect)).astype(np.float64)
        draw_areas = [
            _areas(_curve(effect[ranking], draw_weights[ranking], cut_rows.astype(np.int64)))[0]
            for ranking in rankings
        ]
        wins += draw_areas[0] > draw_areas[1]
    return wins / draws
