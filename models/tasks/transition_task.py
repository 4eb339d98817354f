"""The task transition: the next change of stage within the horizon."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from features.arrays import Array
from features.config.config import Config
from models.baselines import transition_baselines
from models.fitting.training_set import TrainingSet
from models.metrics import metrics
from models.metrics.metric_call import MetricCall
from models.scorer.part import Part
from models.scorer.transition import predict_transition
from models.tasks.task import Baseline, Outputs, Task, class_log_losses
from models.tasks.transition import fit_transition
from models.tasks.tuning import TuningProblem, class_problem


def _baseline(function: Callable[..., Outputs]) -> Baseline:
    return lambda data, part, rows: function(
        data.frame,
        rows,
        stages=len(part.parameters["stages"]),
        periods=part.parameters["periods"],
        period_days=part.parameters["period_days"],
    )


class TransitionPrediction(Task):
    """Next transition."""

    name = "transition"
    description = "the next change of stage, which it is and when, within the horizon"
    baselines: ClassVar[Mapping[str, Baseline]] = {
        "timer_table": _baseline(transition_baselines.timer_table),
        "semi_markov": _baseline(transition_baselines.semi_markov),
        "markov": _baseline(transition_baselines.markov),
    }
    event_words = "customers who changed stage"

    def _fit(
        self,
        data: TrainingSet,
        config: Config,
        stages: list[str],
        threads: int,
        settings: Mapping[str, Any],
    ) -> Part:
        return fit_transition(
            data.frame,
            data.contexts,
            validation_at=data.validation_at,
            stages=stages,
            periods=config.transition.periods,
            period_days=config.transition.period_days,
            fits=config.transition.fits,
            seed=config.seed,
            threads=threads,
            settings=settings,
        )

    def predict(
        self, part: Part, rows: pd.DataFrame, context: Mapping[str, Any]
    ) -> dict[str, Array]:
        """Probabilities of each destination and period."""
        return predict_transition(part, rows, context)

    def metric_calls(self, outputs: Outputs, rows: pd.DataFrame) -> list[MetricCall]:
        """Metrics of the destination, and of the time where a method predicts it."""
        probability, period = outputs["probabilities"], rows["period"].to_numpy().astype(int)
        destination = rows["next_code"].to_numpy().astype(int)
        target = np.where(period > 0, destination, probability.shape[1] - 1)
        moves = (probability[:, :-1], destination, period)
        calls = [
            MetricCall("log_loss", metrics.multiclass_log_loss, (target, probability)),
            MetricCall("brier", metrics.multiclass_brier, (target, probability)),
            MetricCall("top1_movers", metrics.top1_movers, moves),
            MetricCall("rate", metrics.mean, (1.0 - probability[:, -1],)),
        ]
        if "cif" in outputs:
            # rows x stages x periods -> rows x periods x stages
            incidences = np.swapaxes(outputs["cif"], 1, 2)
            timing = (incidences.sum(axis=2), period)
            calls += [
                MetricCall(
                    "integrated_brier", metrics.integrated_brier, (incidences, destination, period)
                ),
                MetricCall("median_time_mae", metrics.median_time_mae, timing),
            ]
        return calls

    def losses(self, outputs: Outputs, rows: pd.DataFrame) -> Array:
        """Log loss of the destination; no change is one of them."""
        probability = outputs["probabilities"]
        has_moved = rows["period"].to_numpy() > 0
        target = np.where(has_moved, rows["next_code"], probability.shape[1] - 1).astype(int)
        return class_log_losses(target, probability)

    def tuning_problem(
        self, data: TrainingSet, stages: list[str], *, seed: int, threads: int
    ) -> TuningProblem | None:
        """Settings of the destination's trees, by the latest matured snapshot."""

        def destinations(frame: pd.DataFrame) -> Array:
            periods = int(max(frame["period"].max(), 1))
            codes = transition_baselines.transition_cells(
                frame, stages=len(stages), periods=periods
            )
            return np.minimum(codes // periods, len(stages))

        return class_problem(data, destinations, len(stages) + 1, seed=seed, threads=threads)

    def outcome(self, rows: pd.DataFrame) -> pd.Series:
        """1 for customers who change stage."""
        return self.movers(rows).astype(np.float64)

    def event(self, labels: pd.DataFrame) -> pd.Series:
        """True for customers who changed stage."""
        return self.movers(labels)

    def movers(self, rows: pd.DataFrame) -> pd.Series:
        """Customers who changed stage."""
        return rows["period"] > 0
