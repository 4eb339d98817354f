"""The uplift part of the scorer: what randomised sends of the past taught, by campaign."""

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

# Fewer people teach nothing about effects, which are small beside the chance in single responses.
_FEWEST_AN_ARM = 500
_FEWEST_RESPONSES = 50
_COMMON = 0.01  # share of the people from which on a stage counts as known
_DRAWS = 200
# Comparisons with an earlier time: they tell what has just changed, and effects go with what
# people are like; hundreds of candidates more would only let chance in.
_CHANGES = ("_year_ago_", "_prev_", "__trend", "_trend_")


@dataclass(frozen=True)
class History:
    """Randomised sends of which one model of the effect can be learned.

    Attributes
    ----------
    name
        The experiment, or the campaign whose own waves these are.
    campaigns
        Campaigns that the effect is told for.
    experiment
        Features as of each send, arms, and responses (0 or 1).
    stage
        Code of each person's stage at the send.
    days
        Days after the send in which a response counted.
    """

    name: str
    campaigns: tuple[str, ...]
    experiment: Experiment
    stage: Array
    days: int | None = None


def candidates(frame: pd.DataFrame) -> list[str]:
    """Columns of a feature frame that an effect is looked for in."""
    return [name for name in model_columns(frame) if not any(sign in name for sign in _CHANGES)]


def too_few(history: History) -> str:
    """Why nothing can be learned of a history yet; empty where it can."""
    arm = history.experiment.treatment > 0.5
    people = (int(arm.sum()), int((~arm).sum()))
    if min(people) < _FEWEST_AN_ARM:
        return f"{people[0]:,} treated, {people[1]:,} held out: {_FEWEST_AN_ARM} of each are needed"
    responses = int(history.experiment.outcome.sum())
    if not _FEWEST_RESPONSES <= responses <= len(arm) - _FEWEST_RESPONSES:
        return f"{responses:,} responses: {_FEWEST_RESPONSES} are needed, and as many without"
    return ""


def fit_uplift(histories: Sequence[History], *, seed: int, threads: int = 1) -> Part:
    """One X-learner a history, and what people it never saw say of its ranking.

    Where the interval of its Qini (95 %, people left out) is not above zero, the ranking is no
    better than chance as far as anybody knows: then everyone is given the mean effect. Where the
    interval of that holds zero too, nothing is known, and nobody is told an effect.

    Parameters
    ----------
    histories
        Those from which something can be learned (`too_few`), with different names.
    seed, threads
        Of the folds and of LightGBM.

    Returns
    -------
    Part
        ``uplift``: parameters ``models`` by name, each with what
        `models.fitting.uplift_learner.fit_effect` gives and
        ``campaigns``, ``stages`` (codes; none where nothing is known), ``ranks`` (whether it tells
        people apart), ``mean_effect``, ``mean_low``, ``mean_high``, ``qini``, ``qini_low``,
        ``qini_high``; boosters ``NAME.rest_N``.
    """
    models: dict[str, Any] = {}
    boosters: dict[str, lgb.Booster] = {}
    for history in histories:
        data = history.experiment
        found = evaluate_ranking(
            effects_out_of_fold(data, seed=seed, threads=threads), data, seed=seed, draws=_DRAWS
        )
        fitted = fit_effect(data, seed=seed, threads=threads)
        codes, counts = np.unique(history.stage, return_counts=True)
        known = codes[counts >= _COMMON * len(history.stage)]
        mean, low, high = _mean_effect(data)
        ranks = found.low > 0
        models[history.name] = {
            **fitted.parameters,
            "campaigns": list(history.campaigns),
            "stages": [int(code) for code in known] if ranks or not low <= 0 <= high else [],
            "ranks": ranks,
            "mean_effect": mean,
            "mean_low": low,
            "mean_high": high,
            "qini": found.qini,
            "qini_low": found.low,
            "qini_high": found.high,
            "days": history.days,
        }
        boosters |= {f"{history.name}.{key}": each for key, each in fitted.boosters.items()}
    return Part("uplift", {"models": models}, boosters)


def _mean_effect(data: Experiment) -> tuple[float, float, float]:
    """Effect of the message on average, with a 95 % interval (people as wholes)."""
    each = weighted_effect(data)
    totals = np.bincount(data.groups.astype(np.int64), weights=each - each.mean())
    error = float(np.sqrt(np.sum(totals**2))) / len(each)
    mean = float(each.mean())
    return mean, mean - 1.96 * error, mean + 1.96 * error


def told(part: Part) -> pd.DataFrame:
    """What each model of the part rests on: one row a model.

    Returns
    -------
    DataFrame
        model, campaigns, people, mean_effect, mean_low, mean_high, qini, qini_low, qini_high,
        ranks, known (whether anybody is told an effect).
    """
    return pd.DataFrame(
        [
            {
                "model": name,
                "campaigns": ", ".join(head["campaigns"]),
                **{key: head[key] for key in ("people", "mean_effect", "mean_low", "mean_high")},
                **{key: head[key] for key in ("qini", "qini_low", "qini_high", "ranks")},
                "known": bool(head["stages"]),
            }
            for name, head in sorted(part.parameters["models"].items())
        ]
    )
