"""Current stage learned from CRM records, cross-fitted so that no record predicts itself.

Every fold of the customers is predicted by a model fitted on the other folds, also when scoring.
A wrong record thus shows as a disagreement, instead of being memorised. Fitting only; prediction is
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
    select_class_columns,
    thin_customers,
)
from models.metrics import metrics
from models.scorer.linear_model import matrix
from models.scorer.part import Part
from models.scorer.stage import customer_folds, predict_stage
from models.tasks.stage import label_codes, tune_multipliers

CRM_FOLDS = 5


def fit_recorded_stage(
    frame: pd.DataFrame,
    contexts: Mapping[pd.Timestamp, Mapping[str, Any]],
    *,
    validation_at: pd.Timestamp,
    stages: list[str],
    seed: int,
    threads: int = 2,
    settings: Mapping[str, Any] | None = None,
) -> Part:
    """Fit the current-stage part on recorded stages, cross-fitted by customer.

    Parameters
    ----------
    frame
        One row per (customer_id, snapshot_at) of all matured training snapshots, for customers
        with a record: the feature frame with ``truth_code`` (recorded stage, an index into
        `stages`).
    contexts
        Scoring context of every snapshot in `frame`.
    validation_at
        The latest matured snapshot, for the choice against the table and the class multipliers.
    stages
        Stage names by code.
    seed, threads
        Seed of the folds and of LightGBM, and its threads.
    settings
        LightGBM settings that replace the recipe's own (see `models.tasks.tuning`).

    Returns
    -------
    Part
        Named ``stage``, with a booster and a frequency table per fold; ``parameters["report"]``
        holds the decisions and their reasons.

    Raises
    ------
    ValueError
        If there are no rows, or a truth code is not a stage.
    """
    if frame.empty:
        raise ValueError("no training rows: no customer had a stage record at a matured snapshot")
    frame = thin_customers(frame)
    target = label_codes(frame["truth_code"], len(stages))
    derived, columns = derived_inputs(frame, contexts)
    fold_numbers = customer_folds(frame["customer_id"], CRM_FOLDS, seed)
    splits = [_split(fold_numbers, number) for number in range(CRM_FOLDS)]
    classes = _learnable(target, splits, len(stages))
    trees: list[MulticlassTrees | None] = [None] * CRM_FOLDS
    if columns and frame["customer_id"].nunique() >= MIN_CUSTOMERS:
        # One list of columns for all folds: every label has a small influence on it.
        outcomes = [(target, rows.fit) for rows in splits]
        columns = select_class_columns(derived, columns, outcomes, seed=seed, threads=threads)
        features = matrix(derived, columns)
        tree_settings: dict[str, Any] = {"classes": classes, "seed": seed, "threads": threads}
        trees = [
            fit_trees(features, target, rows, **tree_settings, trees=settings) for rows in splits
        ]
    fitted_trees = [fold_trees for fold_trees in trees if fold_trees is not None]
    part = Part(
        "stage",
        {
            "stages": list(stages),
            "weights": {"trees" if len(fitted_trees) == CRM_FOLDS else "table": 1.0},
            "columns": columns,
            "classes": classes,
            "multipliers": [1.0] * len(stages),
            "folds": CRM_FOLDS,
            "fold_seed": seed,
            "tables": [
                fit_frequency_table(frame.iloc[np.flatnonzero(fold_numbers != number)], len(stages))
                for number in range(CRM_FOLDS)
            ],
        },
        {
            f"stage_{n}": fold_trees.final
            for n, fold_trees in enumerate(trees)
            if fold_trees is not None
        },
    )
    return _choose_served(part, derived, target, contexts, validation_at, fitted_trees)


def _split(fold_numbers: Array, number: int) -> RowSplit:
    """Fit rows of a fold's model, and the next fold's rows, which stop it early."""
    is_held_out = fold_numbers == (number + 1) % CRM_FOLDS
    return RowSplit(
        np.flatnonzero((fold_numbers != number) & ~is_held_out),
        np.flatnonzero(is_held_out),
        "the next fold's customers",
    )


def _learnable(target: Array, splits: list[RowSplit], stages: int) -> list[int]:
    """Codes of the classes with at least `MIN_CLASS` fit rows in every fold."""
    counts = np.array([np.bincount(target[rows.fit], minlength=stages) for rows in splits])
    return np.flatnonzero(counts.min(axis=0) >= MIN_CLASS).tolist()


def _choose_served(
    part: Part,
    derived: pd.DataFrame,
    target: Array,
    contexts: Mapping[pd.Timestamp, Mapping[str, Any]],
    validation_at: pd.Timestamp,
    fitted: list[MulticlassTrees],
) -> Part:
    """Choose table or trees by cross-fitted log loss at the latest snapshot."""
    last_rows = np.flatnonzero(derived["snapshot_at"] == pd.Timestamp(validation_at))
    validation_frame, context = derived.iloc[last_rows], contexts[pd.Timestamp(validation_at)]
    losses, probabilities = {}, {}
    for kind in dict.fromkeys(("table", *part.parameters["weights"])):
        candidate = Part(part.name, {**part.parameters, "weights": {kind: 1.0}}, part.boosters)
        probability = np.asarray(
            predict_stage(candidate, validation_frame, context)["probabilities"]
        )
        losses[kind], probabilities[kind] = (
            metrics.multiclass_log_loss(target[last_rows], probability),
            probability,
        )
    kind = min(losses, key=lambda name: losses[name])
    report = {
        "served": kind,
        "validation": f"cross-fitted by customer, {CRM_FOLDS} folds",
        "validation_at": str(pd.Timestamp(validation_at).date()),
        "validation_log_loss": losses,
        "rounds": round(float(np.mean([fold_trees.rounds for fold_trees in fitted])))
        if fitted
        else 0,
        "fit_rows": len(derived),
    }
    multipliers = tune_multipliers(probabilities[kind], target[last_rows])
    parameters = {
        **part.parameters,
        "weights": {kind: 1.0},
        "multipliers": multipliers,
        "report": report,
    }
    return Part(part.name, parameters, part.boosters if kind == "trees" else {})
