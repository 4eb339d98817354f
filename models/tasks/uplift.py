"""Uplift: effect models by campaign, fitted on past sends with a random control group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd

from features.arrays import Array
from models.fitting.offer_effects import OfferExperiment, fit_offer_effects
from models.fitting.uplift_curves import evaluate_ranking, rank_by_effects, weighted_effect
from models.fitting.uplift_learner import Experiment, effects_out_of_fold, fit_effect
from models.scorer.derived_features import model_columns
from models.scorer.part import Part

# Effects are small compared with the noise of single responses: fewer people show nothing.
_FEWEST_AN_ARM = 500
_FEWEST_RESPONSES = 50
_FEWEST_AN_OFFER = 200  # people who got one of several offers
_DRAW_ERRORS = 5.0  # standard errors between the drawn and the expected number of an offer
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


@dataclass(frozen=True)
class OfferHistory:
    """Waves of a campaign with several offers, drawn with logged probabilities.

    Attributes
    ----------
    name
        Name of the campaign.
    effect_names
        Name of each offer -> name of its effect in the scores.
    experiment
        Features as of each wave, offers, and responses (0 or 1).
    stage
        Code of each person's stage at the wave.
    days
        Days after the wave within which a response counted.
    """

    name: str
    effect_names: Mapping[str, str]
    experiment: OfferExperiment
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


def with_enough_data(history: OfferHistory) -> tuple[OfferHistory | None, str]:
    """The history restricted to offers that can be learned; None and the reason if none can.

    The reason is empty if all can. Rows with another offer are left out, and the chances of the
    others rise accordingly.
    """
    experiment = history.experiment
    done = experiment.offer.astype(np.int64)
    counts = np.bincount(done, minlength=len(experiment.offers) + 1)
    by_chance = experiment.chances.sum(axis=0)
    spread = np.sqrt((experiment.chances * (1 - experiment.chances)).sum(axis=0))
    if (np.abs(counts - by_chance) > _DRAW_ERRORS * np.maximum(spread, 1.0)).any():
        return None, "the numbers of the offers contradict the logged probabilities"
    if counts[0] < _FEWEST_AN_ARM:
        return None, f"{counts[0]:,} got nothing: {_FEWEST_AN_ARM} are needed"
    is_enough = counts >= _FEWEST_AN_OFFER
    few = [
        f"{name} {count:,}"
        for name, count, enough in zip(experiment.offers, counts[1:], is_enough[1:], strict=True)
        if not enough
    ]
    reason = f"{', '.join(few)} people: {_FEWEST_AN_OFFER} of each are needed" if few else ""
    if not is_enough[1:].any():
        return None, reason
    rows = np.flatnonzero(is_enough[done])
    part = experiment.take(rows)
    responses = int(part.outcome.sum())
    if not _FEWEST_RESPONSES <= responses <= len(rows) - _FEWEST_RESPONSES:
        return None, f"{responses:,} responses: {_FEWEST_RESPONSES} are needed, and as many without"
    chances = part.chances[:, is_enough]
    new_position = np.cumsum(is_enough) - 1
    names = np.array(experiment.offers, dtype=object)[is_enough[1:]]
    kept = replace(
        part,
        offers=tuple(map(str, names)),
        offer=new_position[part.offer.astype(np.int64)].astype(float),
        chances=chances / chances.sum(axis=1, keepdims=True),
    )
    return replace(history, experiment=kept, stage=history.stage[rows]), reason


def fit_uplift(
    histories: Sequence[SendHistory],
    offer_histories: Sequence[OfferHistory] = (),
    *,
    seed: int,
    threads: int = 1,
) -> Part:
    """Fit one X-learner per history, and measure its ranking on held-out people.

    If the 95 % interval of its Qini on held-out people is not above zero, the ranking is not shown
    to be better than chance: every customer then gets the mean effect. If the interval of the mean
    effect contains zero too, the effect is unknown and no customer gets one.

    Parameters
    ----------
    histories
        Large enough histories (see `shortage`) with different names.
    offer_histories
        Histories of campaigns with several offers (see `with_enough_data`): one model per offer,
        named by its effect. Their customers always get the predicted effect: where data are few,
        it is the mean effect of the offer.
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
        known_stages = _common_stages(history.stage)
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
    for offer_history in offer_histories:
        for name, (parameters, trees) in _offer_models(offer_history, seed, threads).items():
            models[name] = parameters
            boosters |= {f"{name}.{key}": booster for key, booster in trees.items()}
    return Part("uplift", {"models": models}, boosters)


def _common_stages(stage: Array) -> Array:
    """Codes of the stages in which enough people were."""
    codes, counts = np.unique(stage, return_counts=True)
    return np.asarray(codes[counts >= _COMMON * len(stage)])


def _offer_models(
    history: OfferHistory, seed: int, threads: int
) -> dict[str, tuple[dict[str, Any], Mapping[str, lgb.Booster]]]:
    """Parameters and trees of the model of each offer, by the name of its effect."""
    learned = fit_offer_effects(history.experiment, seed=seed, threads=threads)
    stages = [int(code) for code in _common_stages(history.stage)]
    models: dict[str, tuple[dict[str, Any], Mapping[str, lgb.Booster]]] = {}
    for offer, effect in learned.items():
        rows = np.flatnonzero(~np.isnan(effect.noisy_effects))
        noisy = effect.noisy_effects[rows]
        quality = rank_by_effects(
            effect.out_of_fold[rows], noisy - noisy.mean(), seed=seed, draws=_DRAWS
        )
        name = history.effect_names[offer]
        parameters = {
            **effect.part.parameters,
            "campaigns": [name],
            "stages": stages,
            "ranks": True,
            "people": effect.people,
            "effect_error": effect.error,
            "mean_effect": effect.mean,
            "mean_low": effect.low,
            "mean_high": effect.high,
            "qini": quality.qini,
            "qini_low": quality.low,
            "qini_high": quality.high,
            "days": history.days,
        }
        models[name] = (parameters, effect.part.boosters)
    return models


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
