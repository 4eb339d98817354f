"""Matured performance: scores of earlier runs against the actual outcomes, by scorer version."""

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
from features.table.snapshot_builder import TASKS, Builder, Task
from models.metrics import metrics
from models.monitoring.findings import MonitorFinding

_MIN_CUSTOMERS = 100  # fewest customers of a figure that may raise an alarm
_INTERVAL_COVERAGE = 0.8  # nominal coverage of clv_low to clv_high
MATURED_COLUMNS = [
    CUSTOMER, "churn_eligible", "p_churn", "clv", "clv_low", "clv_high", "p_move",
    "p_first_purchase", "stage_predicted", "next_stage_probabilities",
]  # fmt: skip


@dataclass(frozen=True)
class MaturedFigure:
    """A figure of a past run whose labels have matured.

    Attributes
    ----------
    run_id, version, snapshot_at
        Run, scorer version, and snapshot date of the run.
    task, metric
        churn, clv, lead, stage or transition; auc, bias_pct, ...
    value
        Value; null if undefined.
    error
        Standard error; null if none is computed.
    n
        Number of customers.
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
    """Share of customers with an event after one snapshot.

    Attributes
    ----------
    label
        Description of the event, with its horizon.
    at
        Day number of the snapshot.
    rate, n
        Share with the event, and number of customers.
    """

    label: str
    at: int
    rate: float
    n: int


def _is_matured(builder: Builder, task: Task, at: int) -> bool:
    """True if the labels of a task at a snapshot (day number) have matured."""
    return at + builder.horizon(task) + builder.config.settle_days <= builder.last_snapshot


def base_rate(builder: Builder, task: Task, at: int) -> BaseRate | None:
    """Base rate of the task's event after a snapshot; None without labels and for stages."""
    if task == "stage":
        return None  # no future event; stages are monitored as scores
    labels, days = builder.labels(task, at), builder.horizon(task)
    if not len(labels):
        return None
    if task == "churn":
        has_event, event_words = 1 - labels["no_purchase"], "eligible customers who bought"
    elif task == "clv":
        has_event, event_words = labels["orders"] > 0, "customers who bought"
    else:
        has_event, event_words = labels["period"] > 0, "customers who changed stage"
    rate = float(np.asarray(has_event, dtype=np.float64).mean())
    return BaseRate(f"{event_words} in {days} days", at, rate, len(labels))


def base_rate_findings(
    latest: Sequence[BaseRate], earlier: Sequence[BaseRate], *, limit: float, chance: float
) -> list[MonitorFinding]:
    """Compare the latest matured base rates with those of the training snapshots.

    Rates of neighbouring days overlap for weeks, so a month contains about one independent test of
    each label: `chance` is divided among the labels, not among the days.
    """
    findings = []
    level = chance / max(len(latest), 1)
    for rate in latest:
        training_rates = np.array([b.rate for b in earlier if b.label == rate.label])
        subject, measure = rate.label, "change of share"
        if len(training_rates) < 3 or not 0 < training_rates.mean() < 1:
            note = f"{rate.rate:.1%}; fewer than three training snapshots to compare with"
            findings.append(
                MonitorFinding("base_rate", subject, measure, None, limit=limit, note=note)
            )
            continue
        training_mean = float(training_rates.mean())
        change = rate.rate / training_mean - 1
        scale = np.sqrt(
            training_rates.var(ddof=1) * (1 + 1 / len(training_rates))
            + training_mean * (1 - training_mean) / rate.n
        )
        p_value = 2 * float(
            student.sf(abs(rate.rate - training_mean) / scale, len(training_rates) - 1)
        )
        alarm = abs(change) >= limit and p_value < level
        note = f"{rate.rate:.1%} at {day_date(rate.at)}, {training_mean:.1%} in the training"
        findings.append(
            MonitorFinding("base_rate", subject, measure, change, 0.0, limit, p_value, alarm, note)
        )
    return findings


def matured_figures(
    builder: Builder, run: Mapping[str, str], scores: pd.DataFrame, task: Task, at: int
) -> list[MaturedFigure]:
    """Figures of one task for the scores of a past run.

    Parameters
    ----------
    builder
        Builder of the labels.
    run
        run_id, version and snapshot_at, as in the figures.
    scores
        Scored rows of the run, with those of `MATURED_COLUMNS` that exist.
    task, at
        The task, and the day number of the run's snapshot.
    """
    labels = builder.labels(task, at)
    rows = labels.merge(scores, on=CUSTOMER, how="inner", suffixes=("_label", ""))
    names = builder.taxonomy.names
    figures_of_task: dict[Task, Callable[[pd.DataFrame, Sequence[str]], list[dict[str, Any]]]] = {
        "churn": _churn,
        "clv": _clv,
        "stage": _stage,
        "transition": _transition,
    }
    run_columns: dict[str, Any] = dict(run)
    return [MaturedFigure(**run_columns, **figure) for figure in figures_of_task[task](rows, names)]


def _figure(
    task: str, metric: str, value: float, n: int, error: float | None = None
) -> dict[str, Any]:
    finite = value if np.isfinite(value) else None
    return {"task": task, "metric": metric, "value": finite, "error": error, "n": n}


def auc_standard_error(auc: float, positives: float, negatives: float) -> float:
    """Standard error of an AUC. Source: Hanley and McNeil, 1982."""
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance_sum = (
        auc * (1 - auc) + (positives - 1) * (q1 - auc**2) + (negatives - 1) * (q2 - auc**2)
    )
    return float(np.sqrt(max(variance_sum, 0.0) / (positives * negatives)))


def _binary(task: str, target: Array, probability: Array) -> list[dict[str, Any]]:
    """Loss, calibration, ranking and bias of a probability."""
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
    """Compare the latest matured figures of each scorer version with limits and the gate.

    Figures of neighbouring runs overlap for weeks: `chance` is divided among the figures, not among
    the days.

    Parameters
    ----------
    figures
        All matured figures.
    at_gate
        ``task.metric`` -> value of the served recipe on the gate.
    auc_drop, bias_pct, coverage_gap
        Smallest worsening of an alarm.
    chance
        Allowed probability of a false alarm.
    """
    latest: dict[tuple[str, str, str], MaturedFigure] = {}
    for figure in sorted(figures, key=lambda f: (f.snapshot_at, f.run_id)):
        latest[(figure.version, figure.task, figure.metric)] = figure
    limits = {"auc": auc_drop, "bias_pct": bias_pct, "coverage": coverage_gap}
    test_count = sum(metric in limits for _, _, metric in latest)
    findings = []
    for (version, task, metric), figure in latest.items():
        expected = at_gate.get(f"{task}.{metric}")
        subject, note = f"{task} {metric} of version {version}", f"at {figure.snapshot_at}"
        if metric not in limits or figure.value is None or figure.error is None:
            findings.append(
                MonitorFinding("performance", subject, metric, figure.value, expected, note=note)
            )
            continue
        limit = limits[metric]
        worsening = _worse(metric, figure.value, expected)
        p_value = float(norm.sf(max(worsening, 0.0) / max(figure.error * np.sqrt(2), 1e-12)))
        alarm = (
            worsening >= limit
            and p_value < chance / max(test_count, 1)
            and figure.n >= _MIN_CUSTOMERS
        )
        if figure.n < _MIN_CUSTOMERS:
            note += f", of {figure.n} customers: too few for an alarm"
        findings.append(
            MonitorFinding(
                "performance", subject, metric, figure.value, expected, limit, p_value, alarm, note
            )
        )
    return findings


def _worse(metric: str, value: float, expected: float | None) -> float:
    """Worsening of a figure against the gate, or against its nominal value."""
    if metric == "auc":
        return 0.0 if expected is None else expected - value
    if metric == "bias_pct":
        return abs(value) - abs(expected or 0.0)
    return abs(value - _INTERVAL_COVERAGE) - abs(
        (expected or _INTERVAL_COVERAGE) - _INTERVAL_COVERAGE
    )


def tasks_matured(builder: Builder, at: int) -> list[Task]:
    """Tasks whose labels at a snapshot have matured."""
    return [task for task in TASKS if _is_matured(builder, task, at)]
