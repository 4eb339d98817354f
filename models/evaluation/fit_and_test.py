"""A task trained for use: tested before its gate, then refitted on all that has matured."""

from __future__ import annotations

from dataclasses import dataclass

from features.config.config import Config
from features.contracts import CUSTOMER
from features.table.feature_store import Archive
from features.table.prediction_targets import TaskName
from models.evaluation.comparison import Comparison, compare_losses
from models.evaluation.evaluate import (
    CHAMPION_METHOD,
    Evaluation,
    MetricFigure,
    evaluate_part,
    labelled_test_set,
    metric_figures,
    predict_part,
)
from models.evaluation.leakage import LeakSuspect, leak_suspects
from models.fitting.training_set import TrainingSet, TrainingSummary, training_set
from models.scorer.part import Part
from models.tasks.all_tasks import TASKS
from models.tasks.tuning import TuningResult, tune


@dataclass(frozen=True)
class Trained:
    """A task fitted twice: before its gate, where it was tested, and on all that has matured.

    `leaks` are the features that alone told the outcome of the training data too well.
    `baselines` compares it with each baseline by the loss of a promotion.
    `tuned` tells of the optional tuning before the gate, and `recipe` what the recipe's own
    settings would have had at the gate; empty where they were kept.
    """

    gated: Part
    part: Part
    result: Evaluation
    learned: TrainingSummary
    leaks: tuple[LeakSuspect, ...] = ()
    baselines: tuple[Comparison, ...] = ()
    tuned: TuningResult | None = None
    recipe: tuple[MetricFigure, ...] = ()


def train_one(archive: Archive, name: TaskName) -> Trained:
    """Fit one task before its gate, test it there, and refit it on all that has matured."""
    builder = archive.builder
    config, stages, task = builder.config, builder.taxonomy.names, TASKS[name]
    gated_data, gated_part, tuned = fit_before(archive, name, builder.gates(name)[0])
    settings = tuned.settings if tuned else {}
    test_rows = labelled_test_set(archive, name, builder.gate(name))
    evaluation = evaluate_part(gated_part, gated_data, test_rows, builder.horizon(name))
    untuned_figures: tuple[MetricFigure, ...] = ()
    if settings:
        untuned_part = task.fit(gated_data, config, stages, threads=1)
        outputs = {CHAMPION_METHOD: predict_part(untuned_part, test_rows.rows, test_rows.everyone)}
        untuned_figures = tuple(metric_figures(test_rows, outputs, builder.horizon(name)))
    training_data = training_set(archive, name, builder.last_snapshot)
    served_part = task.fit(training_data, config, stages, threads=1, settings=settings)
    suspects = tuple(leak_suspects(training_data))
    return Trained(
        gated_part,
        served_part,
        evaluation,
        TrainingSummary.of(training_data),
        suspects,
        baseline_comparisons(evaluation),
        tuned,
        untuned_figures,
    )


def fit_before(
    archive: Archive, name: TaskName, origin: int
) -> tuple[TrainingSet, Part, TuningResult | None]:
    """Fit a task on the labels that had matured by an origin (day number)."""
    config, stages = archive.builder.config, archive.builder.taxonomy.names
    data = training_set(archive, name, origin)
    tuned = _tuned(data, config, stages)
    settings = tuned.settings if tuned else {}
    return data, TASKS[name].fit(data, config, stages, threads=1, settings=settings), tuned


def baseline_comparisons(evaluation: Evaluation) -> tuple[Comparison, ...]:
    """The served recipe against each baseline, by the loss of the task."""
    test, outputs = evaluation.test, evaluation.outputs
    task, customers = TASKS[test.task], test.rows[CUSTOMER].to_numpy()
    served = task.losses(outputs[CHAMPION_METHOD], test.rows)
    return tuple(
        compare_losses(
            test.task,
            task.loss_name,
            customers,
            served,
            task.losses(method_outputs, test.rows),
            against=method,
        )
        for method, method_outputs in outputs.items()
        if method != CHAMPION_METHOD
    )


def _tuned(data: TrainingSet, config: Config, stages: list[str]) -> TuningResult | None:
    """Settings tuned on inner validation before the gate, where the config asks for it."""
    if config.tune is None:
        return None
    problem = TASKS[data.task].tuning_problem(data, stages, seed=config.seed, threads=1)
    return None if problem is None else tune(problem, config.tune, seed=config.seed)
