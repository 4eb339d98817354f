"""Predict the current stage.

Parameters: stages, weights (of trees, table, rule), columns, classes (codes by booster column),
multipliers (one per stage), table {edges (a list per stage), p (stage x decile x stage)}, rule
(stage x stage), report.
Fitted on recorded stages: folds, fold_seed, and per fold a table and a booster (stage_0,
stage_1, ...) instead of one table and one booster. Fitted on late data: late_days.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import lightgbm as lgb
import numpy as np

from .derived_features import derive
from .fast_trees import raw_score, raw_scores
from .feature_rows import Rows, number_column, take_rows, text_column
from .linear_model import matrix, softmax
from .part import Array, Part


def stage_codes(frame: Rows, stages: int) -> Array:
    """Rule stage code of every row; unknown and missing codes become `stages`."""
    if "stage__code" not in frame:
        return np.full(len(frame), stages)
    code_values = number_column(frame, "stage__code")
    is_known = (code_values >= 0) & (code_values < stages) & (code_values == np.floor(code_values))
    return np.where(is_known, np.nan_to_num(code_values), stages).astype(int)


def stage_recency_bins(edges: Sequence[Sequence[float]], frame: Rows, codes: Array) -> Array:
    """Recency decile (0-9) of every row within its rule stage; 10 without a purchase."""
    recency = number_column(frame, "purchase__recency_days")
    recency_bins = np.full(len(codes), 10)
    for stage, cuts in enumerate(edges):
        members = (codes == stage) & ~np.isnan(recency)
        recency_bins[members] = np.searchsorted(
            np.asarray(cuts, dtype=np.float64), recency[members]
        )
    return recency_bins


def stage_table_probabilities(table: Mapping[str, Any], frame: Rows) -> Array:
    """Frequency table (rule stage x recency decile): rows x stages, sums to 1."""
    table_probabilities = np.asarray(
        table["p"], dtype=np.float64
    )  # the last stage row is for unknown stages
    codes = stage_codes(frame, table_probabilities.shape[0] - 1)
    return np.asarray(table_probabilities[codes, stage_recency_bins(table["edges"], frame, codes)])


def spread_classes(learned: Array, classes: Sequence[int], table_rows: Array) -> Array:
    """Probabilities of all classes: rare ones from a table, the rest divided by the model.

    Parameters
    ----------
    learned
        Learned probabilities, rows x len(classes).
    classes
        Codes of the columns of `learned`.
    table_rows
        Table of probabilities of all classes, rows x classes.
    """
    spread = table_rows.copy()
    rare_classes = np.ones(table_rows.shape[1], dtype=bool)
    rare_classes[list(classes)] = False
    spread[:, list(classes)] = learned * (
        1.0 - table_rows[:, rare_classes].sum(axis=1, keepdims=True)
    )
    return np.asarray(spread / spread.sum(axis=1, keepdims=True))


def booster_classes(booster: lgb.Booster, features: Array) -> Array:
    """Class probabilities of a multiclass booster, rows x classes; accepts zero rows."""
    if not len(features):
        return np.empty((0, booster.num_model_per_iteration()))
    return softmax(raw_score(booster, features).reshape(len(features), -1))


def forest_classes(part: Part, name: str, features: Array) -> Array:
    """Mean class probabilities of a part's boosters `name`, `name_1`, ...: rows x classes."""
    booster_names = [
        key for key in sorted(part.boosters) if key == name or key.startswith(f"{name}_")
    ]
    boosters = [part.boosters[key] for key in booster_names]
    if not len(features):
        return booster_classes(boosters[0], features)
    class_probabilities = [
        softmax(raw.reshape(len(features), -1)) for raw in raw_scores(boosters, features)
    ]
    return np.asarray(np.mean(class_probabilities, axis=0))


def customer_folds(customers: Iterable[str], folds: int, seed: int) -> Array:
    """Fold of every row by a stable hash (CRC-32) of the customer id and a seed."""
    ids = list(customers)
    fold_of = {i: zlib.crc32(f"fold {seed} {i}".encode()) % folds for i in dict.fromkeys(ids)}
    return np.fromiter((fold_of[i] for i in ids), dtype=np.int64, count=len(ids))


def stage_probabilities(
    part: Part, frame: Rows, context: Mapping[str, Any], table: Mapping[str, Any], name: str
) -> Array:
    """Probabilities of all stages by one booster and one frequency table of a part.

    The weighted mean of those by trees, by the table, and by the rule stage alone.
    """
    weights = part.parameters["weights"]
    by_table = stage_table_probabilities(table, frame)
    probabilities = weights.get("table", 0.0) * by_table
    if rule_weight := weights.get("rule", 0.0):
        by_rule = np.asarray(part.parameters["rule"], dtype=np.float64)
        probabilities = probabilities + rule_weight * by_rule[stage_codes(frame, len(by_rule) - 1)]
    if tree_weight := weights.get("trees", 0.0):
        features = matrix(derive(frame, context), part.parameters["columns"])
        learned = booster_classes(part.boosters[name], features)
        by_trees = spread_classes(learned, part.parameters["classes"], by_table)
        probabilities = probabilities + tree_weight * by_trees
    return probabilities


def predict_stage(part: Part, frame: Rows, context: Mapping[str, Any]) -> dict[str, Array]:
    """Predict the current stage for one snapshot.

    A part fitted on recorded stages is cross-fitted: each fold of the customers is predicted by the
    model that was not fitted on it.

    Parameters
    ----------
    part
        Fitted by `models.tasks.stage.fit_stage`.
    frame
        Feature frame of one snapshot.
    context
        Scoring context of the snapshot.

    Returns
    -------
    ``probabilities`` (rows x stages, sums to 1), ``code`` (stage with the largest probability
    times its multiplier, tuned for macro-F1) and ``confidence`` (the probability of that stage).
    """
    parameters = part.parameters
    if "folds" not in parameters:
        probabilities = stage_probabilities(part, frame, context, parameters["table"], "stage")
    else:
        fold_numbers = customer_folds(
            text_column(frame, "customer_id"), parameters["folds"], parameters["fold_seed"]
        )
        probabilities = np.empty((len(frame), len(parameters["stages"])))
        for number, table in enumerate(parameters["tables"]):
            fold_rows = np.flatnonzero(fold_numbers == number)
            fold_frame = take_rows(frame, fold_rows)
            probabilities[fold_rows] = stage_probabilities(
                part, fold_frame, context, table, f"stage_{number}"
            )
    predicted_codes = (probabilities * np.asarray(parameters["multipliers"])).argmax(axis=1)
    return {
        "probabilities": probabilities,
        "code": predicted_codes,
        "confidence": probabilities[np.arange(len(probabilities)), predicted_codes],
    }
