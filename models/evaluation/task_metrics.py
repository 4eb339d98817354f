"""Which metrics tell how good a task's predictions are, and what each of them looks at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.arrays import Array
from models.metrics import metrics

# The figure shown for each model, beside its plainest baseline.
HEADLINES = {
    "stage": ("log_loss", "brier"),
    "transition": ("log_loss", "integrated_brier", "top1_movers"),
    "churn": ("auc", "log_loss", "ece"),
    "clv": ("mae", "rmse", "bias_pct", "gini", "coverage"),
    "lead": ("auc", "lift_10", "log_loss", "ece"),
}
Outputs = Mapping[str, Array]

# Read beside the others; nobody is better for more or less of them.
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
class Measure:
    """A metric and what it is computed from.

    Attributes
    ----------
    metric
        Its name in figures.
    of
        The function of `models.metrics.metrics`.
    arguments
        Aligned row by row.
    """

    metric: str
    of: Callable[..., float]
    arguments: tuple[Any, ...]

    @property
    def value(self) -> float:
        """The figure; NaN where it is not defined."""
        return self.of(*self.arguments)


def measures(task: str, out: Outputs, rows: pd.DataFrame) -> list[Measure]:
    """All measures of a task for one method's outputs on labelled rows."""
    return _MEASURES[task](out, rows)


def _churn(out: Outputs, rows: pd.DataFrame) -> list[Measure]:
    y, p = rows["no_purchase"].to_numpy(dtype=np.float64), out["p_churn"]
    return _chance(y, p, rank=p)


def _chance(y: Array, p: Array | None, *, rank: Array) -> list[Measure]:
    """Of a yes or no with its probability; without one, of the ranking alone."""
    found = []
    if 0 < y.sum() < len(y):
        found += [Measure("auc", metrics.auc, (y, rank))]
        found += [Measure("lift_10", metrics.lift_10, (y, rank))]
    if p is not None:
        found += [
            Measure("log_loss", metrics.log_loss, (y, p)),
            Measure("brier", metrics.brier, (y, p)),
            Measure("ece", metrics.ece, (y, p)),
            Measure("bias_pct", metrics.bias_pct, (y, p)),
            Measure("rate", metrics.mean, (p,)),
        ]
    return found


def lead_measures(out: Outputs, leads: pd.DataFrame) -> list[Measure]:
    """All measures of one method's outputs (``p`` or ``rank``) on labelled leads."""
    y = (leads["orders"] > 0).to_numpy(dtype=np.float64)
    p = out.get("p")
    rank = out.get("rank", p)
    return [] if rank is None or np.isnan(rank).any() else _chance(y, p, rank=rank)


def _clv(out: Outputs, rows: pd.DataFrame) -> list[Measure]:
    y, p = rows["spend"].to_numpy(dtype=np.float64), out["clv"]
    found = [
        Measure("mae", metrics.mae, (y, p)),
        Measure("rmse", metrics.rmse, (y, p)),
    ]
    found += [Measure("rate", metrics.mean, (p,))]
    if y.sum() > 0:
        found += [
            Measure("bias_pct", metrics.bias_pct, (y, p)),
            Measure("spearman", metrics.spearman, (y, p)),
            Measure("gini", metrics.gini, (y, p)),
            Measure("top10", metrics.top10, (y, p)),
            Measure("decile_error", metrics.decile_error, (y, p)),
        ]
    if "clv_low" in out:
        ends = (y, out["clv_low"], out["clv_high"])
        found += [Measure("coverage", metrics.coverage, ends)]
        if y.sum() > 0:
            found += [Measure("width_ratio", metrics.width_ratio, ends)]
    return found


def _stage(out: Outputs, rows: pd.DataFrame) -> list[Measure]:
    truth, p = rows["truth_code"].to_numpy().astype(int), out["probabilities"]
    said = out.get("code", p.argmax(axis=1))
    return [
        Measure("log_loss", metrics.multiclass_log_loss, (truth, p)),
        Measure("brier", metrics.multiclass_brier, (truth, p)),
        Measure("macro_f1", metrics.macro_f1, (truth, said)),
    ]


def _transition(out: Outputs, rows: pd.DataFrame) -> list[Measure]:
    p, period = out["probabilities"], rows["period"].to_numpy().astype(int)
    destination = rows["next_code"].to_numpy().astype(int)
    truth = np.where(period > 0, destination, p.shape[1] - 1)
    found = [
        Measure("log_loss", metrics.multiclass_log_loss, (truth, p)),
        Measure("brier", metrics.multiclass_brier, (truth, p)),
        Measure("top1_movers", metrics.top1_movers, (p[:, :-1], destination, period)),
        Measure("rate", metrics.mean, (1.0 - p[:, -1],)),
    ]
    if "cif" in out:
        cif = np.swapaxes(out["cif"], 1, 2)  # rows x stages x periods -> rows x periods x stages
        found += [
            Measure("integrated_brier", metrics.integrated_brier, (cif, destination, period)),
            Measure("median_time_mae", metrics.median_time_mae, (cif.sum(axis=2), period)),
        ]
    return found


_MEASURES: dict[str, Callable[[Outputs, pd.DataFrame], list[Measure]]] = {
    "churn": _churn,
    "clv": _clv,
    "stage": _stage,
    "transition": _transition,
}
