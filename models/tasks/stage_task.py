"""The task stage: the life-cycle stage a customer is truly in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pandas as pd

from features.arrays import Array
from features.config.config import Config
from models.baselines import stage_baselines
from models.fitting.training_set import TrainingSet
from models.metrics import metrics
from models.metrics.metric_call import MetricCall
from models.scorer.part import Part
from models.scorer.stage import predict_stage
from models.tasks.stage import fit_stage, label_codes
from models.tasks.stage_from_crm import fit_recorded_stage
from models.tasks.task import Baseline, Outputs, Task, class_log_losses
from models.tasks.tuning import TuningProblem, class_problem


def _baseline(function: Callable[..., Outputs]) -> Baseline:
    return lambda data, part, rows: function(
        data.frame, rows, stages=len(part.parameters["stages"])
    )


class StagePrediction(Task):
    """Current stage."""

    name = "stage"
    description = (
        "the life-cycle stage a customer is truly in, told with hindsight from around the day"
    )
    baselines: ClassVar[Mapping[str, Baseline]] = {
        "frequency_table": _baseline(stage_baselines.frequency_table),
        "rule_only": _baseline(stage_baselines.rule_only),
    }

    def _fit(
        self,
        data: TrainingSet,
        config: Config,
        stages: list[str],
        threads: int,
        settings: Mapping[str, Any],
    ) -> Part:
        fit_recipe = fit_recorded_stage if config.stage.truth == "history" else fit_stage
        part = fit_recipe(
            data.frame,
            data.contexts,
            stages=stages,
            validation_at=data.validation_at,
            seed=config.seed,
            threads=threads,
            settings=settings,
        )
        if config.stage.late_days:
            # At prediction the part needs the features known so many days before.
            part.parameters["late_days"] = config.stage.late_days
        return part

    def predict(
        self, part: Part, rows: pd.DataFrame, context: Mapping[str, Any]
    ) -> dict[str, Array]:
        """Stage probabilities."""
        return predict_stage(part, rows, context)

    def metric_calls(self, outputs: Outputs, rows: pd.DataFrame) -> list[MetricCall]:
        """Metrics of the probabilities and of the most likely stage."""
        target = rows["truth_code"].to_numpy().astype(int)
        probability = outputs["probabilities"]
        predicted = outputs.get("code", probability.argmax(axis=1))
        return [
            MetricCall("log_loss", metrics.multiclass_log_loss, (target, probability)),
            MetricCall("brier", metrics.multiclass_brier, (target, probability)),
            MetricCall("macro_f1", metrics.macro_f1, (target, predicted)),
        ]

    def losses(self, outputs: Outputs, rows: pd.DataFrame) -> Array:
        """Log loss."""
        target = rows["truth_code"].to_numpy().astype(int)
        return class_log_losses(target, outputs["probabilities"])

    def tuning_problem(
        self, data: TrainingSet, stages: list[str], *, seed: int, threads: int
    ) -> TuningProblem | None:
        """Settings of the trees, by the latest matured snapshot."""
        return class_problem(
            data,
            lambda frame: label_codes(frame["truth_code"], len(stages)),
            len(stages),
            seed=seed,
            threads=threads,
        )

    def movers(self, rows: pd.DataFrame) -> pd.Series:
        """Customers with another true stage than the rule's."""
        return rows["truth_code"] != rows["stage__code"]
