"""Current stage: the true stage of a customer, which no event reports directly.

A mixture of LightGBM on the features and the rule stage, a frequency table, and the frequencies of
the rule stage alone, with weights from the latest matured snapshot; or one of these, where it was
better there. Fitting only; prediction is
`models.scorer.stage.predict_stage`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd

from features.arrays import Array
from models.baselines.stage_baselines import fit_frequency_table, fit_rule_frequencies
from models.fitting.multiclass_trees import (
    MIN_CLASS,
    MIN_CUSTOMERS,
    RowSplit,
    derived_inputs,
    fit_trees,
    frequent_classes,
    select_class_columns,
    split_rows,
    thin_customers,
    tree_inputs,
)
from models.fitting.stage_mixture import MIXTURE, mixture_weights
from models.metrics import metrics
from models.scorer.linear_model import matrix
from models.scorer.part import Part
from models.scorer.stage import predict_stage

_MULTIPLIERS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.15, 1.3, 1.5, 1.75, 2.0, 2.5, 3.0)
_MIN_F1_GAIN = 0.002  # below it all multipliers stay 1
_PASSES = 3


def fit_stage(
    frame: pd.DataFrame,
    contexts: Mapping[pd.Timestamp, Mapping[str, Any]],
    *,
    validation_at: pd.Timestamp,
    stages: list[str],
    seed: int,
    threads: int = 2,
    settings: Mapping[str, Any] | None = None,
) -> Part:
    """Fit the current-stage part on matured snapshots.

    Parameters
    ----------
    frame
        One row per (customer_id, snapshot_at) of all matured training snapshots: the feature frame
        with ``truth_code`` (true stage, an index into `stages`) and ``label_end_at``.
    contexts
        Scoring context of every snapshot in `frame`.
    validation_at
        The latest matured snapshot, for early stopping, the weights of the methods, and the class
        multipliers.
    stages
        Stage names by code.
    seed, threads
        Seed of LightGBM and its threads.
    settings
        LightGBM settings that replace the recipe's own (see `models.tasks.tuning`).

    Returns
    -------
    Part
        Named ``stage``; ``parameters["report"]`` holds the decisions and their reasons.

    Raises
    ------
    ValueError
        If there are no rows, none at `validation_at`, or a truth code is not a stage.
    """
    frame = thin_customers(frame)
    rows = split_rows(frame, validation_at)
    target = label_codes(frame["truth_code"], len(stages))
    derived, columns = derived_inputs(frame, contexts)
    trees, classes = None, frequent_classes(target[rows.fit], len(stages))
    tree_settings: dict[str, Any] = {"classes": classes, "seed": seed, "threads": threads}
    if columns and frame["customer_id"].nunique() >= MIN_CUSTOMERS:
        columns = select_class_columns(
            derived, columns, [(target, rows.fit)], seed=seed, threads=threads
        )
        features = matrix(derived, columns)
        trees = fit_trees(features, target, rows, **tree_settings, trees=settings)
    parameters: dict[str, Any] = {
        "stages": list(stages),
        "columns": columns,
        "classes": classes,
        "multipliers": [1.0] * len(stages),
        "table": fit_frequency_table(frame, len(stages)),
        "rule": fit_rule_frequencies(frame, len(stages)),
    }
    earlier = _matured_rows(frame, rows)
    earlier_trees = trees.before if trees else None
    if trees and earlier is not rows:
        inputs = tree_inputs(features, target, earlier, **tree_settings, trees=settings)
        earlier_trees = inputs.grown(inputs.fit, trees.rounds)[0] if inputs else None
    part_before = _part_before(parameters, earlier_trees, frame.iloc[earlier.fit])
    probabilities = _validation_probabilities(part_before, derived, rows, contexts)
    true_class = target[rows.validation]
    weights = mixture_weights(
        {name: p[np.arange(len(p)), true_class] for name, p in probabilities.items()}
    )
    losses, served = dict[str, float](), MIXTURE
    if len(rows.validation):
        probabilities[MIXTURE] = np.asarray(
            sum(weight * probabilities[name] for name, weight in weights.items())
        )
        losses = {
            name: metrics.multiclass_log_loss(true_class, p) for name, p in probabilities.items()
        }
        served = min(losses, key=lambda name: losses[name])
        parameters["multipliers"] = tune_multipliers(probabilities[served], true_class)
    if served != MIXTURE:
        weights = {served: 1.0}
    parameters["weights"] = weights
    parameters["report"] = {
        "served": served,
        "why": f"the lowest log loss at {pd.Timestamp(validation_at).date()}",
        "validation": earlier.validation_kind,
        "validation_at": str(pd.Timestamp(validation_at).date()),
        "validation_log_loss": losses,
        "rounds": trees.rounds if trees else 0,
        "fit_rows": len(rows.fit),
    }
    return Part("stage", parameters, {"stage": trees.final} if trees and "trees" in weights else {})


def _matured_rows(frame: pd.DataFrame, rows: RowSplit) -> RowSplit:
    """The split with only those fit rows that had a label by the validation snapshot.

    The split itself where these are too few customers.
    """
    if not len(rows.validation):
        return rows
    validation_day = frame["snapshot_at"].iloc[rows.validation[0]]
    fit = rows.fit[(frame["label_end_at"].iloc[rows.fit] <= validation_day).to_numpy()]
    if frame["customer_id"].iloc[fit].nunique() < MIN_CUSTOMERS:
        return rows
    return RowSplit(fit, rows.validation, f"{rows.validation_kind}, labels matured before it")


def label_codes(labels: pd.Series, stages: int) -> Array:
    """Label column as stage codes.

    Raises
    ------
    ValueError
        If a label is empty or not the code of a stage.
    """
    values = labels.to_numpy(dtype=np.float64, na_value=np.nan)
    is_valid = (values >= 0) & (values < stages) & (values == np.floor(values))
    if not is_valid.all():
        raise ValueError(
            f"{labels.name}: found {values[~is_valid][:5].tolist()}, "
            f"expected stage codes 0 to {stages - 1}"
        )
    return np.asarray(values, dtype=int)


def _part_before(
    parameters: Mapping[str, Any], booster: lgb.Booster | None, rows: pd.DataFrame
) -> Part:
    """The part as it would have been before the validation snapshot, to weigh the methods."""
    stages = len(parameters["stages"])
    tables = {
        "table": fit_frequency_table(rows, stages),
        "rule": fit_rule_frequencies(rows, stages),
    }
    return Part("stage", {**parameters, **tables}, {"stage": booster} if booster else {})


def _validation_probabilities(
    part_before: Part,
    derived: pd.DataFrame,
    rows: RowSplit,
    contexts: Mapping[pd.Timestamp, Mapping[str, Any]],
) -> dict[str, Array]:
    """Probabilities of the validation rows by every method alone."""
    validation_frame = derived.iloc[rows.validation]
    context = (
        contexts[pd.Timestamp(validation_frame["snapshot_at"].iloc[0])]
        if len(validation_frame)
        else {}
    )
    probabilities = {}
    for name in ("trees", "table", "rule"):
        if name != "trees" or part_before.boosters:
            parameters = {**part_before.parameters, "weights": {name: 1.0}}
            part = Part(part_before.name, parameters, part_before.boosters)
            probabilities[name] = predict_stage(part, validation_frame, context)["probabilities"]
    return probabilities


def tune_multipliers(probability: Array, target: Array) -> list[float]:
    """Class multipliers with the best macro-F1, by coordinate search over the classes."""
    stages = probability.shape[1]
    no_change = [1.0] * stages
    frequent = np.flatnonzero(np.bincount(target, minlength=stages) >= MIN_CLASS)
    if len(frequent) < 2:
        return no_change
    best_score, multipliers = metrics.macro_f1(target, probability.argmax(axis=1)), np.ones(stages)
    first_score = best_score
    for stage in np.tile(frequent, _PASSES):
        for factor in _MULTIPLIERS:
            candidate = multipliers.copy()
            candidate[stage] = factor
            score = metrics.macro_f1(target, (probability * candidate).argmax(axis=1))
            if score > best_score + 1e-9:
                best_score, multipliers = score, candidate
    return multipliers.tolist() if best_score - first_score >= _MIN_F1_GAIN else no_change
