"""Matured performance: what earlier runs said, against what has happened since, per version."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm
from scipy.stats import t as student

from features.arrays import Array
from features.calendar import day_date
from features.contracts import CUSTOMER, NO_CHANGE
from features.table.prediction_targets import TASK_NAMES, TaskName
from features.table.snapshot_builder import Builder
from models.metrics import metrics
from models.monitoring.findings import MonitorFinding
from models.tasks.all_tasks import TASKS

_MIN_CUSTOMERS = 100  # customers below which a figure is shown and raises no alarm
_INTERVAL_COVERAGE = 0.8  # what clv_low and clv_high promise
MATURED_COLUMNS = [
    CUSTOMER, "churn_eligible", "p_churn", "clv", "clv_low", "clv_high", "p_move",
    "p_first_purchase", "stage_predicted", "next_stage_probabilities",
]  # fmt: skip


@dataclass(frozen=True)
class MaturedFigure:
    """A figure of a past run, now that its labels have matured.

    Attributes
    ----------
    run_id, version, snapshot_at
        The run, the scorer that made it, and the date it was as of.
    task, metric
        Whose figure it is: churn, clv, lead, stage or transition; auc, bias_pct, ...
    value
        Null where undefined.
    error
        Standard error; null where none is computed.
    n
        Customers.
    """

    run_id: str
    version: str
    snapshot_at: str
    task: str
    metric: str
    value: float | None
    error: float | None
    n: int

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return asdict(self)


@dataclass(frozen=True)
class BaseRate:
    """How often a label was true at one snapshot.

    Attributes
    ----------
    label
        What happened, with its horizon.
    at
        Day number of the snapshot.
    rate, n
        Share of the customers, and how many.
    """

    label: str
    at: int
    rate: float
    n: int


def _is_matured(builder: Builder, task: TaskName, at: int) -> bool:
    """Whether the labels of a task at a snapshot (day number) have matured."""
    return at + builder.horizon(task) + builder.config.settle_days <= builder.last_snapshot


def base_rate(builder: Builder, task: TaskName, at: int) -> BaseRate | None:
    """Share of customers with the task's event after a snapshot; None without labels."""
    event_words = TASKS[task].event_words
    if not event_words:
        return None  # the stage is a fact of the moment, and watched among the scores
    labels, days = builder.labels(task, at), builder.horizon(task)
    if not len(labels):
        return None
    has_event = TASKS[task].event(labels)
    rate = float(np.asarray(has_event, dtype=np.float64).mean())
    return BaseRate(f"{event_words} in {days} days", at, rate, len(labels))


def base_rate_findings(
    now: Sequence[BaseRate], before: Sequence[BaseRate], *, limit: float, chance: float
) -> list[MonitorFinding]:
    """Latest matured base rates against those at the training's snapshots.

    Rates of neighbouring days overlap for weeks, so that a month holds hardly more than one test
    of each: `chance` is shared among the labels and not among the days.
    """
    found = []
    level = chance / max(len(now), 1)
    for rate in now:
        known = np.array([b.rate for b in before if b.label == rate.label])
        subject, measure = rate.label, "change of share"
        if len(known) < 3 or not 0 < known.mean() < 1:
            note = f"{rate.rate:.1%}; under three training snapshots to compare with"
            found.append(
                MonitorFinding("base_rate", subject, measure, None, limit=limit, note=note)
            )
            continue
        mean = float(known.mean())
        change = rate.rate / mean - 1
        scale = np.sqrt(known.var(ddof=1) * (1 + 1 / len(known)) + mean * (1 - mean) / rate.n)
        p_value = 2 * float(student.sf(abs(rate.rate - mean) / scale, len(known) - 1))
        alarm = abs(change) >= limit and p_value < level
        note = f"{rate.rate:.1%} at {day_date(rate.at)}, {mean:.1%} in the training"
        found.append(
            MonitorFinding("base_rate", subject, measure, change, 0.0, limit, p_value, alarm, note)
        )
    return found


def matured_figures(
    builder: Builder, run: Mapping[str, str], scores: pd.DataFrame, task: TaskName, at: int
) -> list[MaturedFigure]:
    """Figures of a past run's scores of one task.

    Parameters
    ----------
    builder
        Gives the labels.
    run
        run_id, version and snapshot_at, as they stand in the figures.
    scores
        The run's scored rows, with `COLUMNS` as far as there are.
    task, at
        The task, and the day number of the run's snapshot.
    """
    labels = builder.labels(task, at)
    rows = labels.merge(scores, on=CUSTOMER, how="inner", suffixes=("_label", ""))
    names = builder.taxonomy.names
    measures: dict[TaskName, Callable[[pd.DataFrame, Sequence[str]], list[dict[str, Any]]]] = {
        "churn": _churn,
        "clv": _clv,
        "stage": _stage,
        "transition": _transition,
    }
    about: dict[str, Any] = dict(run)
    return [MaturedFigure(**about, **figure) for figure in measures[task](rows, names)]


def _figure(
    task: str, metric: str, value: float, n: int, error: float | None = None
) -> dict[str, Any]:
    finite = value if np.isfinite(value) else None
    return {"task": task, "metric": metric, "value": finite, "error": error, "n": n}


def auc_standard_error(auc: float, positives: float, negatives: float) -> float:
    """Standard error of an area under the ROC curve. Source: Hanley and McNeil, 1982."""
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc) + (positives - 1) * (q1 - auc**2) + (negatives - 1) * (q2 - auc**2)
    return float(np.sqrt(max(spread, 0.0) / (positives * negatives)))


def _binary(task: str, target: Array, probability: Array) -> list[dict[str, Any]]:
    """Ranking, calibration and bias of a probability."""
    row_count = len(target)
    if not row_count:
        return []
    figures = [
        _figure(task, "log_loss", metrics.log_loss(target, probability), row_count),
        _figure(task, "brier", metrics.brier(target, probability), row_count),
        _figure(task, "ece", metrics.ece(target, probability), row_count),
    ]
    if 0 < target.sum() < row_count:
        auc = metrics.auc(target, probability)
        figures.append(
            _figure(
                task,
                "auc",
                auc,
                row_count,
                auc_standard_error(auc, target.sum(), row_count - target.sum()),
            )
        )
        figures.append(_bias(task, target, probability))
    return figures


def _bias(task: str, target: Array, prediction: Array) -> dict[str, Any]:
    error = (
        100 * float((prediction - target).std(ddof=1)) / np.sqrt(len(target)) / abs(target.mean())
    )
    return _figure(
        task, "bias_pct", metrics.bias_pct(target, prediction), len(target), float(error)
    )


def _churn(rows: pd.DataFrame, _: Sequence[str]) -> list[dict[str, Any]]:
    rows = rows[rows["p_churn"].notna()]
    return _binary("churn", _floats(rows["no_purchase"]), _floats(rows["p_churn"]))


def _clv(rows: pd.DataFrame, _: Sequence[str]) -> list[dict[str, Any]]:
    leads = rows[rows["p_first_purchase"].notna()]
    figures = _binary("lead", _floats(leads["orders"] > 0), _floats(leads["p_first_purchase"]))
    active = rows[rows["churn_eligible"].astype(bool)]
    if not len(active):
        return figures
    spend, predicted, row_count = _floats(active["spend"]), _floats(active["clv"]), len(active)
    covered_share = metrics.coverage(spend, active["clv_low"], active["clv_high"])
    error = float(np.sqrt(_INTERVAL_COVERAGE * (1 - _INTERVAL_COVERAGE) / row_count))
    figures += [
        _figure("clv", "mae", metrics.mae(spend, predicted), row_count),
        _figure("clv", "coverage", covered_share, row_count, error),
    ]
    if spend.sum() > 0:
        figures.append(_figure("clv", "gini", metrics.gini(spend, predicted), row_count))
        if row_count > 1:
            figures.append(_bias("clv", spend, predicted))
    return figures


def _stage(rows: pd.DataFrame, names: Sequence[str]) -> list[dict[str, Any]]:
    truth = np.array(names, dtype=object)[rows["truth_code"].to_numpy().astype(int)]
    predicted, row_count = rows["stage_predicted"].to_numpy(dtype=object), len(rows)
    if not row_count:
        return []
    accuracy = float((truth == predicted).mean())
    error = float(np.sqrt(max(accuracy * (1 - accuracy), 1e-9) / row_count))
    return [_figure("stage", "accuracy", accuracy, row_count, error)]


def _transition(rows: pd.DataFrame, names: Sequence[str]) -> list[dict[str, Any]]:
    moved = rows["period"].to_numpy() > 0
    figures = _binary("transition", _floats(moved), _floats(rows["p_move"]))
    if len(rows):
        next_stages = [json.loads(text) for text in rows["next_stage_probabilities"]]
        probability = np.array(
            [
                [stage_probabilities.get(name, 0.0) for name in (*names, NO_CHANGE)]
                for stage_probabilities in next_stages
            ]
        )
        truth = np.where(moved, rows["next_code"].to_numpy().astype(int), len(names))
        loss = metrics.multiclass_log_loss(truth, probability)
        figures.append(_figure("transition", "next_stage_log_loss", loss, len(rows)))
    return figures


def _floats(values: Any) -> Array:
    return np.asarray(values, dtype=np.float64)


def performance_findings(
    figures: Sequence[MaturedFigure],
    at_gate: Mapping[str, float],
    *,
    auc_drop: float,
    bias_pct: float,
    coverage_gap: float,
    chance: float,
) -> list[MonitorFinding]:
    """The latest matured figures of every scorer version, against limits and the gate.

    Figures of neighbouring runs overlap for weeks: `chance` is shared among the figures and not
    among the days.

    Parameters
    ----------
    figures
        All matured figures.
    at_gate
        ``task.metric``: what the served recipe had on the gate.
    auc_drop, bias_pct, coverage_gap
        How much worse is an alarm.
    chance
        Of a false alarm.
    """
    latest: dict[tuple[str, str, str], MaturedFigure] = {}
    for figure in sorted(figures, key=lambda f: (f.snapshot_at, f.run_id)):
        latest[(figure.version, figure.task, figure.metric)] = figure
    limits = {"auc": auc_drop, "bias_pct": bias_pct, "coverage": coverage_gap}
    tests = sum(metric in limits for _, _, metric in latest)
    found = []
    for (version, task, metric), figure in latest.items():
        expected = at_gate.get(f"{task}.{metric}")
        subject, note = f"{task} {metric} of version {version}", f"at {figure.snapshot_at}"
        if metric not in limits or figure.value is None or figure.error is None:
            found.append(
                MonitorFinding("performance", subject, metric, figure.value, expected, note=note)
            )
            continue
        limit = limits[metric]
        worse = _worse(metric, figure.value, expected)
        p_value = float(norm.sf(max(worse, 0.0) / max(figure.error * np.sqrt(2), 1e-12)))
        alarm = worse >= limit and p_value < chance / max(tests, 1) and figure.n >= _MIN_CUSTOMERS
        if figure.n < _MIN_CUSTOMERS:
            note += f", of {figure.n} customers: too few for an alarm"
        found.append(
            MonitorFinding(
                "performance", subject, metric, figure.value, expected, limit, p_value, alarm, note
            )
        )
    return found


def _worse(metric: str, value: float, expected: float | None) -> float:
    """By how much a figure is worse than on the gate, or than it should be."""
    if metric == "auc":
        return 0.0 if expected is None else expected - value
    if metric == "bias_pct":
        return abs(value) - abs(expected or 0.0)
    return abs(value - _INTERVAL_COVERAGE) - abs(
        (expected or _INTERVAL_COVERAGE) - _INTERVAL_COVERAGE
    )


def tasks_matured(builder: Builder, at: int) -> list[TaskName]:
    """Tasks whose labels at a snapshot have matured."""
    return [task for task in TASK_NAMES if _is_matured(builder, task, at)]
