"""Realised accuracy: what a past run predicted for groups of customers, and what came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd
from scipy.stats import norm

from features.arrays import Array
from features.contracts import CUSTOMER
from features.table.prediction_targets import TaskName

FEWEST_CUSTOMERS = 30  # of a group; fewer say little, and tell about single customers
_ERRORS = float(norm.isf(0.025))  # standard errors on each side of a 95 % interval


@dataclass(frozen=True)
class Prediction:
    """A column of the scored row that can be compared with an outcome.

    Attributes
    ----------
    column
        The prediction; null for customers whom it does not cover.
    outcome
        Column of the task's labels.
    is_chance
        True: a probability of an outcome above zero. False: the expected outcome.
    band
        Column of the scored row with bands of the prediction; empty without bands.
    """

    column: str
    outcome: str
    is_chance: bool
    band: str = ""


_PREDICTIONS: Mapping[TaskName, tuple[Prediction, ...]] = MappingProxyType(
    {
        "churn": (Prediction("p_churn", "no_purchase", is_chance=True, band="churn_band"),),
        "clv": (
            Prediction("clv", "spend", is_chance=False),
            Prediction("p_any_order", "orders", is_chance=True),
            Prediction("p_first_purchase", "orders", is_chance=True, band="lead_band"),
        ),
        "transition": (Prediction("p_move", "period", is_chance=True),),
    }
)
_GROUPS = ("value_tier", "stage")
ACCURACY_COLUMNS = [
    CUSTOMER, *_GROUPS,
    *dict.fromkeys(
        column
        for predictions in _PREDICTIONS.values()
        for prediction in predictions
        for column in (prediction.column, prediction.band)
        if column
    ),
]  # fmt: skip


def compared_predictions(task: TaskName) -> frozenset[str]:
    """Columns of the scored row that are compared with the labels of a task."""
    return frozenset(prediction.column for prediction in _PREDICTIONS.get(task, ()))


def realised_accuracy(task: TaskName, scores: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Mean predictions and mean outcomes by group.

    Parameters
    ----------
    task
        Whose labels they are: one with `compared_predictions`.
    scores
        Scored rows with `ACCURACY_COLUMNS` as far as there are.
    labels
        Matured labels of the same snapshot.

    Returns
    -------
    DataFrame
        prediction (column of the scored row), by (``all``, ``value_tier``, ``stage``, or the band),
        group_name, customers, predicted and actual (means), low and high (95 % interval of the
        actual mean, from the spread of the customers' errors). Groups of fewer than 30 customers
        are left out, except ``all``.
    """
    group_rows = []
    for prediction in _PREDICTIONS[task]:
        if prediction.column not in scores:
            continue
        groups = [name for name in (prediction.band, *_GROUPS) if name in scores]
        present = scores.loc[
            scores[prediction.column].notna(), [CUSTOMER, prediction.column, *groups]
        ]
        rows = present.merge(labels[[CUSTOMER, prediction.outcome]], on=CUSTOMER)
        outcome = rows[prediction.outcome].to_numpy(dtype=np.float64)
        actual = (outcome > 0).astype(np.float64) if prediction.is_chance else outcome
        predicted = rows[prediction.column].to_numpy(dtype=np.float64)
        for by, group, inside in _positions(rows, groups):
            if by == "all" or len(inside) >= FEWEST_CUSTOMERS:
                named = {"prediction": prediction.column, "by": by, "group_name": group}
                group_rows.append(named | _compared(predicted[inside], actual[inside]))
    columns = ["prediction", "by", "group_name", "customers", "predicted", "actual", "low", "high"]
    return pd.DataFrame(group_rows, columns=columns)


def _positions(rows: pd.DataFrame, groups: list[str]) -> Iterator[tuple[str, str, Array]]:
    """Column, value and positions of the rows, for all rows and for each group."""
    yield "all", "all", np.arange(len(rows))
    for name in groups:
        for group, inside in sorted(rows.groupby(name, observed=True).indices.items()):
            yield name, str(group), inside


def _compared(predicted: Array, actual: Array) -> dict[str, float]:
    """Cells of a group: both means, and the interval of the actual one; NaN without customers."""
    customers = len(actual)
    mean = float(actual.mean()) if customers else float("nan")
    error = (
        float((actual - predicted).std(ddof=1)) / np.sqrt(customers)
        if customers > 1
        else float("nan")
    )
    return {
        "customers": customers,
        "predicted": float(predicted.mean()) if customers else float("nan"),
        "actual": mean,
        "low": mean - _ERRORS * error,
        "high": mean + _ERRORS * error,
    }
