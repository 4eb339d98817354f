"""Current stage: the true stage of a customer, which no event reports directly.

LightGBM multiclass on the features and the rule stage. A frequency table is served instead if there
are too few rows, or if it is better on the validation snapshot. Fitting only; prediction is
`models.scorer.stage.predict_stage`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from features.arrays import Array
from models.baselines.stage_baselines import fit_frequency_table
from models.fitting.multiclass_trees import (
    MIN_CLASS,
    MIN_CUSTOMERS,
    MulticlassTrees,
    RowSplit,
    derived_inputs,
    fit_trees,
    frequent_classes,
    select_class_columns,
    split_rows,
    thin_customers,
)
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
        with ``truth_code`` (true stage, an index into `stages`).
    contexts
        Scoring context of every snapshot in `frame`.
    validation_at
        The latest matured snapshot, for early stopping, the choice against the table, and the
        class multipliers.
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
    if columns and frame["customer_id"].nunique() >= MIN_CUSTOMERS:
        columns = select_class_columns(
            derived, columns, [(target, rows.fit)], seed=seed, threads=threads
        )
        features = matrix(derived, columns)
        tree_settings: dict[str, Any] = {"classes": classes, "seed": seed, "threads": threads}
        trees = fit_trees(features, target, rows, **tree_settings, trees=settings)
    table = fit_frequency_table(frame, len(stages))
    parameters: dict[str, Any] = {
        "stages": list(stages),
        "kind": "trees" if trees else "table",
        "columns": columns,
        "classes": classes,
        "multipliers": [1.0] * len(stages),
        "table": table,
    }
    guarded = _part_without_validation(parameters, trees, frame, rows)
    losses = _validation_losses(guarded, derived, target, rows, contexts)
    kind = "trees" if losses.get("trees", np.inf) < losses.get("table", np.inf) else "table"
    parameters["kind"] = guarded.parameters["kind"] = kind
    if len(rows.validation):
        probability = _validation_probabilities(guarded, derived, rows, contexts)
        parameters["multipliers"] = tune_multipliers(probability, target[rows.validation])
    parameters["report"] = {
        "served": kind,
        "validation": rows.validation_kind,
        "validation_at": str(pd.Timestamp(validation_at).date()),
        "validation_log_loss": losses,
        "rounds": trees.rounds if trees else 0,
        "fit_rows": len(rows.fit),
    }
    boosters = {"stage": trees.final} if trees and kind == "trees" else {}
    return Part("stage", parameters, boosters)


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


def _part_without_validation(
    parameters: Mapping[str, Any],
    fitted_trees: MulticlassTrees | None,
    frame: pd.DataFrame,
    rows: RowSplit,
) -> Part:
    """The part fitted without the validation rows, to choose the model and the multipliers."""
    table = fit_frequency_table(frame.iloc[rows.fit], len(parameters["stages"]))
    boosters = {"stage": fitted_trees.before} if fitted_trees else {}
    return Part("stage", {**parameters, "table": table}, boosters)


def _validation_probabilities(
    guarded: Part,
    derived: pd.DataFrame,
    rows: RowSplit,
    contexts: Mapping[pd.Timestamp, Mapping[str, Any]],
) -> Array:
    validation_frame = derived.iloc[rows.validation]
    context = (
        contexts[pd.Timestamp(validation_frame["snapshot_at"].iloc[0])]
        if len(validation_frame)
        else {}
    )
    return np.asarray(predict_stage(guarded, validation_frame, context)["probabilities"])


def _validation_losses(
    guarded: Part,
    derived: pd.DataFrame,
    target: Array,
    rows: RowSplit,
    contexts: Mapping[pd.Timestamp, Mapping[str, Any]],
) -> dict[str, float]:
    """Log loss of table and trees on the validation rows, which they were not fitted on."""
    losses: dict[str, float] = {}
    for kind in ("table", guarded.parameters["kind"]):
        part = Part(guarded.name, {**guarded.parameters, "kind": kind}, guarded.boosters)
        if len(rows.validation):
            probability = _validation_probabilities(part, derived, rows, contexts)
            losses[kind] = metrics.multiclass_log_loss(target[rows.validation], probability)
    return losses


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
