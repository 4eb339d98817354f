"""The training set of a task as of an origin: features and labels of its matured snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from features.calendar import day_date
from features.contracts import CUSTOMER, KEY, SNAPSHOT
from features.errors import UserError
from features.table.customer_profile import snapshot_stamp
from features.table.feature_store import Archive
from features.table.prediction_targets import TaskName
from models.scorer.derived_features import population_context, population_sums


@dataclass(frozen=True)
class TrainingSet:
    """Training rows of a task as of an origin, and what is known at the origin itself.

    Attributes
    ----------
    task
        The task.
    origin
        Day number; every label in `frame` has matured by it.
    frame
        Features joined with labels: one row a customer and training snapshot of the task's
        population.
    contexts
        Scoring context of each snapshot, from all customers who existed then.
    at_origin
        Feature frame of the origin itself, without labels.
    purchase_counts
        Purchase counts and contracts of all customers at each snapshot: the columns ``btyd__*``
        and ``contract__*``.
    """

    task: TaskName
    origin: int
    frame: pd.DataFrame
    contexts: Mapping[pd.Timestamp, dict[str, Any]]
    at_origin: pd.DataFrame
    purchase_counts: Mapping[pd.Timestamp, pd.DataFrame]

    @property
    def validation_at(self) -> pd.Timestamp:
        """The latest matured snapshot: used for early stopping, the guard and intervals."""
        return pd.Timestamp(self.frame[SNAPSHOT].max())

    @property
    def first_at(self) -> pd.Timestamp:
        """The earliest training snapshot."""
        return pd.Timestamp(self.frame[SNAPSHOT].min())


@dataclass(frozen=True)
class TrainingSummary:
    """Size and dates of the data that a model was fitted on.

    Attributes
    ----------
    rows, snapshots
        Number of rows and of snapshots.
    first_at, validation_at
        The earliest and the latest snapshot.
    origin
        Day number of the training date.
    """

    rows: int
    snapshots: int
    first_at: pd.Timestamp
    validation_at: pd.Timestamp
    origin: int

    @classmethod
    def of(cls, training: TrainingSet) -> TrainingSummary:
        """Summary of a training set."""
        return cls(
            rows=len(training.frame),
            snapshots=int(training.frame[SNAPSHOT].nunique()),
            first_at=training.first_at,
            validation_at=training.validation_at,
            origin=training.origin,
        )


def join_labels(features: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Features and labels of the customers that have a label, in the order of the labels."""
    label_columns = [c for c in labels.columns if c not in KEY]
    labelled_rows = features.set_index(CUSTOMER).loc[labels[CUSTOMER]].reset_index()
    return labelled_rows.assign(**{name: labels[name].to_numpy() for name in label_columns})


def add_channel(archive: Archive, task: TaskName, frame: pd.DataFrame, day: int) -> pd.DataFrame:
    """Add ``preferred_channel`` to the feature frame of churn and CLV, which back off to it.

    No column is added if the data have no channels or the config declares them sensitive.
    """
    if not archive.builder.targets[task].reads_channel:
        return frame
    channels = archive.builder.channels(day)
    return frame.assign(preferred_channel=channels.reindex(frame[CUSTOMER]).to_numpy())


def training_set(archive: Archive, task: TaskName, origin: int) -> TrainingSet:
    """Matured snapshots of a task, with labels, as of an origin (day number).

    Raises
    ------
    UserError
        If no label has matured by the origin.
    """
    builder = archive.builder
    frames, contexts, counts = [], {}, {}
    for day in builder.training_days(task, origin):
        features = add_channel(archive, task, archive.inputs(task, day), day)
        contexts[snapshot_stamp(day)] = snapshot_population(features)
        counts[snapshot_stamp(day)] = features.filter(regex="^(btyd|contract)__")
        frames.append(join_labels(features, builder.labels(task, day)))
    row_count = sum(len(frame) for frame in frames)
    if row_count == 0:
        raise UserError(
            f"{task}: training snapshots",
            found=f"none with a matured label by {day_date(origin)}",
            expected=f"at least one: history before it, {builder.horizon(task)} days after it",
            hint="bring a longer history, an earlier `train.from`, or a shorter horizon",
        )
    return TrainingSet(
        task,
        origin,
        pd.concat(frames, ignore_index=True),
        contexts,
        at_origin=add_channel(archive, task, archive.inputs(task, origin), origin),
        purchase_counts=counts,
    )


def snapshot_population(features: pd.DataFrame) -> dict[str, Any]:
    """Population part of the scoring context of one snapshot."""
    return population_context(population_sums(features))
