"""A metric with its arguments, and the metrics of a binary outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from features.arrays import Array
from models.metrics import metrics


@dataclass(frozen=True)
class MetricCall:
    """A metric with its arguments.

    Attributes
    ----------
    metric
        Name of the metric in figures.
    function
        Function of `models.metrics.metrics`.
    arguments
        Arguments of the function, aligned row by row.
    """

    metric: str
    function: Callable[..., float]
    arguments: tuple[Any, ...]

    @property
    def value(self) -> float:
        """Value of the metric; NaN if it is not defined."""
        return self.function(*self.arguments)


def binary_metric_calls(
    target: Array, probability: Array | None, *, rank: Array
) -> list[MetricCall]:
    """Binary metrics; only ranking metrics if there is no probability."""
    calls = []
    if 0 < target.sum() < len(target):
        calls += [MetricCall("auc", metrics.auc, (target, rank))]
        calls += [MetricCall("lift_10", metrics.lift_10, (target, rank))]
    if probability is not None:
        calls += [
            MetricCall("log_loss", metrics.log_loss, (target, probability)),
            MetricCall("brier", metrics.brier, (target, probability)),
            MetricCall("ece", metrics.ece, (target, probability)),
            MetricCall("bias_pct", metrics.bias_pct, (target, probability)),
            MetricCall("rate", metrics.mean, (probability,)),
        ]
    return calls
