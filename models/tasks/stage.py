"""Current stage: what stage a customer is truly in, although nobody tells when they left it.

LightGBM multiclass on the features and the rule stage; a frequency table stands in where there is
too little to learn from, and where it wins on the validation snapshot. Fitting only; prediction is
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
        The latest matured snapshot: early stopping, guard, class multipliers.
    stages
        Stage names by code.
    seed, threads
        Seed of LightGBM and its threads.
    settings
        LightGBM settings in place of the recipe's own (see `models.tasks.tuning`).

    Returns
    -------
    Part
        Named ``stage``; ``parameters["report"]`` holds what was decided and why.

    Raises
    ------
    ValueError
        There are no rows, none at `validation_at`, or a truth code is not a stage.
    """
    frame = thin_customers(frame)
    rows = split_rows(frame, validation_at)
    y = label_codes(frame["truth_code"], len(stages))
    inputs, columns = derived_inputs(frame, contexts)
    trees, classes = None, frequent_classes(y[rows.fit], len(stages))
    if columns and frame["customer_id"].nunique() >= MIN_CUSTOMERS:
        columns = select_class_columns(inputs, columns, [(y, rows.fit)], seed=seed, threads=threads)
        x = matrix(inputs, columns)
        found: dict[str, Any] = {"classes": classes, "seed": seed, "threads": threads}
        trees = fit_trees(x, y, rows, **found, trees=settings)
    table = fit_frequency_table(frame, len(stages))
    parameters: dict[str, Any] = {
        "stages": list(stages),
        "kind": "trees" if trees else "table",
        "columns": columns,
        "classes": classes,
        "multipliers": [1.0] * len(stages),
        "table": table,
    }
    gated = _gated(parameters, trees, frame, rows)
    losses = _validation_losses(gated, inputs, y, rows, contexts)
    kind = "trees" if losses.get("trees", np.inf) < losses.get("table", np.inf) else "table"
    parameters["kind"] = gated.parameters["kind"] = kind
    if len(rows.validation):
        p = _at_validation(gated, inputs, rows, contexts)
        parameters["multipliers"] = tuned(p, y[rows.validation])
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
        A label is empty or not a code of a stage.
    """
    values = labels.to_numpy(dtype=np.float64, na_value=np.nan)
    good = (values >= 0) & (values < stages) & (values == np.floor(values))
    if not good.all():
        raise ValueError(
            f"{labels.name}: found {values[~good][:5].tolist()}, "
            f"expected stage codes 0 to {stages - 1}"
        )
    return np.asarray(values, dtype=int)


def _gated(
    parameters: Mapping[str, Any],
    trees: MulticlassTrees | None,
    frame: pd.DataFrame,
    rows: RowSplit,
) -> Part:
    """The part as it is before the validation rows join, for guard and multipliers."""
    table = fit_frequency_table(frame.iloc[rows.fit], len(parameters["stages"]))
    boosters = {"stage": trees.before} if trees else {}
    return Part("stage", {**parameters, "table": table}, boosters)


def _at_validation(
    gated: Part,
    inputs: pd.DataFrame,
    rows: RowSplit,
    contexts: Mapping[pd.Timestamp, Mapping[str, Any]],
) -> Array:
    checked = inputs.iloc[rows.validation]
    context = contexts[pd.Timestamp(checked["snapshot_at"].iloc[0])] if len(checked) else {}
    return np.asarray(predict_stage(gated, checked, context)["probabilities"])


def _validation_losses(
    gated: Part,
    inputs: pd.DataFrame,
    y: Array,
    rows: RowSplit,
    contexts: Mapping[pd.Timestamp, Mapping[str, Any]],
) -> dict[str, float]:
    """Log loss on the validation rows of what was fitted without them; empty without rows."""
    found: dict[str, float] = {}
    for kind in ("table", gated.parameters["kind"]):
        part = Part(gated.name, {**gated.parameters, "kind": kind}, gated.boosters)
        if len(rows.validation):
            p = _at_validation(part, inputs, rows, contexts)
            found[kind] = metrics.multiclass_log_loss(y[rows.validation], p)
    return found


def tuned(p: Array, truth: Array) -> list[float]:
    """Class multipliers of probabilities with the best macro-F1, one class after another."""
    stages = p.shape[1]
    start = [1.0] * stages
    counted = np.flatnonzero(np.bincount(truth, minlength=stages) >= MIN_CLASS)
    if len(counted) < 2:
        return start
    best, multipliers = metrics.macro_f1(truth, p.argmax(axis=1)), np.ones(stages)
    first = best
    for stage in np.tile(counted, _PASSES):
        for value in _MULTIPLIERS:
            tried = multipliers.copy()
            tried[stage] = value
            found = metrics.macro_f1(truth, (p * tried).argmax(axis=1))
            if found > best + 1e-9:
                best, multipliers = found, tried
    return multipliers.tolist() if best - first >= _MIN_F1_GAIN else start
