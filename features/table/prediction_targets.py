"""Targets: what each task predicts, how far ahead, and on which snapshots it trains.

The only module that imports `labels`, which look at or after a snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import pandas as pd

from features.config.config import Config
from features.config.tasks import TrainGrid
from features.history.history import History
from features.lifecycle.crm_stage_history import StageRecords
from features.lifecycle.taxonomy import Taxonomy
from features.table import labels

TaskName = Literal["stage", "transition", "churn", "clv"]
TASK_NAMES: tuple[TaskName, ...] = get_args(TaskName)


@dataclass(frozen=True)
class PredictionTarget:
    """What a task predicts, as a config defines it.

    Attributes
    ----------
    name
        The task.
    horizon_days
        Days after a snapshot that the label looks at, or waits for late data.
    grid
        The task's own grid of training snapshots.
    labels
        Label frame of a history at a snapshot (see `features.table.labels`).
    delay_days
        Days before a snapshot of which the task's features know nothing.
    reads_channel
        Whether its features include the customer's preferred channel.
    """

    name: TaskName
    horizon_days: int
    grid: TrainGrid
    labels: Callable[[History, int], pd.DataFrame]
    delay_days: int = 0
    reads_channel: bool = False


def prediction_targets(
    config: Config,
    taxonomy: Taxonomy,
    records: Callable[[], StageRecords],
    roles: Collection[str],
) -> dict[TaskName, PredictionTarget]:
    """The target of every task.

    `records` gives the stage records where they are the truth, `roles` are those with events.
    """
    targets = (
        _stage(config, taxonomy, records, roles),
        _transition(config, taxonomy),
        _churn(config),
        _clv(config),
    )
    return {target.name: target for target in targets}


def _stage(
    config: Config,
    taxonomy: Taxonomy,
    records: Callable[[], StageRecords],
    roles: Collection[str],
) -> PredictionTarget:
    if config.stage.truth == "history":
        stage_labels = partial(_recorded_labels, records=records, settle_days=config.settle_days)
    else:
        stage_labels = partial(
            labels.stage_labels,
            taxonomy=taxonomy,
            task=config.stage,
            settle_days=config.settle_days,
            roles=roles,
        )
    return PredictionTarget(
        "stage",
        labels.stage_reach(taxonomy, config.stage, roles),
        config.stage.train,
        stage_labels,
        delay_days=config.stage.late_days,
    )


def _recorded_labels(
    history: History, at: int, *, records: Callable[[], StageRecords], settle_days: int
) -> pd.DataFrame:
    return labels.recorded_labels(history, records(), at, settle_days=settle_days)


def _transition(config: Config, taxonomy: Taxonomy) -> PredictionTarget:
    transition_labels = partial(
        labels.transition_labels,
        taxonomy=taxonomy,
        periods=config.transition.periods,
        period_days=config.transition.period_days,
    )
    horizon_days = config.transition.horizon_days
    return PredictionTarget("transition", horizon_days, config.transition.train, transition_labels)


def _churn(config: Config) -> PredictionTarget:
    churn_labels = partial(
        labels.churn_labels,
        task=config.churn,
        settle_days=config.settle_days,
        activity_days=config.activity_days,
    )
    return PredictionTarget(
        "churn",
        config.churn.horizon_days,
        config.churn.train,
        churn_labels,
        reads_channel=_has_channels(config),
    )


def _clv(config: Config) -> PredictionTarget:
    clv_labels = partial(
        labels.clv_labels,
        horizon_days=config.clv.horizon_days,
        settle_days=config.settle_days,
        refunds=config.refunds,
        minor_units=config.minor_units,
    )
    return PredictionTarget(
        "clv",
        config.clv.horizon_days,
        config.clv.train,
        clv_labels,
        reads_channel=_has_channels(config),
    )


def _has_channels(config: Config) -> bool:
    has_channels = any(source.columns.channel for source in config.sources)
    return has_channels and "channel" not in config.sensitive
