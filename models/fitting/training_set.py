"""What a task may learn from as of an origin: its matured snapshots with features and labels."""

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
from features.table.snapshot_builder import Task
from models.scorer.derived_features import population_context, population_sums


@dataclass(frozen=True)
class TrainingSet:
    """What a task may learn from when it is used at an origin.

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
        Scoring context of each snapshot, made from everyone who existed then.
    at_origin
        Feature frame of the origin itself, without labels.
    at_validation
        Feature frame of everyone at the latest matured snapshot, without labels.
    """

    task: Task
    origin: int
    frame: pd.DataFrame
    contexts: Mapping[pd.Timestamp, dict[str, Any]]
    at_origin: pd.DataFrame
    at_validation: pd.DataFrame

    @property
    def validation_at(self) -> pd.Timestamp:
        """The latest matured snapshot: early stopping, guard and interval look at it."""
        return pd.Timestamp(self.frame[SNAPSHOT].max())

    @property
    def first_at(self) -> pd.Timestamp:
        """The earliest training snapshot."""
        return pd.Timestamp(self.frame[SNAPSHOT].min())


@dataclass(frozen=True)
class LearnedFrom:
    """What a fit has seen, in numbers.

    Attributes
    ----------
    rows, snapshots
        Rows, and how many snapshots they belong to.
    first_at, validation_at
        The earliest and the latest of them.
    origin
        Day number as of which it was fitted.
    """

    rows: int
    snapshots: int
    first_at: pd.Timestamp
    validation_at: pd.Timestamp
    origin: int

    @classmethod
    def of(cls, data: TrainingSet) -> LearnedFrom:
        """Summary of a training set."""
        return cls(
            rows=len(data.frame),
            snapshots=int(data.frame[SNAPSHOT].nunique()),
            first_at=data.first_at,
            validation_at=data.validation_at,
            origin=data.origin,
        )


def labelled(features: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Features of the customers that have a label, with it, in the order of the labels."""
    extra = [c for c in labels.columns if c not in KEY]
    rows = features.set_index(CUSTOMER).loc[labels[CUSTOMER]].reset_index()
    return rows.assign(**{name: labels[name].to_numpy() for name in extra})


def with_channel(archive: Archive, task: Task, frame: pd.DataFrame, at: int) -> pd.DataFrame:
    """Feature frame with ``preferred_channel``, for the tasks that back off to it.

    Data that know no channels, or call them sensitive, get no such column.
    """
    config = archive.builder.config
    known = any(source.columns.channel for source in config.sources)
    if task not in ("churn", "clv") or not known or "channel" in config.sensitive:
        return frame
    channels = archive.builder.channels(at)
    return frame.assign(preferred_channel=channels.reindex(frame[CUSTOMER]).to_numpy())


def training_set(archive: Archive, task: Task, origin: int) -> TrainingSet:
    """Matured snapshots of a task, with labels, as of an origin (day number).

    Raises
    ------
    UserError
        Where no label has matured by the origin.
    """
    builder = archive.builder
    frames, contexts = [], {}
    for at in builder.training_days(task, origin):
        features = with_channel(archive, task, archive.inputs(task, at), at)
        contexts[snapshot_stamp(at)] = population(features)
        frames.append(labelled(features, builder.labels(task, at)))
    rows = sum(len(frame) for frame in frames)
    if rows == 0:
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
        at_origin=with_channel(archive, task, archive.inputs(task, origin), origin),
        at_validation=features,
    )


def population(features: pd.DataFrame) -> dict[str, Any]:
    """Population part of the scoring context of one snapshot."""
    return population_context(population_sums(features))
