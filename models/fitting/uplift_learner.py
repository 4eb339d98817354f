"""Uplift: the effect of a message, learned from a randomised single-send experiment.

X-learner (Kuenzel et al. 2019): LightGBM predicts the outcome of either arm; the difference between
a person's outcome and that predicted for the other arm is the imputed effect; a second model learns
the imputed effects. Effects are small compared with the noise of single responses, so the second
model is a cross-validated lasso on ranks, on indicators of the values of columns with few, and on
products of ranks. It is mixed with the difference of two logistic regressions
(`models.fitting.response_models`).
LightGBM learns its residuals, with the number of trees that predicts held-out people best.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Lasso, LassoCV

from features.arrays import Array
from models.fitting.response_models import (
    UPLIFT_FOLDS,
    expected_outcomes,
    mix_logits,
    person_folds,
)
from models.scorer.linear_model import matrix
from models.scorer.part import Part
from models.scorer.uplift import effect_basis, effect_terms, uplift_effect

_MOST_ROUNDS, _STEP = 120, 20
_SEEDS = 3
_KNOTS = 101
_MOST_CROSSED = 40  # with more covariates no products are tried
_SCREENED = 20  # covariates kept if there are more than that
_PENALTIES = 40  # penalties tried
_MOST_LEVELS = 8  # columns with more distinct values have no indicators

_EFFECT = {
    "objective": "regression",
    "learning_rate": 0.03,
    "num_leaves": 5,
    "lambda_l2": 50.0,
    "feature_fraction": 0.8,
    "bagging_fraction": 0.6,
    "bagging_freq": 1,
    "max_bin": 63,
}


@dataclass(frozen=True)
class Experiment:
    """A single send with a random control group; all arrays have one value per row.

    Attributes
    ----------
    covariates
        Facts about each person before the send; float64, NaN where unknown.
    treatment
        1: got the message, 0: did not.
    outcome
        Outcome after the send: 0/1, orders or money.
    propensity
        Probability of treatment.
    groups
        Code of the person: all rows of a person are in the same fold.
    """

    covariates: pd.DataFrame
    treatment: Array
    outcome: Array
    propensity: Array
    groups: Array

    def take(self, rows: Array) -> Experiment:
        """The experiment restricted to some rows."""
        return Experiment(
            self.covariates.iloc[rows],
            self.treatment[rows],
            self.outcome[rows],
            self.propensity[rows],
            self.groups[rows],
        )

    @property
    def binary(self) -> bool:
        """True if every outcome is 0 or 1."""
        return bool(np.isin(self.outcome, (0.0, 1.0)).all())


def fit_effect(experiment: Experiment, *, seed: int, threads: int = 1) -> Part:
    """Fit the X-learner.

    Parameters
    ----------
    experiment
        The experiment, with people in both arms.
    seed, threads
        Seed of LightGBM and the folds; threads of LightGBM.

    Returns
    -------
    Part
        ``uplift``: boosters ``rest_N``, and parameters ``features`` (of more than `_MOST_CROSSED`
        the `_SCREENED` strongest), ``terms`` (the lasso), ``rounds``, ``propensity``,
        ``mean_effect``, ``people``.

    Raises
    ------
    ValueError
        If an arm is empty.
    """
    if not 0 < experiment.treatment.mean() < 1:
        raise ValueError("an experiment needs people in both arms")
    inputs = matrix(experiment.covariates, list(experiment.covariates.columns))
    expected_untreated, expected_treated = expected_outcomes(
        experiment.outcome,
        experiment.treatment,
        inputs,
        experiment.groups,
        seed=seed,
        threads=threads,
    )
    is_treated = experiment.treatment > 0.5
    # Imputed effects: the outcome against the prediction for the other arm.
    effects = np.where(
        is_treated, experiment.outcome - expected_untreated, expected_treated - experiment.outcome
    )
    weights = np.where(is_treated, 1 - experiment.propensity, experiment.propensity)
    part = fit_imputed_effects(
        experiment.covariates,
        effects,
        weights,
        experiment.groups,
        responses=(experiment.outcome, experiment.treatment),
        seed=seed,
        threads=threads,
    )
    part.parameters["propensity"] = float(experiment.propensity.mean())
    return part


def fit_imputed_effects(
    covariates: pd.DataFrame,
    effects: Array,
    weights: Array,
    groups: Array,
    *,
    responses: tuple[Array, Array],
    seed: int,
    threads: int = 1,
) -> Part:
    """Fit the linear terms and the trees that predict noisy effects of single rows.

    Parameters
    ----------
    covariates
        Facts known before the send; one row per person and send.
    effects, weights
        Imputed effect of every row, and how much it counts.
    groups
        Code of the person: all rows of a person are in the same fold.
    responses
        Outcome of every row, and its arm: 0 for nothing, 1 for the message, else another arm.
    seed, threads
        Seed of LightGBM and the folds; threads of LightGBM.

    Returns
    -------
    Part
        ``uplift``, as `fit_effect` describes it, without ``propensity``.
    """
    features = list(covariates.columns)
    inputs = matrix(covariates, features)
    fold_numbers = person_folds(groups, seed=seed)
    if len(features) > _MOST_CROSSED:
        positions = _screened(inputs, effects, weights)
        features, inputs = [features[column] for column in positions], inputs[:, positions]
    terms = _linear_terms(inputs, effects, weights, responses, fold_numbers)
    residual = effects - effect_terms(terms, inputs)
    boosters, rounds = _trees(inputs, residual, weights, fold_numbers, seed=seed, threads=threads)
    parameters: dict[str, Any] = {
        "features": features,
        "terms": terms,
        "rounds": rounds,
        "mean_effect": float(np.average(effects, weights=weights)),
        "people": len(effects),
    }
    return Part("uplift", parameters, boosters)


def _screened(inputs: Array, effect: Array, weight: Array) -> list[int]:
    """Columns whose ranks correlate most with the imputed effects.

    Among hundreds of columns some correlate by chance: to measure the model, leave people out of
    this step too, as `effects_out_of_fold` does.
    """
    centred = weight * (effect - np.average(effect, weights=weight))
    associations = np.zeros(inputs.shape[1])
    for column, values in enumerate(inputs.T):
        observed = np.flatnonzero(~np.isnan(values))
        if len(observed) < len(values) / 2 or np.ptp(values[observed]) == 0:
            continue
        ranks = rankdata(values[observed])
        ranks -= ranks.mean()
        associations[column] = abs(float(ranks @ centred[observed])) / float(np.sqrt(ranks @ ranks))
    ranked_columns = np.argsort(-associations, kind="stable")[:_SCREENED]
    return sorted(int(column) for column in ranked_columns if associations[column] > 0)


def _linear_terms(
    inputs: Array, effect: Array, weight: Array, responses: tuple[Array, Array], fold: Array
) -> dict[str, Any]:
    """Fit the lasso, with the penalty by cross-validation, and its mixture with the logits."""
    basis = _basis(inputs)
    terms = effect_basis(basis, inputs)
    term_means, term_scales = terms.mean(axis=0), terms.std(axis=0)
    term_scales = np.where(term_scales > 1e-9, term_scales, 1.0)
    standardised = (terms - term_means) / term_scales
    splits = [
        (np.flatnonzero(fold != number), np.flatnonzero(fold == number))
        for number in np.unique(fold)
    ]
    with warnings.catch_warnings():
        # On pure noise the smallest penalties do not converge; the largest is chosen then.
        warnings.simplefilter("ignore", ConvergenceWarning)
        regression = LassoCV(cv=splits, alphas=_PENALTIES).fit(
            standardised, effect, sample_weight=weight
        )
        unseen_effects = np.zeros(len(effect))
        for known, held_out in splits:
            lasso = Lasso(alpha=regression.alpha_).fit(
                standardised[known], effect[known], sample_weight=weight[known]
            )
            unseen_effects[held_out] = lasso.predict(standardised[held_out])
    # Products have no place in the logits: their sigmoid bends already.
    single_terms = standardised[:, : inputs.shape[1] + len(basis["levels"])]
    outcome, arm = responses
    share, logits = mix_logits(single_terms, outcome, arm, effect, weight, unseen_effects, fold)
    return {
        **basis,
        "means": term_means.tolist(),
        "scales": term_scales.tolist(),
        "coefficients": regression.coef_.tolist(),
        "intercept": float(regression.intercept_),
        "logits": logits,
        "logit_share": share,
    }


def _basis(inputs: Array) -> dict[str, Any]:
    """What `models.scorer.uplift.effect_basis` makes terms of."""
    knots, levels = [], []
    for number, column in enumerate(inputs.T):
        known = column[~np.isnan(column)]
        knots.append(np.quantile(known, np.linspace(0, 1, _KNOTS)).tolist() if len(known) else [])
        values = np.unique(known)
        if 2 < len(values) <= _MOST_LEVELS:  # of two values the rank says all
            levels += [[number, float(value)] for value in values]
    is_narrow = inputs.shape[1] <= _MOST_CROSSED
    pairs = combinations(range(inputs.shape[1]), 2) if is_narrow else []
    return {"knots": knots, "levels": levels, "pairs": [list(pair) for pair in pairs]}


def _trees(
    inputs: Array, rest: Array, weight: Array, fold: Array, *, seed: int, threads: int
) -> tuple[dict[str, lgb.Booster], int]:
    """Fit shallow trees on the residuals of the lasso; none if they do not help held-out people."""
    options = {
        **_EFFECT,
        "min_data_in_leaf": int(max(50, min(len(rest) // 60, 2000))),
        "num_threads": threads,
        "deterministic": True,
        "verbosity": -1,
    }
    rounds = _rounds(inputs, rest, weight, fold, options, seed)
    boosters = {
        f"rest_{number}": lgb.train(
            {**options, "seed": seed + number},
            lgb.Dataset(inputs, rest, weight=weight, free_raw_data=False),
            rounds,
        )
        for number in range(_SEEDS if rounds else 0)
    }
    return boosters, rounds


def _rounds(
    inputs: Array, rest: Array, weight: Array, fold: Array, options: Mapping[str, Any], seed: int
) -> int:
    """Number of trees that predicts held-out people best; 0 if none beats the mean.

    All folds but one must improve, so that chance in one fold does not decide.
    """
    gains = np.zeros((UPLIFT_FOLDS, _MOST_ROUNDS))
    for held_out in range(UPLIFT_FOLDS):
        train_rows, test_rows = np.flatnonzero(fold != held_out), np.flatnonzero(fold == held_out)
        if not len(test_rows) or not len(train_rows):
            continue
        booster = lgb.train(
            {**options, "seed": seed},
            lgb.Dataset(inputs[train_rows], rest[train_rows], weight=weight[train_rows]),
            _MOST_ROUNDS,
        )
        train_mean = float(np.average(rest[train_rows], weights=weight[train_rows]))
        base_loss = float(
            np.average((rest[test_rows] - train_mean) ** 2, weights=weight[test_rows])
        )
        for number in range(_STEP, _MOST_ROUNDS + 1, _STEP):
            predicted = np.asarray(booster.predict(inputs[test_rows], num_iteration=number))
            test_loss = float(
                np.average((rest[test_rows] - predicted) ** 2, weights=weight[test_rows])
            )
            gains[held_out, number - 1] = base_loss - test_loss
    round_positions = np.arange(_STEP, _MOST_ROUNDS + 1, _STEP) - 1
    mean_gains = gains[:, round_positions].mean(axis=0)
    best_position = int(np.argmax(mean_gains))
    folds_agree = (gains[:, round_positions[best_position]] > 0).sum() >= UPLIFT_FOLDS - 1
    return (
        int(round_positions[best_position] + 1)
        if mean_gains[best_position] > 0 and folds_agree
        else 0
    )


def effects_out_of_fold(experiment: Experiment, *, seed: int, threads: int = 1) -> Array:
    """Effect of every row by a model that never saw the person."""
    fold_numbers = person_folds(experiment.groups, seed=seed + 2)
    effects = np.zeros(len(experiment.outcome))
    for held_out in range(UPLIFT_FOLDS):
        held_out_rows = np.flatnonzero(fold_numbers == held_out)
        if len(held_out_rows):
            effect_model = fit_effect(
                experiment.take(np.flatnonzero(fold_numbers != held_out)),
                seed=seed,
                threads=threads,
            )
            effects[held_out_rows] = uplift_effect(
                effect_model, experiment.covariates.iloc[held_out_rows]
            )
    return effects


def encode_covariates(
    frame: pd.DataFrame, columns: Sequence[str], codes: dict[str, list[str]]
) -> Any:
    """Covariates as float64: numbers unchanged, texts as their position in `codes`.

    Text columns that `codes` lacks are added to it; texts that a known column lacks become NaN.
    """
    encoded: dict[str, Array] = {}
    for name in columns:
        column = frame[name]
        is_numeric = pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)
        if name not in codes and is_numeric:
            encoded[name] = column.to_numpy(dtype=np.float64, na_value=np.nan)
            continue
        if name not in codes:
            codes[name] = sorted({str(value) for value in column.dropna()})
        text_codes = {text: float(number) for number, text in enumerate(codes[name])}
        texts = column.astype(object).where(column.notna(), None)
        encoded[name] = np.array([text_codes.get(str(t), np.nan) if t is not None else np.nan
                                for t in texts])  # fmt: skip
    return pd.DataFrame(encoded, index=frame.index)
