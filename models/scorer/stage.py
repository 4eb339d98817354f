"""Predict the current stage.

Parameters: stages, kind (trees, table), columns, classes (codes by booster column), multipliers
(one per stage), table {edges (a list per stage), p (stage x decile x stage)}, report.
Fitted on recorded stages: folds, fold_seed, and per fold a table and a booster (stage_0,
stage_1, ...) instead of one table and one booster. Fitted on late data: late_days.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd

from .derived_features import derive
from .fast_trees import raw_score, raw_scores
from .linear_model import matrix, softmax
from .part import Array, Part


def stage_codes(frame: pd.DataFrame, stages: int) -> Array:
    """Rule stage of every row; codes the model does not know, or none, become `stages`."""
    if "stage__code" not in frame:
        return np.full(len(frame), stages)
    code = frame["stage__code"].to_numpy(dtype=np.float64, na_value=np.nan)
    known = (code >= 0) & (code < stages) & (code == np.floor(code))
    return np.where(known, np.nan_to_num(code), stages).astype(int)


def stage_recency_bins(edges: Sequence[Sequence[float]], frame: pd.DataFrame, code: Array) -> Array:
    """Recency decile (0..9) of every row among those of its rule stage; 10 for never bought."""
    recency = frame["purchase__recency_days"].to_numpy(dtype=np.float64, na_value=np.nan)
    bins = np.full(len(code), 10)
    for stage, cuts in enumerate(edges):
        mine = (code == stage) & ~np.isnan(recency)
        bins[mine] = np.searchsorted(np.asarray(cuts, dtype=np.float64), recency[mine])
    return bins


def stage_table_probabilities(table: Mapping[str, Any], frame: pd.DataFrame) -> Array:
    """Frequency table (rule stage x recency decile): rows x stages, sums to 1."""
    p = np.asarray(table["p"], dtype=np.float64)  # the last stage row is for unknown stages
    code = stage_codes(frame, p.shape[0] - 1)
    return np.asarray(p[code, stage_recency_bins(table["edges"], frame, code)])


def spread_classes(p: Array, classes: Sequence[int], rest: Array) -> Array:
    """Probabilities of all classes: learned ones share what a table leaves to them.

    Parameters
    ----------
    p
        Learned probabilities, rows x len(classes).
    classes
        Codes of the columns of `p`.
    rest
        Table of probabilities of all classes, rows x classes.
    """
    out = rest.copy()
    rare = np.setdiff1d(np.arange(rest.shape[1]), np.asarray(classes))
    out[:, list(classes)] = p * (1.0 - rest[:, rare].sum(axis=1, keepdims=True))
    return np.asarray(out / out.sum(axis=1, keepdims=True))


def booster_classes(booster: lgb.Booster, x: Array) -> Array:
    """Class probabilities of a multiclass booster, rows x classes, also for no row at all."""
    if not len(x):
        return np.empty((0, booster.num_model_per_iteration()))
    return softmax(raw_score(booster, x).reshape(len(x), -1))


def forest_classes(part: Part, name: str, x: Array) -> Array:
    """Mean class probabilities of a part's boosters `name`, `name_1`, ...: rows x classes."""
    names = [key for key in sorted(part.boosters) if key == name or key.startswith(f"{name}_")]
    boosters = [part.boosters[key] for key in names]
    if not len(x):
        return booster_classes(boosters[0], x)
    p = [softmax(raw.reshape(len(x), -1)) for raw in raw_scores(boosters, x)]
    return np.asarray(np.mean(p, axis=0))


def customer_folds(customers: pd.Series, folds: int, seed: int) -> Array:
    """Fold of every row's customer, from a stable hash of the id (CRC-32) and a seed."""
    codes, ids = pd.factorize(customers.astype(str))
    hashed = [zlib.crc32(f"fold {seed} {one}".encode()) % folds for one in ids]
    return np.asarray(hashed, dtype=np.int64)[codes]


def stage_probabilities(
    part: Part, frame: pd.DataFrame, context: Mapping[str, Any], table: Mapping[str, Any], name: str
) -> Array:
    """Probabilities of all stages by one booster and one frequency table of a part."""
    p = stage_table_probabilities(table, frame)
    if part.parameters["kind"] == "trees":
        x = matrix(derive(frame, context), part.parameters["columns"])
        learned = booster_classes(part.boosters[name], x)
        p = spread_classes(learned, part.parameters["classes"], p)
    return p


def predict_stage(part: Part, frame: pd.DataFrame, context: Mapping[str, Any]) -> dict[str, Array]:
    """What the model believes the current stage to be, for one snapshot.

    A part fitted on recorded stages is cross-fitted: each fold of the customers is predicted by
    the fit that has not seen them.

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
        p = stage_probabilities(part, frame, context, parameters["table"], "stage")
    else:
        fold = customer_folds(frame["customer_id"], parameters["folds"], parameters["fold_seed"])
        p = np.empty((len(frame), len(parameters["stages"])))
        for number, table in enumerate(parameters["tables"]):
            rows = np.flatnonzero(fold == number)
            own = frame.iloc[rows]
            p[rows] = stage_probabilities(part, own, context, table, f"stage_{number}")
    code = (p * np.asarray(parameters["multipliers"])).argmax(axis=1)
    return {"probabilities": p, "code": code, "confidence": p[np.arange(len(p)), code]}
