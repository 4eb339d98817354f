"""Guards of a promotion: what must not get worse on the gate, however good the mean loss is.

Ranking, total bias, calibration, and the loss in every rule stage. Such figures are noisy on few
customers, so a challenger is refused only where one is worse by more than its tolerance, and the
paired interval says that it is no chance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from features.arrays import Array
from features.table.snapshot_builder import Task
from models.metrics import metrics
from models.registry.comparison import Comparison
from models.scorer.stage import stage_codes

RANKING, BIAS, CALIBRATION = 0.005, 0.02, 0.01  # absolute: AUC and Gini, share of the total, ECE
SLICE = 0.10  # relative to the champion's loss in the slice
MIN_SLICE = 50  # customers of a stage, under which its loss says little

Measure = Callable[[Any, Any], float]
# A statistic, the customer of every row, and the statistic's arguments.
Drawn = tuple[Callable[..., float], Array, tuple[Array, ...]]


def _bias(y: Any, p: Any) -> float:
    """Error of the total as a share of it, without its sign."""
    total = float(np.sum(y))
    return abs(float(np.sum(p)) / total - 1.0) if total > 0 else np.nan


MEASURES: dict[str, list[tuple[str, Measure, float]]] = {
    "churn": [
        ("1 - AUC", lambda y, p: 1.0 - metrics.auc(y, p), RANKING),
        ("total bias", _bias, BIAS),
        ("calibration error", metrics.ece, CALIBRATION),
    ],
    "clv": [
        ("1 - Gini", lambda y, p: 1.0 - metrics.gini(y, p), RANKING),
        ("total bias", _bias, BIAS),
    ],
}
TRUTH = {"churn": ("no_purchase", "p_churn"), "clv": ("spend", "clv")}


def guards(
    task: Task,
    rows: pd.DataFrame,
    outputs: tuple[Mapping[str, Array], Mapping[str, Array]],
    losses: tuple[Array, Array],
    stages: list[str],
    *,
    seed: int,
) -> Iterator[Comparison]:
    """Guarded figures of a task on its gate, challenger against champion.

    Parameters
    ----------
    task, rows
        The task and its labelled rows.
    outputs, losses
        Outputs and losses of the challenger and of the champion.
    stages
        Names of the rule stages by code.
    seed
        Of the draws.
    """
    customers = rows["customer_id"].to_numpy()
    new, old = outputs
    for name, measure, tolerance in MEASURES.get(task, []):
        truth, predicted = TRUTH[task]
        y = rows[truth].to_numpy(dtype=np.float64)
        if task == "churn" and len(np.unique(y)) < 2:
            continue
        figures = measure(y, new[predicted]), measure(y, old[predicted])
        if not np.isfinite(figures).all():
            continue  # nobody spent: there is nothing to rank, and no total to miss
        three = (y, new[predicted], old[predicted])
        drawn: Drawn = (_difference(measure), customers, three)
        yield _guard(task, name, figures, tolerance, drawn, seed=seed)
    code = stage_codes(rows, len(stages))
    for number, stage in enumerate(stages):
        mine = np.flatnonzero(code == number)
        if len(mine) < MIN_SLICE:
            continue
        two = (losses[0][mine], losses[1][mine])
        figures = float(two[0].mean()), float(two[1].mean())
        tolerance = SLICE * abs(figures[1])
        drawn = (_mean_difference, customers[mine], two)
        yield _guard(task, f"loss in stage {stage}", figures, tolerance, drawn, seed=seed)


def _difference(measure: Measure) -> Callable[..., float]:
    return lambda y, new, old: measure(y, new) - measure(y, old)


def _mean_difference(new: Array, old: Array) -> float:
    return float(np.mean(new) - np.mean(old))


def _guard(
    task: str,
    name: str,
    figures: tuple[float, float],
    tolerance: float,
    drawn: Drawn,
    *,
    seed: int,
) -> Comparison:
    """One guard; its interval is drawn only where it could refuse, since drawing costs most."""
    low = high = None
    if figures[0] - figures[1] > tolerance:
        statistic, customers, data = drawn
        interval = metrics.bootstrap(statistic, customers, *data, seed=seed)
        low, high = interval.low, interval.high
    return Comparison(task, name, *figures, low, high, guard=tolerance)
