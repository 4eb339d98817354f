"""A task trained for use: tested before its gate, then refitted on all that has matured."""

from __future__ import annotations

from dataclasses import dataclass

from features.config.config import Config
from features.table.feature_store import Archive
from features.table.snapshot_builder import Task
from models.evaluation.evaluate import (
    CHAMPION,
    Figure,
    Result,
    evaluate,
    figures_of,
    predict,
    test_set,
)
from models.evaluation.leakage import Suspect, suspects
from models.fitting.training_set import TrainingSet, TrainingSummary, training_set
from models.scorer.part import Part
from models.tasks.training import fit_task
from models.tasks.tuning import TUNABLE_TASKS, TuningResult, tune


@dataclass(frozen=True)
class Trained:
    """A task fitted twice: before its gate, where it was tested, and on all that has matured.

    `leaks` are the features that alone told the outcome of the training data too well.
    `tuned` tells of the optional tuning before the gate, and `recipe` what the recipe's own
    settings would have had at the gate; empty where they were kept.
    """

    gated: Part
    part: Part
    result: Result
    learned: TrainingSummary
    leaks: tuple[Suspect, ...] = ()
    tuned: TuningResult | None = None
    recipe: tuple[Figure, ...] = ()


def train_one(archive: Archive, name: Task) -> Trained:
    """Fit one task before its gate, test it there, and refit it on all that has matured."""
    builder = archive.builder
    config, stages = builder.config, builder.taxonomy.names
    gated_data = training_set(archive, name, builder.gate(name))
    tuned = _tuned(gated_data, config, stages)
    settings = tuned.settings if tuned else {}
    gated = fit_task(gated_data, config, stages, threads=1, settings=settings)
    test = test_set(archive, name, builder.gate(name))
    result = evaluate(gated, gated_data, test, builder.horizon(name))
    recipe: tuple[Figure, ...] = ()
    if settings:
        plain = fit_task(gated_data, config, stages, threads=1)
        outputs = {CHAMPION: predict(plain, test.rows, test.everyone)}
        recipe = tuple(figures_of(test, outputs, builder.horizon(name)))
    data = training_set(archive, name, builder.last_snapshot)
    part = fit_task(data, config, stages, threads=1, settings=settings)
    leaks = tuple(suspects(data))
    return Trained(gated, part, result, TrainingSummary.of(data), leaks, tuned, recipe)


def _tuned(data: TrainingSet, config: Config, stages: list[str]) -> TuningResult | None:
    """Settings tuned on inner validation before the gate, where the config asks for it."""
    if config.tune is None or data.task not in TUNABLE_TASKS:
        return None
    return tune(data, config.tune, stages=stages, seed=config.seed, threads=1)
