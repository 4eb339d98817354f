"""Uplift: what a message changes, learned from a randomised single-send experiment.

X-learner (Kuenzel et al. 2019): LightGBM says what to expect of either arm; what happened, less
what was expected without (or with) the message, is each person's imputed effect; and a second
model learns those. Effects are small beside the noise of single responses, so that model is a
lasso on ranks and their products, chosen by cross-validation, and LightGBM learns only what the
lasso leaves, with as many trees as predict people left out.
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
from sklearn.linear_model import LassoCV

from features.arrays import Array
from models.scorer.linear_model import matrix
from models.scorer.part import Part
from models.scorer.uplift import effect_basis, effect_terms, uplift_effect

FOLDS = 5
RESPONSE_ROUNDS = 60
MOST_ROUNDS, STEP = 120, 20
SEEDS = 3
KNOTS = 101
MOST_CROSSED = 40  # covariates up to which products are tried
SCREENED = 20  # covariates kept where there are more than that
PENALTIES = 40  # tried between none and all

_RESPONSE = {
    "learning_rate": 0.04,
    "num_leaves": 8,
    "lambda_l2": 20.0,
    "feature_fraction": 0.7,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "max_bin": 63,
}
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
    """A single send to people drawn at random.

    Attributes
    ----------
    covariates
        What was known of each person before the send; float64, NaN where unknown.
    treatment
        1: got the message, 0: did not; shape (people,).
    outcome
        What happened afterwards: 0/1, orders or money.
    propensity
        Chance of treatment of each person.
    groups
        Code of the person: rows of one are never in two folds.
    """

    covariates: pd.DataFrame
    treatment: Array
    outcome: Array
    propensity: Array
    groups: Array

    def take(self, rows: Array) -> Experiment:
        """Some of the people."""
        return Experiment(
            self.covariates.iloc[rows],
            self.treatment[rows],
            self.outcome[rows],
            self.propensity[rows],
            self.groups[rows],
        )

    @property
    def binary(self) -> bool:
        """Whether the outcome is a yes or no."""
        return bool(np.isin(self.outcome, (0.0, 1.0)).all())


def folds(groups: Array, *, seed: int, count: int = FOLDS) -> Array:
    """Fold of every row, people whole and at random."""
    people, codes = np.unique(groups, return_inverse=True)
    drawn = np.random.default_rng(seed).permutation(len(people)) % count
    return np.asarray(drawn[codes])


def fit(data: Experiment, *, seed: int, threads: int = 1) -> Part:
    """X-learner of the effect.

    Parameters
    ----------
    data
        The experiment; both arms must be there.
    seed, threads
        Of LightGBM and the folds.

    Returns
    -------
    Part
        ``uplift``: boosters ``rest_N``, and parameters ``features`` (of more than `MOST_CROSSED`
        the `SCREENED` that tell most), ``terms`` (the lasso),
        ``rounds``, ``propensity``, ``mean_effect``, ``people``.

    Raises
    ------
    ValueError
        Where an arm is empty.
    """
    if not 0 < data.treatment.mean() < 1:
        raise ValueError("an experiment needs people in both arms")
    features = list(data.covariates.columns)
    x = matrix(data.covariates, features)
    without, treated = _responses(data, x, seed=seed, threads=threads)
    arm = data.treatment > 0.5
    # Imputed effects: what happened against what is expected of the other arm.
    effect = np.where(arm, data.outcome - without, treated - data.outcome)
    weight = np.where(arm, 1 - data.propensity, data.propensity)
    fold = folds(data.groups, seed=seed)
    if len(features) > MOST_CROSSED:
        kept = _screened(x, effect, weight)
        features, x = [features[column] for column in kept], x[:, kept]
    lasso = _lasso(x, effect, weight, fold)
    rest = effect - effect_terms(lasso, x)
    boosters, rounds = _trees(x, rest, weight, fold, seed=seed, threads=threads)
    parameters: dict[str, Any] = {
        "features": features,
        "terms": lasso,
        "rounds": rounds,
        "propensity": float(data.propensity.mean()),
        "mean_effect": float(np.average(effect, weights=weight)),
        "people": len(data.outcome),
    }
    return Part("uplift", parameters, boosters)


def _screened(x: Array, effect: Array, weight: Array) -> list[int]:
    """Columns whose ranks go most with the imputed effects.

    Among hundreds of columns chance finds some: whoever reports how well the model does must leave
    people out of this step too, as `out_of_fold` does.
    """
    centred = weight * (effect - np.average(effect, weights=weight))
    together = np.zeros(x.shape[1])
    for column, values in enumerate(x.T):
        known = np.flatnonzero(~np.isnan(values))
        if len(known) < len(values) / 2 or np.ptp(values[known]) == 0:
            continue
        ranks = rankdata(values[known])
        ranks -= ranks.mean()
        together[column] = abs(float(ranks @ centred[known])) / float(np.sqrt(ranks @ ranks))
    best = np.argsort(-together, kind="stable")[:SCREENED]
    return sorted(int(column) for column in best if together[column] > 0)


def _lasso(x: Array, effect: Array, weight: Array, fold: Array) -> dict[str, Any]:
    """Lasso on ranks and their products; the penalty by cross-validation with people left out."""
    grid = np.linspace(0, 1, KNOTS)
    knots = [
        np.quantile(column[~np.isnan(column)], grid).tolist() if (~np.isnan(column)).any() else []
        for column in x.T
    ]
    few = x.shape[1] <= MOST_CROSSED
    pairs = list(combinations(range(x.shape[1]), 2)) if few else []
    head = {"knots": knots, "pairs": [list(pair) for pair in pairs]}
    terms = effect_basis(head, x)
    means, scales = terms.mean(axis=0), terms.std(axis=0)
    scales = np.where(scales > 1e-9, scales, 1.0)
    z = (terms - means) / scales
    parts = [(np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in np.unique(fold)]
    with warnings.catch_warnings():
        # On noise alone the smallest penalties do not settle; the largest one is taken then.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LassoCV(cv=parts, alphas=PENALTIES).fit(z, effect, sample_weight=weight)
    return {
        **head,
        "means": means.tolist(),
        "scales": scales.tolist(),
        "coefficients": model.coef_.tolist(),
        "intercept": float(model.intercept_),
    }


def _trees(
    x: Array, rest: Array, weight: Array, fold: Array, *, seed: int, threads: int
) -> tuple[dict[str, lgb.Booster], int]:
    """Shallow trees of what the lasso leaves; none where they do not help people left out."""
    options = {
        **_EFFECT,
        "min_data_in_leaf": int(max(50, min(len(rest) // 60, 2000))),
        "num_threads": threads,
        "deterministic": True,
        "verbosity": -1,
    }
    rounds = _rounds(x, rest, weight, fold, options, seed)
    boosters = {
        f"rest_{number}": lgb.train(
            {**options, "seed": seed + number},
            lgb.Dataset(x, rest, weight=weight, free_raw_data=False),
            rounds,
        )
        for number in range(SEEDS if rounds else 0)
    }
    return boosters, rounds


def _responses(data: Experiment, x: Array, *, seed: int, threads: int) -> tuple[Array, Array]:
    """Expected outcome without and with the message, each from models that never saw the row."""
    options = {
        **_RESPONSE,
        "objective": "binary" if data.binary else "regression",
        "min_data_in_leaf": int(max(20, min(len(data.outcome) // 200, 500))),
        "num_threads": threads,
        "seed": seed,
        "deterministic": True,
        "verbosity": -1,
    }
    fold = folds(data.groups, seed=seed + 1)
    expected = np.zeros((2, len(data.outcome)))
    for held in range(FOLDS):
        rows = np.flatnonzero(fold == held)
        for arm in (0, 1):
            mine = np.flatnonzero((fold != held) & (data.treatment == arm))
            model = lgb.train(options, lgb.Dataset(x[mine], data.outcome[mine]), RESPONSE_ROUNDS)
            expected[arm, rows] = np.asarray(model.predict(x[rows]))
    return expected[0], expected[1]


def _rounds(
    x: Array, rest: Array, weight: Array, fold: Array, options: Mapping[str, Any], seed: int
) -> int:
    """Number of trees that predicts people left out best; 0: none beats the mean.

    The loss of every fold must agree, or a little luck would pass for structure.
    """
    gains = np.zeros((FOLDS, MOST_ROUNDS))
    for held in range(FOLDS):
        train, test = np.flatnonzero(fold != held), np.flatnonzero(fold == held)
        if not len(test) or not len(train):
            continue
        model = lgb.train(
            {**options, "seed": seed},
            lgb.Dataset(x[train], rest[train], weight=weight[train]),
            MOST_ROUNDS,
        )
        mean = float(np.average(rest[train], weights=weight[train]))
        base = float(np.average((rest[test] - mean) ** 2, weights=weight[test]))
        for number in range(STEP, MOST_ROUNDS + 1, STEP):
            predicted = np.asarray(model.predict(x[test], num_iteration=number))
            loss = float(np.average((rest[test] - predicted) ** 2, weights=weight[test]))
            gains[held, number - 1] = base - loss
    ends = np.arange(STEP, MOST_ROUNDS + 1, STEP) - 1
    total = gains[:, ends].mean(axis=0)
    best = int(np.argmax(total))
    agree = (gains[:, ends[best]] > 0).sum() >= FOLDS - 1
    return int(ends[best] + 1) if total[best] > 0 and agree else 0


def out_of_fold(data: Experiment, *, seed: int, threads: int = 1) -> Array:
    """Effect of every person by a model that never saw them."""
    fold = folds(data.groups, seed=seed + 2)
    effect = np.zeros(len(data.outcome))
    for held in range(FOLDS):
        rows = np.flatnonzero(fold == held)
        if len(rows):
            part = fit(data.take(np.flatnonzero(fold != held)), seed=seed, threads=threads)
            effect[rows] = uplift_effect(part, data.covariates.iloc[rows])
    return effect


def encoded(frame: pd.DataFrame, columns: Sequence[str], codes: dict[str, list[str]]) -> Any:
    """Covariates as float64: numbers as they are, texts by their place in `codes` (filled here).

    Texts that `codes` does not know are missing.
    """
    found: dict[str, Array] = {}
    for name in columns:
        column = frame[name]
        numeric = pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)
        if name not in codes and numeric:
            found[name] = column.to_numpy(dtype=np.float64, na_value=np.nan)
            continue
        if name not in codes:
            codes[name] = sorted({str(value) for value in column.dropna()})
        places = {text: float(number) for number, text in enumerate(codes[name])}
        texts = column.astype(object).where(column.notna(), None)
        found[name] = np.array([places.get(str(t), np.nan) if t is not None else np.nan
                                for t in texts])  # fmt: skip
    return pd.DataFrame(found, index=frame.index)
