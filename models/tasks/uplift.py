"""Uplift: effect models by campaign, fitted on past sends with a random control group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd

from features.arrays import Array
from models.fitting.uplift_curves import evaluate_ranking, weighted_effect
from models.fitting.uplift_learner import Experiment, effects_out_of_fold, fit_effect
from models.scorer.derived_features import model_columns
from models.scorer.part import Part

# Effects are small compared with the noise of single responses: fewer people show nothing.
_FEWEST_AN_ARM = 500
_FEWEST_RESPONSES = 50
_COMMON = 0.01  # a stage with a smaller share of the people gets no effect
_DRAWS = 200
# Comparisons with an earlier time: effects depend on what people are like, not on recent changes,
# and hundreds of further columns would only add chance correlations.
_CHANGES = ("_year_ago_", "_prev_", "__trend", "_trend_")


@dataclass(frozen=True)
class SendHistory:
    """Randomised sends that one effect model is fitted on.

    Attributes
    ----------
    name
        Name of the experiment, or of the campaign that sent these waves.
    campaigns
        Campaigns that the effect is predicted for.
    experiment
        Features as of each send, arms, and responses (0 or 1).
    stage
        Code of each person's stage at the send.
    days
        Days after the send within which a response counted.
    """

    name: str
    campaigns: tuple[str, ...]
    experiment: Experiment
    stage: Array
    days: int | None = None


def effect_columns(frame: pd.DataFrame) -> list[str]:
    """Columns of a feature frame that effect models may use."""
    return [name for name in model_columns(frame) if not any(marker in name for marker in _CHANGES)]


def shortage(history: SendHistory) -> str:
    """The reason why a history is too small to learn from; empty if it is large enough."""
    is_treated = history.experiment.treatment > 0.5
    treated, held_out = int(is_treated.sum()), int((~is_treated).sum())
    if min(treated, held_out) < _FEWEST_AN_ARM:
        return f"{treated:,} treated, {held_out:,} held out: {_FEWEST_AN_ARM} of each are needed"
    responses = int(history.experiment.outcome.sum())
    if not _FEWEST_RESPONSES <= responses <= len(is_treated) - _FEWEST_RESPONSES:
        return f"{responses:,} responses: {_FEWEST_RESPONSES} are needed, and as many without"
    return ""


def fit_uplift(histories: Sequence[SendHistory], *, seed: int, threads: int = 1) -> Part:
    """Fit one X-learner per history, and measure its ranking on held-out people.

    If the 95 % interval of its Qini on held-out people is not above zero, the ranking is not shown
    to be better than chance: every customer then gets the mean effect. If the interval of the mean
    effect contains zero too, the effect is unknown and no customer gets one.

    Parameters
    ----------
    histories
        Large enough histories (see `shortage`) with different names.
    seed, threads
        Seed of the folds and of LightGBM, and its threads.

    Returns
    -------
    Part
        ``uplift``: parameters ``models`` by name, each with the parameters of
        `models.fitting.uplift_learner.fit_effect` and ``campaigns``, ``stages`` (codes; empty if
        the effect is unknown), ``ranks`` (true if the ranking beats chance), ``mean_effect``,
        ``mean_low``, ``mean_high``, ``qini``, ``qini_low``, ``qini_high``; boosters
        ``NAME.rest_N``.
    """
    models: dict[str, Any] = {}
    boosters: dict[str, lgb.Booster] = {}
    for history in histories:
        experiment = history.experiment
        quality = evaluate_ranking(
            effects_out_of_fold(experiment, seed=seed, threads=threads),
            experiment,
            seed=seed,
            draws=_DRAWS,
        )
        effect_part = fit_effect(experiment, seed=seed, threads=threads)
        codes, counts = np.unique(history.stage, return_counts=True)
        known_stages = codes[counts >= _COMMON * len(history.stage)]
        mean, effect_low, effect_high = _mean_effect(experiment)
        is_ranking = quality.low > 0
        models[history.name] = {
            **effect_part.parameters,
            "campaigns": list(history.campaigns),
            "stages": [int(code) for code in known_stages]
            if is_ranking or not effect_low <= 0 <= effect_high
            else [],
            "ranks": is_ranking,
            "mean_effect": mean,
            "mean_low": effect_low,
            "mean_high": effect_high,
            "qini": quality.qini,
            "qini_low": quality.low,
            "qini_high": quality.high,
            "days": history.days,
        }
        boosters |= {
            f"{history.name}.{key}": booster for key, booster in effect_part.boosters.items()
        }
    return Part("uplift", {"models": models}, boosters)


def _mean_effect(experiment: Experiment) -> tuple[float, float, float]:
    """Mean effect of the message with its 95 % interval, clustered by person."""
    effects = weighted_effect(experiment)
    person_totals = np.bincount(
        experiment.groups.astype(np.int64), weights=effects - effects.mean()
    )
    standard_error = float(np.sqrt(np.sum(person_totals**2))) / len(effects)
    mean_effect = float(effects.mean())
    return mean_effect, mean_effect - 1.96 * standard_error, mean_effect + 1.96 * standard_error


def uplift_summary(part: Part) -> pd.DataFrame:
    """Summary of the part's models, one row per model.

    Returns
    -------
    DataFrame
        model, campaigns, people, mean_effect, mean_low, mean_high, qini, qini_low, qini_high,
        ranks, known (true if any customer gets an effect).
    """
    return pd.DataFrame(
        [
            {
                "model": name,
                "campaigns": ", ".join(model_head["campaigns"]),
                **{
                    key: model_head[key]
                    for key in ("people", "mean_effect", "mean_low", "mean_high")
                },
                **{key: model_head[key] for key in ("qini", "qini_low", "qini_high", "ranks")},
                "known": bool(model_head["stages"]),
            }
            for name, model_head in sorted(part.parameters["models"].items())
        ]
    )
