"""The metrics of each task, and the arguments of each metric."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.arrays import Array
from models.metrics import metrics

# Figures shown for each model beside its simplest baseline.
HEADLINES = {
    "stage": ("log_loss", "brier"),
    "transition": ("log_loss", "integrated_brier", "top1_movers"),
    "churn": ("auc", "log_loss", "ece"),
    "clv": ("mae", "rmse", "bias_pct", "gini", "coverage"),
    "lead": ("auc", "lift_10", "log_loss", "ece"),
}
MethodOutputs = Mapping[str, Array]

# Descriptive figures: higher is neither better nor worse.
DESCRIPTIVE = frozenset(
    {
        "coverage",
        "width_ratio",
        "rate",
        "actual_rate",
        "known_rate",
        "known_rate_least",
        "known_rate_most",
    }
)
HIGHER_IS_BETTER = frozenset(
    {"auc", "lift_10", "spearman", "gini", "top10", "top1_movers", "macro_f1"}
)


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


def metric_calls(task: str, out: MethodOutputs, rows: pd.DataFrame) -> list[MetricCall]:
    """All metrics of a task for one method's outputs on labelled rows."""
    return _MEASURES[task](out, rows)


def _churn(out: MethodOutputs, rows: pd.DataFrame) -> list[MetricCall]:
    target, probability = rows["no_purchase"].to_numpy(dtype=np.float64), out["p_churn"]
    return _chance(target, probability, rank=probability)


def _chance(target: Array, probability: Array | None, *, rank: Array) -> list[MetricCall]:
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


def lead_metric_calls(out: MethodOutputs, leads: pd.DataFrame) -> list[MetricCall]:
    """All metrics of one method's outputs (``p`` or ``rank``) on labelled leads."""
    target = (leads["orders"] > 0).to_numpy(dtype=np.float64)
    probability = out.get("p")
    rank = out.get("rank", probability)
    return [] if rank is None or np.isnan(rank).any() else _chance(target, probability, rank=rank)


def _clv(out: MethodOutputs, rows: pd.DataFrame) -> list[MetricCall]:
    target, prediction = rows["spend"].to_numpy(dtype=np.float64), out["clv"]
    calls = [
        MetricCall("mae", metrics.mae, (target, prediction)),
        MetricCall("rmse", metrics.rmse, (target, prediction)),
        MetricCall("rate", metrics.mean, (prediction,)),
    ]
    if target.sum() > 0:
        calls += [
            MetricCall("bias_pct", metrics.bias_pct, (target, prediction)),
            MetricCall("spearman", metrics.spearman, (target, prediction)),
            MetricCall("gini", metrics.gini, (target, prediction)),
            MetricCall("top10", metrics.top10, (target, prediction)),
            MetricCall("decile_error", metrics.decile_error, (target, prediction)),
        ]
    if "clv_low" in out:
        interval = (target, out["clv_low"], out["clv_high"])
        calls += [MetricCall("coverage", metrics.coverage, interval)]
        if target.sum() > 0:
            calls += [MetricCall("width_ratio", metrics.width_ratio, interval)]
    return calls


def _stage(out: MethodOutputs, rows: pd.DataFrame) -> list[MetricCall]:
    target, probability = rows["truth_code"].to_numpy().astype(int), out["probabilities"]
    predicted = out.get("code", probability.argmax(axis=1))
    return [
        MetricCall("log_loss", metrics.multiclass_log_loss, (target, probability)),
        MetricCall("brier", metrics.multiclass_brier, (target, probability)),
        MetricCall("macro_f1", metrics.macro_f1, (target, predicted)),
    ]


def _transition(out: MethodOutputs, rows: pd.DataFrame) -> list[MetricCall]:
    probability, period = out["probabilities"], rows["period"].to_numpy().astype(int)
    destination = rows["next_code"].to_numpy().astype(int)
    target = np.where(period > 0, destination, probability.shape[1] - 1)
    calls = [
        MetricCall("log_loss", metrics.multiclass_log_loss, (target, probability)),
        MetricCall("brier", metrics.multiclass_brier, (target, probability)),
        MetricCall("top1_movers", metrics.top1_movers, (probability[:, :-1], destination, period)),
        MetricCall("rate", metrics.mean, (1.0 - probability[:, -1],)),
    ]
    if "cif" in out:
        # rows x stages x periods -> rows x periods x stages
        incidences = np.swapaxes(out["cif"], 1, 2)
        calls += [
            MetricCall(
                "integrated_brier", metrics.integrated_brier, (incidences, destination, period)
            ),
            MetricCall(
                "median_time_mae", metrics.median_time_mae, (incidences.sum(axis=2), period)
            ),
        ]
    return calls


_MEASURES: dict[str, Callable[[MethodOutputs, pd.DataFrame], list[MetricCall]]] = {
    "churn": _churn,
    "clv": _clv,
    "stage": _stage,
    "transition": _transition,
}
