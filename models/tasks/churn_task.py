"""The task churn: no purchase within the horizon, of recently active customers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from features.arrays import Array
from features.config.config import Config
from features.errors import UserError
from models.baselines import churn_baselines
from models.fitting.binary_ensemble import TwoClassRecipe
from models.fitting.calibration import NO_CALIBRATION
from models.fitting.training_set import TrainingSet
from models.metrics import metrics
from models.metrics.metric_call import MetricCall, binary_metric_calls
from models.scorer.churn import predict_churn
from models.scorer.part import Part
from models.tasks.churn import fit_churn
from models.tasks.task import Baseline, Guard, Outputs, Task, binary_log_losses, total_bias
from models.tasks.tuning import TuningProblem, churn_problem


def _bg_nbd(data: TrainingSet, part: Part, rows: pd.DataFrame) -> Outputs | None:
    horizon = int(part.parameters["horizon_days"])
    return churn_baselines.bg_nbd(data.at_origin, rows, horizon_days=horizon)


def _contract_renewals(data: TrainingSet, part: Part, rows: pd.DataFrame) -> Outputs | None:
    horizon = int(part.parameters["horizon_days"])
    return churn_baselines.contract_renewals(data.frame, data.at_origin, rows, horizon_days=horizon)


class ChurnPrediction(Task):
    """Churn risk."""

    name = "churn"
    description = "the probability of no purchase within the horizon, for recently active customers"
    label, output = "no_purchase", "p_churn"
    baselines: ClassVar[Mapping[str, Baseline]] = {
        "rfm": lambda data, part, rows: churn_baselines.one_snapshot_rfm(data.frame, rows),
        "mean": lambda data, part, rows: churn_baselines.base_rate(data.frame, rows),
        "recency": lambda data, part, rows: churn_baselines.recency_only(data.frame, rows),
        "bg_nbd": _bg_nbd,
        "contract": _contract_renewals,
    }
    guards = (
        Guard("1 - AUC", lambda target, output: 1.0 - metrics.auc(target, output), 0.005),
        Guard("total bias", total_bias, 0.02),
        Guard("calibration error", metrics.ece, 0.01),
    )
    event_words = "eligible customers who bought"

    def _fit(
        self,
        data: TrainingSet,
        config: Config,
        stages: list[str],
        threads: int,
        settings: Mapping[str, Any],
    ) -> Part:
        _require_two_classes(data)
        return fit_churn(
            data.frame,
            data.contexts,
            validation_at=data.validation_at,
            horizon_days=config.churn.horizon_days,
            activity_days=config.activity_days,
            by=config.churn.by,
            recipe=replace(TwoClassRecipe(), calibration=config.churn.calibration, **settings),
            purchase_counts=data.purchase_counts,
            at_origin=data.at_origin,
            seed=config.seed,
            threads=threads,
        )

    def predict(
        self, part: Part, rows: pd.DataFrame, context: Mapping[str, Any]
    ) -> dict[str, Array]:
        """Churn probabilities."""
        return predict_churn(part, rows, context)

    def metric_calls(self, outputs: Outputs, rows: pd.DataFrame) -> list[MetricCall]:
        """Binary metrics."""
        target, probability = rows["no_purchase"].to_numpy(dtype=np.float64), outputs["p_churn"]
        return binary_metric_calls(target, probability, rank=probability)

    def losses(self, outputs: Outputs, rows: pd.DataFrame) -> Array:
        """Log loss."""
        return binary_log_losses(rows["no_purchase"].to_numpy(), outputs["p_churn"])

    def tuning_problem(
        self, data: TrainingSet, stages: list[str], *, seed: int, threads: int
    ) -> TuningProblem | None:
        """Settings of the trees, by held-out customers."""
        return churn_problem(data, seed=seed, threads=threads)

    def uncalibrated(self, part: Part) -> Part:
        """The part with raw probabilities."""
        return replace(part, parameters={**part.parameters, "calibration": NO_CALIBRATION})

    def outcome(self, rows: pd.DataFrame) -> pd.Series:
        """1 for customers who stay away."""
        return rows["no_purchase"].astype(np.float64)

    def event(self, labels: pd.DataFrame) -> pd.Series:
        """1 for eligible customers who bought."""
        return 1 - labels["no_purchase"]


def _require_two_classes(data: TrainingSet) -> None:
    outcomes = data.frame["no_purchase"].unique()
    if len(outcomes) < 2:
        behaviour = "bought again" if 0.0 in outcomes else "stayed away"
        raise UserError(
            "churn: labels",
            found=f"one class only: all {len(data.frame)} eligible customers {behaviour} within "
            "the horizon",
            expected="some customers who bought within churn.horizon_days and some who did not",
            hint="change churn.horizon_days or activity_days, or bring more history",
        )
