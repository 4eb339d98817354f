"""A task trained for use: tested before its gate, then refitted on all that has matured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True)
class Tested:
    """A task fitted before its gate and tested there: the first half of `Trained`."""

    gated: Part
    result: Evaluation
    baselines: tuple[Comparison, ...]
    tuned: TuningResult | None
    recipe: tuple[MetricFigure, ...]


@dataclass(frozen=True)
class Refitted:
    """A task fitted on all that has matured: the second half of `Trained`."""

    part: Part
    learned: TrainingSummary
    leaks: tuple[LeakSuspect, ...]


def train_one(archive: Archive, name: TaskName) -> Trained:
    """Fit one task before its gate, test it there, and refit it on all that has matured."""
    tested = fit_and_test(archive, name)
    settings = tested.tuned.settings if tested.tuned else {}
    return trained_task(tested, refit_on_all(archive, name, settings))


def trained_task(tested: Tested, refitted: Refitted) -> Trained:
    """Both halves of the training of a task."""
    return Trained(
        tested.gated,
        refitted.part,
        tested.result,
        refitted.learned,
        refitted.leaks,
        tested.baselines,
        tested.tuned,
        tested.recipe,
    )


def fit_and_test(archive: Archive, name: TaskName) -> Tested:
    """Fit one task before its gate, and test it and its baselines there."""
    builder = archive.builder
    config, stages, task = builder.config, builder.taxonomy.names, TASKS[name]
    gated_data, gated_part, tuned = fit_before(archive, name, builder.gates(name)[0])
    test_rows = labelled_test_set(archive, name, builder.gate(name))
    evaluation = evaluate_part(gated_part, gated_data, test_rows, builder.horizon(name))
    untuned_figures: tuple[MetricFigure, ...] = ()
    if tuned and tuned.settings:
        untuned_part = task.fit(gated_data, config, stages, threads=1)
        outputs = {CHAMPION_METHOD: predict_part(untuned_part, test_rows.rows, test_rows.everyone)}
        untuned_figures = tuple(metric_figures(test_rows, outputs, builder.horizon(name)))
    return Tested(gated_part, evaluation, baseline_comparisons(evaluation), tuned, untuned_figures)


def refit_on_all(
    archive: Archive, name: TaskName, settings: Mapping[str, Any] | None = None
) -> Refitted:
    """Fit one task on all that has matured by the last snapshot.

    Parameters
    ----------
    archive
        The data set.
    name
        The task.
    settings
        Tuned settings of its trees; None for the recipe's own.
    """
    builder = archive.builder
    config, stages = builder.config, builder.taxonomy.names
    training_data = training_set(archive, name, builder.last_snapshot)
    part = TASKS[name].fit(training_data, config, stages, threads=1, settings=settings)
    return Refitted(part, TrainingSummary.of(training_data), tuple(leak_suspects(training_data)))


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
