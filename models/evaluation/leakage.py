"""An alarm for leaks: a feature that alone ranks customers too well knows what it must not.

Whatever is computed from the past alone leaves much unexplained of what a customer will do. A
column that tells nearly all of it by itself was made after the event: a field the CRM fills in
later, a date that was overwritten, an attribute with the outcome in it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.history.reporting_delay import seen_before
from features.table.snapshot_builder import Builder
from models.fitting.training_set import TrainingSet
from models.metrics import metrics
from models.scorer.derived_features import model_columns

TOO_WELL = 0.95  # area under the curve of one column alone; on the example data the best have 0.89
LEAST = 20  # customers of each outcome, under which an area says little
# Tasks whose outcome customers decide. What the current-stage and transition models learn is told
# by the rules, which read some of the same columns; and all tasks read one feature frame.
OUTCOMES = {"churn": "no_purchase", "clv": "spend"}


@dataclass(frozen=True)
class Suspect:
    """A feature that predicts an outcome too well alone.

    Attributes
    ----------
    task, name
        The task and the feature.
    auc
        Area under the ROC curve of the feature alone, in whichever direction is better.
    """

    task: str
    name: str
    auc: float

    def __str__(self) -> str:
        return (
            f"{self.task}: {self.name} alone tells the outcome with an AUC of {self.auc:.3f}: it "
            "likely knows what came after the snapshot. Look at how its source column is filled, "
            "map `known_at` where it is filled later, or leave it out under `sensitive`"
        )


def suspects(data: TrainingSet) -> list[Suspect]:
    """Features that alone tell the outcome of the latest training snapshot too well, worst first.

    Returns
    -------
    list of Suspect
        Empty where none does, for tasks without an outcome of the customer's own, and where fewer
        than `LEAST` customers had either outcome.
    """
    if data.task not in OUTCOMES:
        return []
    rows = data.frame[data.frame["snapshot_at"] == data.validation_at]
    if "purchase__count_all" in rows:
        rows = rows[rows["purchase__count_all"] > 0]  # leads hardly buy, whatever else is known
    if "cancel__recency_days" in rows:  # nor does who has cancelled
        rows = rows[~(rows["cancel__recency_days"] <= rows["purchase__recency_days"])]
    happened = (rows[OUTCOMES[data.task]] > 0).to_numpy(dtype=np.float64)
    if min(happened.sum(), len(happened) - happened.sum()) < LEAST:
        return []
    names = model_columns(data.at_validation)
    found = [Suspect(data.task, name, alone(rows[name], happened)) for name in names]
    told = [suspect for suspect in found if suspect.auc >= TOO_WELL]
    return sorted(told, key=lambda suspect: -suspect.auc)


def alone(column: pd.Series, happened: Any) -> float:
    """Area under the ROC curve of one column, the better of both directions; null is a value."""
    values = column.to_numpy(dtype=np.float64)
    there = np.isfinite(values)
    lowest = values[there].min(initial=0.0) - 1.0
    areas = []
    for missing in (lowest, values[there].max(initial=0.0) + 1.0):
        area = metrics.auc(happened, np.where(there, values, missing))
        areas += [area, 1.0 - area]
    return max(areas)


def leaking(builder: Builder, features: pd.DataFrame, at: int) -> list[str]:
    """Columns of a gate's features that differ when nothing after the gate is there to be seen.

    Parameters
    ----------
    builder
        Of the data set.
    features
        The feature frame of the gate as models are trained and tested on it.
    at
        Day number of the gate.

    Returns
    -------
    list of str
        Names of the columns that know what came later; ``customer_id`` where rows differ. Empty
        where none does.
    """
    blind = Builder(
        builder.config, builder.taxonomy, seen_before(builder.history, at), everybody=None
    )
    vars(blind)["spec"] = builder.spec  # the same columns, whatever roles have come by then
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
