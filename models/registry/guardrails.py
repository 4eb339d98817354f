"""Guards of a promotion: figures that must not get worse on the gate, whatever the mean loss.

They are ranking, total bias, calibration, and the loss in each rule stage. These figures are noisy
on few customers, so a challenger is refused only if one is worse by more than its tolerance and the
paired difference excludes chance, for all guards together (Holm, in `promotion`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from features.arrays import Array
from features.table.prediction_targets import TaskName
from models.evaluation.comparison import Comparison
from models.metrics import metrics
from models.scorer.stage import stage_codes
from models.tasks.all_tasks import TASKS

_STAGE_TOLERANCE = 0.10  # relative to the champion's loss in the slice
_MIN_STAGE_CUSTOMERS = 50  # customers of a stage below which its loss is too uncertain

_Metric = Callable[[Any, Any], float]
# A statistic, the customer of each row, and the statistic's arguments.
_Statistic = tuple[Callable[..., float], Array, tuple[Array, ...]]


def guard_comparisons(
    task: TaskName,
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
        Seed of the bootstrap.
    """
    customers = rows["customer_id"].to_numpy()
    challenger, champion = outputs
    label, output = TASKS[task].label, TASKS[task].output
    if label is not None and output is not None and rows[label].nunique() > 1:
        target = rows[label].to_numpy(dtype=np.float64)
        arguments = (target, challenger[output], champion[output])
        for guard in TASKS[task].guards:
            figures = guard.metric(*arguments[:2]), guard.metric(target, champion[output])
            if not np.isfinite(figures).all():
                continue  # without any spend, neither ranking nor bias is defined
            statistic: _Statistic = (_difference(guard.metric), customers, arguments)
            yield _guard(task, guard.name, figures, guard.tolerance, statistic, seed=seed)
    stage_code = stage_codes(rows, len(stages))
    for number, stage in enumerate(stages):
        members = np.flatnonzero(stage_code == number)
        if len(members) < _MIN_STAGE_CUSTOMERS:
            continue
        stage_losses = (losses[0][members], losses[1][members])
        figures = float(stage_losses[0].mean()), float(stage_losses[1].mean())
        tolerance = _STAGE_TOLERANCE * abs(figures[1])
        statistic = (_mean_difference, customers[members], stage_losses)
        yield _guard(task, f"loss in stage {stage}", figures, tolerance, statistic, seed=seed)


def _difference(measure_of: _Metric) -> Callable[..., float]:
    return lambda y, new, old: measure_of(y, new) - measure_of(y, old)


def _mean_difference(challenger: Array, champion: Array) -> float:
    return float(np.mean(challenger) - np.mean(champion))


def _guard(
    task: str,
    name: str,
    figures: tuple[float, float],
    tolerance: float,
    statistic_arguments: _Statistic,
    *,
    seed: int,
) -> Comparison:
    """Compare one guarded figure; compute the costly interval only beyond the tolerance."""
    low = high = error = None
    customer_count = 0
    if figures[0] - figures[1] > tolerance:
        statistic, customers, arguments = statistic_arguments
        interval = metrics.bootstrap(statistic, customers, *arguments, seed=seed)
        low, high, error = interval.low, interval.high, interval.standard_error
        customer_count = len(np.unique(customers))
    return Comparison(
        task, name, *figures, low, high,
        guard=tolerance, standard_error=error, customers=customer_count,
    )  # fmt: skip
