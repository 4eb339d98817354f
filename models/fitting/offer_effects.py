"""Effects of several offers against nothing, learned from draws with logged probabilities.

Doubly robust learner (Kennedy 2023, section 3) for each offer: LightGBM predicts the outcome of
every arm; the predicted difference to nothing, corrected by the inversely weighted residual of what
was really done, is an unbiased, noisy effect of each row. The second stage is that of
`models.fitting.uplift_learner`. Rows count by their precision p q / (p + q), with p and q the
chances of the offer and of nothing (overlap weights, Li, Morgan and Zaslavsky 2018). Where data are
few, the cross-validated penalty of the second stage leaves the mean effect of the offer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.arrays import Array
from models.fitting.response_models import UPLIFT_FOLDS, expected_outcomes, person_folds
from models.fitting.uplift_learner import fit_imputed_effects
from models.scorer.linear_model import matrix
from models.scorer.part import Part
from models.scorer.uplift import uplift_effect


@dataclass(frozen=True)
class OfferExperiment:
    """Randomised decisions between several offers and nothing; one row per person and send.

    Attributes
    ----------
    covariates
        Facts about each person before the send; float64, NaN where unknown.
    offers
        Names of the offers, without nothing.
    offer
        What was done: 0 for nothing, else the position of the offer plus 1.
    outcome
        Outcome after the send: 0/1, orders or money.
    chances
        Probability of nothing (first column) and of each offer, rows x (offers + 1); 0 for an
        offer that the person could not get.
    groups
        Code of the person: all rows of a person are in the same fold.
    """

    covariates: pd.DataFrame
    offers: tuple[str, ...]
    offer: Array
    outcome: Array
    chances: Array
    groups: Array

    def take(self, rows: Array) -> OfferExperiment:
        """The experiment restricted to some rows."""
        return OfferExperiment(
            self.covariates.iloc[rows],
            self.offers,
            self.offer[rows],
            self.outcome[rows],
            self.chances[rows],
            self.groups[rows],
        )


@dataclass(frozen=True)
class OfferEffect:
    """What was learned about one offer.

    Attributes
    ----------
    part
        Part ``uplift`` with the effect of the offer, with the parameters of
        `models.fitting.uplift_learner.fit_effect`.
    people
        Rows with this offer.
    mean, low, high
        Mean effect with its 95 % interval, over the rows that could get the offer or nothing,
        weighted by precision.
    error
        Standard error of one row's predicted effect, root of the mean variance over the rows
        (jackknife over groups of people, Efron and Stein 1981); at least the error of the mean.
    noisy_effects
        Unbiased effect of every row; NaN where the person could not get the offer.
    out_of_fold
        Predicted effect of every row by a model that never saw the person.
    """

    part: Part
    people: int
    mean: float
    low: float
    high: float
    error: float
    noisy_effects: Array
    out_of_fold: Array


def fit_offer_effects(
    experiment: OfferExperiment, *, seed: int, threads: int = 1
) -> dict[str, OfferEffect]:
    """Fit the effect of every offer.

    Parameters
    ----------
    experiment
        Decisions, with people in every arm.
    seed, threads
        Seed of LightGBM and the folds; threads of LightGBM.

    Raises
    ------
    ValueError
        If nobody had one of the offers, or nothing.
    """
    effects, weights = noisy_offer_effects(experiment, seed=seed, threads=threads)
    out_of_fold = np.full(effects.shape, np.nan)
    by_fold = np.zeros((UPLIFT_FOLDS, *effects.shape))
    fold_numbers = person_folds(experiment.groups, seed=seed + 2)
    for fold in range(UPLIFT_FOLDS):
        held_out, known = np.flatnonzero(fold_numbers == fold), np.flatnonzero(fold_numbers != fold)
        part_of_data = experiment.take(known)
        known_effects, known_weights = noisy_offer_effects(part_of_data, seed=seed, threads=threads)
        for number in range(len(experiment.offers)):
            part = _second_stage(
                part_of_data, known_effects, known_weights, number, seed=seed, threads=threads
            )
            by_fold[fold, :, number] = uplift_effect(part, experiment.covariates)
        out_of_fold[held_out] = by_fold[fold, held_out]
    # Jackknife: models without one group of people differ by 1 / (groups - 1) of the error.
    variances = by_fold.var(axis=0) * (UPLIFT_FOLDS - 1)
    learned = {}
    for number, name in enumerate(experiment.offers):
        part = _second_stage(experiment, effects, weights, number, seed=seed, threads=threads)
        own = (effects[:, number], weights[:, number], out_of_fold[:, number])
        mean, low, high = _mean_effect(own[0], own[1], experiment.groups)
        people = int((experiment.offer == number + 1).sum())
        noisy = np.where(own[1] > 0, own[0], np.nan)
        error = max(float(np.sqrt(variances[:, number].mean())), (high - low) / (2 * 1.96))
        learned[name] = OfferEffect(part, people, mean, low, high, error, noisy, own[2])
    return learned


def noisy_offer_effects(
    experiment: OfferExperiment, *, seed: int, threads: int = 1
) -> tuple[Array, Array]:
    """Doubly robust effect of every offer in every row, and its precision: both rows x offers.

    The precision is 0 where the person could not get the offer.
    """
    arms = len(experiment.offers) + 1
    counts = np.bincount(experiment.offer.astype(np.int64), minlength=arms)
    if (counts == 0).any():
        raise ValueError("every offer, and nothing, needs people who got it")
    inputs = matrix(experiment.covariates, list(experiment.covariates.columns))
    expected = expected_outcomes(
        experiment.outcome,
        experiment.offer,
        inputs,
        experiment.groups,
        seed=seed,
        threads=threads,
        arms=arms,
    )
    rows, done = np.arange(len(experiment.outcome)), experiment.offer.astype(np.int64)
    surprise = (experiment.outcome - expected[done, rows]) / experiment.chances[rows, done]
    corrected = expected + np.where(np.arange(arms)[:, None] == done, surprise, 0.0)
    nothing, offers = experiment.chances[:, :1], experiment.chances[:, 1:]
    weights = offers * nothing / np.maximum(offers + nothing, 1e-12)
    return (corrected[1:] - corrected[0]).T, weights


def _second_stage(
    experiment: OfferExperiment,
    effects: Array,
    weights: Array,
    number: int,
    *,
    seed: int,
    threads: int,
) -> Part:
    """Model of one offer's effects, on the rows that could get it."""
    rows = np.flatnonzero(weights[:, number] > 0)
    # 0 for nothing, 1 for this offer, -1 for the others.
    offer = experiment.offer[rows]
    arm = np.select([offer == 0, offer == number + 1], [0, 1], -1)
    return fit_imputed_effects(
        experiment.covariates.iloc[rows],
        effects[rows, number],
        weights[rows, number],
        experiment.groups[rows],
        responses=(experiment.outcome[rows], arm),
        seed=seed,
        threads=threads,
    )


def _mean_effect(effects: Array, weights: Array, groups: Array) -> tuple[float, float, float]:
    """Weighted mean with its 95 % interval, clustered by person."""
    mean = float(np.average(effects, weights=weights))
    error = _clustered_error(weights * (effects - mean), groups) / float(weights.sum())
    return mean, mean - 1.96 * error, mean + 1.96 * error


def _clustered_error(scores: Array, groups: Array) -> float:
    """Standard error of the sum of rows that are not independent within a person."""
    by_person = np.bincount(np.unique(groups, return_inverse=True)[1], weights=scores)
    return float(np.sqrt(np.sum(by_person**2)))
