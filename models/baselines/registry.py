"""List the baselines of every task, trained on the same snapshots as the served recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from models.baselines import churn_baselines, clv_baselines, stage_baselines, transition_baselines
from models.fitting.training_set import TrainingSet
from models.scorer.part import Part

_Outputs = Mapping[str, np.ndarray[Any, Any]]
# Arguments: training set, served part, rows to predict, scoring context of their snapshot. Returns
# None if the data do not allow the baseline.
_Baseline = Callable[[TrainingSet, Part, pd.DataFrame, Mapping[str, Any]], _Outputs | None]


def _stage(function: Callable[..., _Outputs]) -> _Baseline:
    def run(
        data: TrainingSet, part: Part, rows: pd.DataFrame, context: Mapping[str, Any]
    ) -> _Outputs:
        return function(data.frame, rows, stages=len(part.parameters["stages"]))

    return run


def _transition(function: Callable[..., _Outputs]) -> _Baseline:
    def run(
        data: TrainingSet, part: Part, rows: pd.DataFrame, context: Mapping[str, Any]
    ) -> _Outputs:
        names, periods = part.parameters["stages"], part.parameters["periods"]
        return function(
            data.frame,
            rows,
            stages=len(names),
            periods=periods,
            period_days=part.parameters["period_days"],
        )

    return run


def _bg_nbd(
    data: TrainingSet, part: Part, rows: pd.DataFrame, context: Mapping[str, Any]
) -> _Outputs | None:
    horizon = int(part.parameters["horizon_days"])
    return churn_baselines.bg_nbd(data.at_origin, rows, horizon_days=horizon)


def _plain_gbm(
    data: TrainingSet, part: Part, rows: pd.DataFrame, context: Mapping[str, Any]
) -> _Outputs | None:
    return clv_baselines.plain_gbm(data.frame, rows, seed=0, threads=1)


BASELINES: dict[str, dict[str, _Baseline]] = {
    "stage": {
        "frequency_table": _stage(stage_baselines.frequency_table),
        "rule_only": _stage(stage_baselines.rule_only),
    },
    "transition": {
        "timer_table": _transition(transition_baselines.timer_table),
        "semi_markov": _transition(transition_baselines.semi_markov),
        "markov": _transition(transition_baselines.markov),
    },
    "churn": {
        "rfm": lambda data, part, rows, context: churn_baselines.one_snapshot_rfm(data.frame, rows),
        "recency": lambda data, part, rows, context: churn_baselines.recency_only(data.frame, rows),
        "bg_nbd": _bg_nbd,
    },
    "clv": {
        "btyd": lambda data, part, rows, context: clv_baselines.btyd_spend(part, rows),
        "gbm": _plain_gbm,
        "same_again": lambda data, part, rows, context: clv_baselines.repeat_spend(
            rows, int(part.parameters["horizon_days"])
        ),
        "mean": lambda data, part, rows, context: clv_baselines.mean_spend(data.frame, rows),
    },
}
