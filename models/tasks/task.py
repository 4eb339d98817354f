"""`Task`: everything the rest of the project asks of a prediction task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from features.arrays import Array
from features.config.config import Config
from features.errors import UserError
from features.plugins import Plugin, refuse_taken
from features.table.feature_store import Archive
from features.table.prediction_targets import TaskName
from models.fitting.training_set import TrainingSet
from models.metrics.metric_call import MetricCall
from models.metrics.metrics import LEAST_SHARE, TWEEDIE_POWER
from models.scorer.part import Part
from models.tasks.tuning import TuningProblem

Outputs = Mapping[str, Array]
# Arguments: training set, served part, rows to predict. Returns None if the data do not allow it.
Baseline = Callable[[TrainingSet, Part, pd.DataFrame], Outputs | None]


@dataclass(frozen=True)
class Guard:
    """A figure of label and output, the lower the better, that no promotion may make worse.

    `tolerance` is absolute: a worsening below it is taken for noise.
    """

    name: str
    metric: Callable[[Any, Any], float]
    tolerance: float


def total_bias(target: Any, prediction: Any) -> float:
    """Absolute error of the total, as a share of the actual total."""
    target_total = float(np.sum(target))
    return abs(float(np.sum(prediction)) / target_total - 1.0) if target_total > 0 else np.nan


def binary_log_losses(target: Array, probability: Array) -> Array:
    """Log loss of every row of a binary outcome."""
    probability = np.clip(probability, 1e-6, 1 - 1e-6)
    return np.asarray(-(target * np.log(probability) + (1 - target) * np.log(1 - probability)))


def class_log_losses(target: Array, probability: Array) -> Array:
    """Log loss of every row of an outcome with several classes."""
    probability = np.clip(probability, 1e-4, None)
    probability = probability / probability.sum(axis=1, keepdims=True)
    return np.asarray(-np.log(probability[np.arange(len(probability)), target]))


def tweedie_losses(target: Array, predicted: Array) -> Array:
    """Tweedie deviance of every amount, over the mean of the actual ones.

    Twice the difference of log likelihoods, with power 1.5 (Jorgensen 1987, Journal of the Royal
    Statistical Society B 49); their mean is `models.metrics.metrics.tweedie`. 0 everywhere for an
    actual total of 0.
    """
    scale = float(np.mean(target)) if len(target) else 0.0
    if not scale > 0:
        return np.zeros(len(target))
    shares = np.maximum(target, 0.0) / scale
    expected = np.maximum(predicted / scale, LEAST_SHARE)
    one, two = 1.0 - TWEEDIE_POWER, 2.0 - TWEEDIE_POWER
    actual = shares**two / (one * two)
    return np.asarray(2.0 * (actual - shares * expected**one / one + expected**two / two))


def _plugin_baseline(plugin: Plugin) -> Baseline:
    """A baseline of another package: what it raises names the package."""

    def predict(data: TrainingSet, part: Part, rows: pd.DataFrame) -> Outputs | None:
        try:
            outputs: Outputs | None = plugin.content(data, part, rows)
        except Exception as error:  # whatever another package raises
            raise plugin.error(
                f"{type(error).__name__}: {error}", "a baseline that works on every data set"
            ) from error
        for name, values in (outputs or {}).items():
            if len(values) != len(rows):
                raise plugin.error(
                    f"{len(values)} values of {name}", f"one value a row: {len(rows)}"
                )
        return outputs

    return predict


class Task(ABC):
    """A prediction task: how it is fitted, predicts and is judged.

    Attributes
    ----------
    name
        The task; its label, horizon and snapshots are `features.table.prediction_targets`.
    description
        What it predicts, in words for cards and the report.
    label, output
        Columns of a task that predicts one number about what a customer decides, else None.
    loss_name
        Name of the mean of `losses`.
    baselines
        Simple methods by name, trained on the same snapshots.
    guards
        Figures that a promotion must not make worse, beside the mean loss.
    event_words
        Who has the `event`, in words; empty for a task without one.
    """

    name: ClassVar[TaskName]
    description: ClassVar[str]
    label: ClassVar[str | None] = None
    output: ClassVar[str | None] = None
    loss_name: ClassVar[str] = "log_loss"
    baselines: ClassVar[Mapping[str, Baseline]]
    guards: ClassVar[tuple[Guard, ...]] = ()
    event_words: ClassVar[str] = ""

    def all_baselines(self) -> Mapping[str, Baseline]:
        """The baselines of the task, then those of plug-ins; errors of those name their package.

        Raises
        ------
        UserError
            As `features.plugins.refuse_taken`.
        """
        taken = {f"{self.name}.{name}" for name in (*self.baselines, "champion", "served")}
        return {**self.baselines} | {
            plugin.name.partition(".")[2]: _plugin_baseline(plugin)
            for plugin in refuse_taken("baselines", taken)
            if plugin.name.startswith(f"{self.name}.")
        }

    def fit(
        self,
        data: TrainingSet,
        config: Config,
        stages: list[str],
        *,
        threads: int,
        settings: Mapping[str, Any] | None = None,
    ) -> Part:
        """Fit the served recipe.

        Parameters
        ----------
        data
            From `training_set`.
        config
            Horizons and seed.
        stages
            Stage names by code.
        threads
            Processors to use; the result does not depend on it.
        settings
            Tuned settings of the trees that replace the recipe's own (see `models.tasks.tuning`).

        Raises
        ------
        UserError
            If the data cannot train the task, for example with one class or without buyers.
        """
        try:
            return self._fit(data, config, stages, threads, settings or {})
        except ValueError as error:
            raise UserError(
                f"{self.name}: training",
                found=str(error),
                expected="matured snapshots from which this model can learn",
                hint="bring more history or customers, or change the task's horizon or grid",
            ) from error

    @abstractmethod
    def _fit(
        self,
        data: TrainingSet,
        config: Config,
        stages: list[str],
        threads: int,
        settings: Mapping[str, Any],
    ) -> Part: ...

    @abstractmethod
    def predict(
        self, part: Part, rows: pd.DataFrame, context: Mapping[str, Any]
    ) -> dict[str, Array]:
        """A part's outputs for some rows of a snapshot."""

    @abstractmethod
    def metric_calls(self, outputs: Outputs, rows: pd.DataFrame) -> list[MetricCall]:
        """All metrics of one method's outputs on labelled rows."""

    @abstractmethod
    def losses(self, outputs: Outputs, rows: pd.DataFrame) -> Array:
        """Loss of every labelled row; its mean is what a promotion compares."""

    def tuning_problem(
        self, data: TrainingSet, stages: list[str], *, seed: int, threads: int
    ) -> TuningProblem | None:
        """What tuning searches; None if the task or the data cannot be tuned."""
        return None

    def uncalibrated(self, part: Part) -> Part | None:
        """The part without its calibration map; None for a task that has no such map."""
        return None

    def tested_rows(self, rows: pd.DataFrame, config: Config) -> pd.DataFrame:
        """The labelled rows that figures are computed on."""
        return rows

    def leads(self, archive: Archive, rows: pd.DataFrame, at: int) -> pd.DataFrame | None:
        """Labelled rows of customers who never bought, for a task that predicts them as well."""
        return None

    def outcome(self, rows: pd.DataFrame) -> pd.Series | None:
        """The number whose mean is the base rate; None for a task without one."""
        return None

    def event(self, labels: pd.DataFrame) -> pd.Series:
        """True or 1 for customers with the event whose share is watched (`event_words`)."""
        raise NotImplementedError

    def movers(self, rows: pd.DataFrame) -> pd.Series | None:
        """Customers in another stage than it seemed; None for a task without them."""
        return None
