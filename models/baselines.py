"""The baselines of every task, trained on the same snapshots as the served recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from models import stage_baselines, transition_baselines
from models.inference import Part
from models.training import TrainingSet

Outputs = Mapping[str, np.ndarray[Any, Any]]
# What it learned from, the served part, the rows to predict and the context of their snapshot;
# None where the data do not allow the baseline.
Baseline = Callable[[TrainingSet, Part, pd.DataFrame, Mapping[str, Any]], Outputs | None]


def _stage(function: Callable[..., Outputs]) -> Baseline:
    def run(
        data: TrainingSet, part: Part, rows: pd.DataFrame, context: Mapping[str, Any]
    ) -> Outputs:
        return function(data.frame, rows, stages=len(part.parameters["stages"]))

    return run


def _transition(function: Callable[..., Outputs]) -> Baseline:
    def run(
        data: TrainingSet, part: Part, rows: pd.DataFrame, context: Mapping[str, Any]
    ) -> Outputs:
        names, periods = part.parameters["stages"], part.parameters["periods"]
        return function(
            data.frame,
            rows,
            stages=len(names),
            periods=periods,
            period_days=part.parameters["period_days"],
        )

    return run


BASELINES: dict[str, dict[str, Baseline]] = {
    "stage": {
        "frequency_table": _stage(stage_baselines.frequency_table),
        "rule_only": _stage(stage_baselines.rule_only),
    },
    "transition": {
        "timer_table": _transition(transition_baselines.timer_table),
        "semi_markov": _transition(transition_baselines.semi_markov),
        "markov": _transition(transition_baselines.markov),
    },
    "churn": {},
    "clv": {},
}
