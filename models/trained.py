"""A task trained for use: tested before its gate, then refitted on all that has matured."""

from __future__ import annotations

from dataclasses import dataclass

from features.archive import Archive
from features.build import Task
from models.evaluation import Result, evaluate, test_set
from models.inference import Part
from models.leaks import Suspect, suspects
from models.training import LearnedFrom, fit, training_set


@dataclass(frozen=True)
class Trained:
    """A task fitted twice: before its gate, where it was tested, and on all that has matured.

    `leaks` are the features that alone told the outcome of the training data too well.
    """

    gated: Part
    part: Part
    result: Result
    learned: LearnedFrom
    leaks: tuple[Suspect, ...] = ()


def train_one(archive: Archive, name: Task) -> Trained:
    """Fit one task before its gate, test it there, and refit it on all that has matured."""
    builder = archive.builder
    gated_data = training_set(archive, name, builder.gate(name))
    gated = fit(gated_data, builder.config, builder.taxonomy.names, threads=1)
    test = test_set(archive, name, builder.gate(name))
    result = evaluate(gated, gated_data, test, builder.horizon(name))
    data = training_set(archive, name, builder.last_snapshot)
    part = fit(data, builder.config, builder.taxonomy.names, threads=1)
    return Trained(gated, part, result, LearnedFrom.of(data), tuple(suspects(data)))
