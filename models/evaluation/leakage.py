"""Detect leaks: report features that predict an outcome too well on their own.

Features of the past explain only part of what a customer will do. A single column that predicts
nearly all of it was probably written after the event: a field that the CRM fills in later, an
overwritten date, an attribute that contains the outcome.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from features.history.reporting_delay import seen_before
from features.table.snapshot_builder import Builder
from models.fitting.training_set import TrainingSet
from models.metrics import metrics
from models.scorer.derived_features import model_columns
from models.tasks.all_tasks import TASKS

_SUSPECT_AUC = (
    0.95  # area under the curve of one column alone; on the example data the best have 0.89
)
MIN_OUTCOMES = 20  # customers of each outcome below which an AUC is too uncertain


@dataclass(frozen=True)
class LeakSuspect:
    """A feature that predicts an outcome too well alone.

    Attributes
    ----------
    task, name
        The task and the feature.
    auc
        Area under the ROC curve of the feature alone, in the better direction.
    """

    task: str
    name: str
    auc: float

    def __str__(self) -> str:
        return (
            f"{self.task}: {self.name} alone predicts the outcome with an AUC of {self.auc:.3f}; "
            "it probably contains data from after the snapshot. Check how its source column is "
            "filled, map `known_at` if it is filled later, or exclude it under `sensitive`"
        )


def leak_suspects(data: TrainingSet) -> list[LeakSuspect]:
    """Features that predict the outcome of the latest training snapshot too well, worst first.

    Returns
    -------
    list of LeakSuspect
        Empty for tasks other than churn and CLV, and if fewer than `MIN_OUTCOMES` customers had
        either outcome.
    """
    # Stage and transition labels follow from rules that read some of the same columns; and all
    # tasks read one feature frame.
    label = TASKS[data.task].label
    if label is None:
        return []
    rows = data.frame[data.frame["snapshot_at"] == data.validation_at]
    if "purchase__count_all" in rows:
        rows = rows[rows["purchase__count_all"] > 0]  # leads rarely buy
    if "cancel__recency_days" in rows:  # nor do customers who cancelled
        rows = rows[~(rows["cancel__recency_days"] <= rows["purchase__recency_days"])]
    has_outcome = (rows[label] > 0).to_numpy(dtype=np.float64)
    if min(has_outcome.sum(), len(has_outcome) - has_outcome.sum()) < MIN_OUTCOMES:
        return []
    columns = model_columns(data.at_origin)
    candidates = [
        LeakSuspect(data.task, name, single_column_auc(rows[name], has_outcome)) for name in columns
    ]
    reported = [suspect for suspect in candidates if suspect.auc >= _SUSPECT_AUC]
    return sorted(reported, key=lambda suspect: -suspect.auc)


def single_column_auc(column: pd.Series, has_outcome: Any) -> float:
    """AUC of one column in the better direction; nulls count as lowest or highest value."""
    values = column.to_numpy(dtype=np.float64)
    is_finite = np.isfinite(values)
    lowest = values[is_finite].min(initial=0.0) - 1.0
    areas = []
    for null_value in (lowest, values[is_finite].max(initial=0.0) + 1.0):
        curve_area = metrics.auc(has_outcome, np.where(is_finite, values, null_value))
        areas += [curve_area, 1.0 - curve_area]
    return max(areas)


def leaking(builder: Builder, features: pd.DataFrame, at: int) -> list[str]:
    """Feature columns of a gate that change when all data after the gate are removed.

    Parameters
    ----------
    builder
        Builder of the data set.
    features
        Feature frame of the gate, as models are trained and tested on it.
    at
        Day number of the gate.

    Returns
    -------
    list of str
        Names of the leaking columns; only ``customer_id`` if the rows differ. Empty without leaks.
    """
    # The same columns, also of roles without events by then.
    known_history = seen_before(builder.history, at).with_roles(builder.spec.roles)
    blind = replace(builder, history=known_history, everybody=None)
    clean = blind.features(at)
    if clean["customer_id"].tolist() != features["customer_id"].astype(str).tolist():
        return ["customer_id"]
    leaking_columns = []
    for name in model_columns(features):
        seen_values = features[name].to_numpy()
        blind_values = clean[name].to_numpy() if name in clean else np.full(len(clean), np.nan)
        if not np.array_equal(blind_values, seen_values, equal_nan=True):
            leaking_columns.append(name)
    return leaking_columns
