"""Models of the response in every arm of an experiment: what effects are learned from.

Trees predict the outcome of every arm for people that they never saw; `fit_logits` fits one
logistic regression to each of two arms, whose difference is an effect by itself (T-learner,
Kuenzel et al. 2019). It wins where the effect grows with the response that comes anyway.
"""

from __future__ import annotations

from typing import Any

import lightgbm as lgb
import numpy as np
from sklearn.linear_model import LogisticRegression

from features.arrays import Array
from models.scorer.uplift import logit_effects

UPLIFT_FOLDS = 5
_ROUNDS = 60
_FEWEST_RESPONSES = 20  # of either outcome in either arm, else no logistic regression
# Standard deviations, of coefficients of standardised terms, that are tried.
_PRIOR_SDS = (0.05, 0.1, 0.3, 1.0)
_LEAST_GAIN = 4.0  # squared standard errors: chance gains as much in one of 44 data sets
_TREES = {
    "learning_rate": 0.04,
    "num_leaves": 8,
    "lambda_l2": 20.0,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "max_bin": 63,
}


def person_folds(groups: Array, *, seed: int, count: int = UPLIFT_FOLDS) -> Array:
    """Random fold of every row; all rows of a person share a fold."""
    people, person_codes = np.unique(groups, return_inverse=True)
    fold_of_person = np.random.default_rng(seed).permutation(len(people)) % count
    return np.asarray(fold_of_person[person_codes])


def expected_outcomes(
    outcome: Array,
    arm: Array,
    inputs: Array,
    groups: Array,
    *,
    seed: int,
    threads: int,
    arms: int = 2,
) -> Array:
    """Expected outcome in every arm, by models that never saw the person: arms x rows."""
    is_binary = bool(np.isin(outcome, (0.0, 1.0)).all())
    options = {
        **_TREES,
        "objective": "binary" if is_binary else "regression",
        "min_data_in_leaf": int(max(20, min(len(outcome) // 200, 500))),
        "num_threads": threads,
        "seed": seed,
        "deterministic": True,
        "verbosity": -1,
    }
    fold_numbers = person_folds(groups, seed=seed + 1)
    expected = np.zeros((arms, len(outcome)))
    for held_out in range(UPLIFT_FOLDS):
        held_out_rows = np.flatnonzero(fold_numbers == held_out)
        for number in range(arms):
            training_rows = np.flatnonzero((fold_numbers != held_out) & (arm == number))
            booster = lgb.train(
                options,
                lgb.Dataset(inputs[training_rows], outcome[training_rows]),
                _ROUNDS,
            )
            expected[number, held_out_rows] = np.asarray(booster.predict(inputs[held_out_rows]))
    return expected


def fit_logits(
    terms: Array, outcome: Array, arm: Array, *, prior_sd: float
) -> dict[str, Any] | None:
    """One logistic regression for the people without the message, and one for those with it.

    Parameters
    ----------
    terms
        Standardised terms, one row per person and send.
    outcome
        0 or 1.
    arm
        0: nothing, 1: the message, any other number: left out.
    prior_sd
        Standard deviation of the normal distribution that the coefficients are expected to have.

    Returns
    -------
    dict or None
        ``nothing`` and ``message``, each a list of an intercept and one coefficient per term; None
        if the outcome is not 0 or 1, or an arm has fewer than 20 of either outcome.
    """
    if not np.isin(outcome, (0.0, 1.0)).all():
        return None
    logits: dict[str, Any] = {}
    for number, name in enumerate(("nothing", "message")):
        rows = np.flatnonzero(arm == number)
        responses = int(outcome[rows].sum())
        if min(responses, len(rows) - responses) < _FEWEST_RESPONSES:
            return None
        model = LogisticRegression(C=prior_sd**2, max_iter=500)
        model.fit(terms[rows], outcome[rows])
        logits[name] = [float(model.intercept_[0]), *model.coef_[0].tolist()]
    return logits


def mix_logits(
    terms: Array,
    outcome: Array,
    arm: Array,
    effects: Array,
    weights: Array,
    linear_effects: Array,
    fold_numbers: Array,
) -> tuple[float, dict[str, Any] | None]:
    """Logistic effect, and its share in a mixture with a linear one.

    Share and width of the prior are those with the smallest squared distance to the noisy effects,
    where both predict people that they never saw (stacking, Breiman 1996).

    Parameters
    ----------
    terms, outcome, arm
        As `fit_logits` takes them.
    effects, weights
        Noisy effect of every row, and how much it counts.
    linear_effects
        Effect of every row by a linear model that never saw the person.
    fold_numbers
        Fold of every row.

    Returns
    -------
    tuple
        Share of the logistic effect, 0 to 1, and its logits as `fit_logits` returns them, fitted on
        all rows; 0 and None where it gains no more than chance would, or cannot be fitted.
    """
    missed = effects - linear_effects
    # A mixture without use gains the square of a normal number times this variance.
    variance = float(np.average(weights * missed**2))
    best_gain, best_share, best_sd = _LEAST_GAIN * variance, 0.0, 0.0
    for prior_sd in _PRIOR_SDS:
        difference = np.zeros(len(effects))
        for number in np.unique(fold_numbers):
            known, held_out = fold_numbers != number, fold_numbers == number
            logits = fit_logits(terms[known], outcome[known], arm[known], prior_sd=prior_sd)
            if logits is None:
                return 0.0, None
            difference[held_out] = logit_effects(logits, terms[held_out]) - linear_effects[held_out]
        distance = float(np.sum(weights * difference**2))
        agreement = float(np.sum(weights * difference * missed))
        share = float(np.clip(agreement / distance, 0.0, 1.0)) if distance > 0 else 0.0
        gain = 2 * share * agreement - share**2 * distance
        if gain > best_gain:
            best_gain, best_share, best_sd = gain, share, prior_sd
    if not best_share:
        return 0.0, None
    return best_share, fit_logits(terms, outcome, arm, prior_sd=best_sd)
