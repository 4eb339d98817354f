"""Current stage by the CRM's records: cross-fitted, so that no record predicts itself.

Every fold of the customers is predicted by a fit that has seen the others only, also when
scoring: whose record is wrong shows, instead of being learned by heart. Fitting only; prediction
is `models.scorer.stage.predict_stage`.
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
from models.tasks.stage import label_codes, tuned

FOLDS = 5


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
        One row per (customer_id, snapshot_at) of all matured training snapshots of the customers
        with a record: the feature frame with ``truth_code`` (recorded stage, an index into
        `stages`).
    contexts
        Scoring context of every snapshot in `frame`.
    validation_at
        The latest matured snapshot: guard and class multipliers look at it.
    stages
        Stage names by code.
    seed, threads
        Seed of the folds and of LightGBM, and its threads.
    settings
        LightGBM settings in place of the recipe's own (see `models.tasks.tuning`).

    Returns
    -------
    Part
        Named ``stage``, with a booster and a frequency table a fold; ``parameters["report"]``
        holds what was decided and why.

    Raises
    ------
    ValueError
        There are no rows, or a truth code is not a stage.
    """
    if frame.empty:
        raise ValueError("no training rows: no customer had a stage record at a matured snapshot")
    frame = thin_customers(frame)
    y = label_codes(frame["truth_code"], len(stages))
    inputs, columns = derived_inputs(frame, contexts)
    fold = customer_folds(frame["customer_id"], FOLDS, seed)
    splits = [_split(fold, number) for number in range(FOLDS)]
    classes = _learnable(y, splits, len(stages))
    trees: list[MulticlassTrees | None] = [None] * FOLDS
    if columns and frame["customer_id"].nunique() >= MIN_CUSTOMERS:
        # One list for all folds: every label has had a small say in which columns are read.
        told = [(y, rows.fit) for rows in splits]
        columns = select_class_columns(inputs, columns, told, seed=seed, threads=threads)
        x = matrix(inputs, columns)
        found: dict[str, Any] = {"classes": classes, "seed": seed, "threads": threads}
        trees = [fit_trees(x, y, rows, **found, trees=settings) for rows in splits]
    fitted = [each for each in trees if each is not None]
    part = Part(
        "stage",
        {
            "stages": list(stages),
            "kind": "trees" if len(fitted) == FOLDS else "table",
            "columns": columns,
            "classes": classes,
            "multipliers": [1.0] * len(stages),
            "folds": FOLDS,
            "fold_seed": seed,
            "tables": [
                fit_frequency_table(frame.iloc[np.flatnonzero(fold != number)], len(stages))
                for number in range(FOLDS)
            ],
        },
        {f"stage_{n}": each.final for n, each in enumerate(trees) if each is not None},
    )
    return _guarded(part, inputs, y, contexts, validation_at, fitted)


def _split(fold: Array, number: int) -> RowSplit:
    """Rows that fit a fold's model, and those of the next fold's customers, which stop it."""
    held = fold == (number + 1) % FOLDS
    return RowSplit(
        np.flatnonzero((fold != number) & ~held),
        np.flatnonzero(held),
        "the next fold's customers",
    )


def _learnable(y: Array, splits: list[RowSplit], stages: int) -> list[int]:
    """Codes of the classes with rows enough in every fold."""
    counts = np.array([np.bincount(y[rows.fit], minlength=stages) for rows in splits])
    return np.flatnonzero(counts.min(axis=0) >= MIN_CLASS).tolist()


def _guarded(
    part: Part,
    inputs: pd.DataFrame,
    y: Array,
    contexts: Mapping[pd.Timestamp, Mapping[str, Any]],
    validation_at: pd.Timestamp,
    fitted: list[MulticlassTrees],
) -> Part:
    """The part that wins at the latest snapshot: every customer is predicted by the others."""
    last = np.flatnonzero(inputs["snapshot_at"] == pd.Timestamp(validation_at))
    checked, context = inputs.iloc[last], contexts[pd.Timestamp(validation_at)]
    losses, probabilities = {}, {}
    for kind in dict.fromkeys(("table", part.parameters["kind"])):
        tried = Part(part.name, {**part.parameters, "kind": kind}, part.boosters)
        p = np.asarray(predict_stage(tried, checked, context)["probabilities"])
        losses[kind], probabilities[kind] = metrics.multiclass_log_loss(y[last], p), p
    kind = min(losses, key=lambda name: losses[name])
    report = {
        "served": kind,
        "validation": f"cross-fitted by customer, {FOLDS} folds",
        "validation_at": str(pd.Timestamp(validation_at).date()),
        "validation_log_loss": losses,
        "rounds": round(float(np.mean([each.rounds for each in fitted]))) if fitted else 0,
        "fit_rows": len(inputs),
    }
    multipliers = tuned(probabilities[kind], y[last])
    parameters = {**part.parameters, "kind": kind, "multipliers": multipliers, "report": report}
    return Part(part.name, parameters, part.boosters if kind == "trees" else {})
