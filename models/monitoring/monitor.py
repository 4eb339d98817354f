"""The monitor: compare each day with a reference that is stored with the scorer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from features.arrays import Array
from features.calendar import day_date
from features.config.monitoring import Monitoring
from features.table.feature_store import Archive
from features.table.snapshot_builder import TASKS
from models.evaluation.evaluate import CHAMPION_METHOD
from models.monitoring.drift import Distribution, column_distributions, drift_findings
from models.monitoring.findings import MonitorFinding, level_per_test
from models.monitoring.performance import (
    BaseRate,
    MaturedFigure,
    base_rate,
    base_rate_findings,
    performance_findings,
)
from models.monitoring.volume import (
    WINDOW_DAYS,
    buyers_rate_findings,
    freshness_findings,
    volume_findings,
)
from models.scorer.derived_features import model_columns
from models.scorer.part import Part
from models.scorer.predict import predict_scores
from models.serving.score import late_days_of, scoring_frame

_REFERENCE_VERSION = 1
REFERENCE_PATH = "monitoring/reference.json"  # artifact of the training run
_SAMPLED = 100_000  # most customers in the reference of scores, an even sample
_EARLIER_SNAPSHOTS = 6  # earlier training snapshots that define the usual drift
_WATCHED_SCORES = (
    "stage", "stage_predicted", "stage_confidence", "next_stage", "p_move", "p_churn",
    "churn_band", "p_first_purchase", "lead_band", "p_reactivate", "p_any_order", "expected_orders",
    "clv", "value_tier", "score_quality",
)  # fmt: skip


@dataclass(frozen=True)
class Reference:
    """Population and labels of the training, as distributions without customer rows.

    Attributes
    ----------
    trained_at
        Day number of the training date.
    inputs, scores
        Distributions of the features and of the scores.
    base_rates
        Share of positive labels at each training snapshot.
    at_gate
        ``task.metric``: figures of the served recipe on the gate.
    """

    trained_at: int
    inputs: tuple[Distribution, ...]
    scores: tuple[Distribution, ...]
    base_rates: tuple[BaseRate, ...]
    at_gate: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            "version": _REFERENCE_VERSION,
            "trained_at": self.trained_at,
            "inputs": [member.as_dict() for member in self.inputs],
            "scores": [member.as_dict() for member in self.scores],
            "base_rates": [asdict(member) for member in self.base_rates],
            "at_gate": dict(self.at_gate),
        }

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Reference:
        """Reference from its JSON form."""
        return cls(
            trained_at=int(content["trained_at"]),
            inputs=tuple(Distribution.read(member) for member in content["inputs"]),
            scores=tuple(Distribution.read(member) for member in content["scores"]),
            base_rates=tuple(BaseRate(**member) for member in content["base_rates"]),
            at_gate=dict(content["at_gate"]),
        )


def watched_inputs(features: pd.DataFrame) -> pd.DataFrame:
    """Columns of a feature frame that models read."""
    return features[model_columns(features)]


def watched_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """Columns of scored rows that are monitored."""
    return scores[[name for name in _WATCHED_SCORES if name in scores.columns]]


def training_reference(
    archive: Archive,
    parts: Mapping[str, Part],
    head: Mapping[str, Any],
    figures: Sequence[Mapping[str, Any]],
) -> Reference:
    """Compute the reference of a newly trained scorer.

    Parameters
    ----------
    archive
        The data set.
    parts, head
        Parts and manifest of the scorer.
    figures
        Its evaluation on the gate (`models.evaluation.evaluate.MetricFigure` as dicts).
    """
    builder = archive.builder
    last_day = builder.last_snapshot
    features = archive.features(last_day)
    snapshot_days = builder.training_days("churn", last_day)
    earlier = {
        last_day - snapshot_day: watched_inputs(archive.features(snapshot_day))
        for snapshot_day in snapshot_days[-_EARLIER_SNAPSHOTS:]
    }
    frame = scoring_frame(archive, last_day, late_days=late_days_of(parts))
    row_step = max(len(frame) // _SAMPLED, 1)
    scored = predict_scores(
        parts, frame.iloc[::row_step].reset_index(drop=True), head["training_context"], head
    )
    base_rates = [
        rate
        for task in TASKS
        for snapshot_day in builder.training_days(task, last_day)
        if (rate := base_rate(builder, task, snapshot_day)) is not None
    ]
    return Reference(
        trained_at=last_day,
        inputs=tuple(column_distributions(watched_inputs(features), earlier)),
        scores=tuple(column_distributions(watched_scores(scored))),
        base_rates=tuple(base_rates),
        at_gate={
            f"{figure['model']}.{figure['metric']}": figure["value"]
            for figure in figures
            if figure["method"] == CHAMPION_METHOD
            and figure["subset"] == "all"
            and figure["value"] is not None
        },
    )


@dataclass(frozen=True)
class DayObservation:
    """Data of one day that the monitor compares with the reference.

    Attributes
    ----------
    at
        Day number of the snapshot that was scored.
    through
        Day number of the last day of events.
    inputs, scores
        Features and scored rows of all customers; only monitored columns are used.
    counts
        event_type, day, known_day, count of the last weeks.
    buyers
        day, known_day, count of customers who bought.
    customers
        Number of existing customers on each day up to `through`, oldest first.
    base_rates
        Base rates of the latest matured snapshot.
    matured
        Figures of past runs.
    age_days
        Days from the last event to today.
    """

    at: int
    through: int
    inputs: pd.DataFrame
    scores: pd.DataFrame
    counts: pd.DataFrame
    buyers: pd.DataFrame
    customers: Array
    base_rates: Sequence[BaseRate] = ()
    matured: Sequence[MaturedFigure] = ()
    age_days: int | None = None


def monitor_findings(
    observed: DayObservation, reference: Reference, limits: Monitoring
) -> list[MonitorFinding]:
    """All findings of a day.

    The allowed probability of a false alarm is divided into quarters: columns, counts of events and
    buyers, matured base rates, matured performance.
    """
    chance = limits.false_alarm_chance / 4
    column_level = level_per_test(chance, len(reference.inputs) + len(reference.scores))
    count_level = level_per_test(
        chance, len(WINDOW_DAYS) * (observed.counts["event_type"].nunique() + 1)
    )
    days_since = max(observed.at - reference.trained_at, 0)
    rate_limit = limits.base_rate_change
    return [
        *drift_findings(
            "input",
            reference.inputs,
            observed.inputs,
            days=days_since,
            limit=limits.psi,
            level=column_level,
        ),
        *drift_findings(
            "score",
            reference.scores,
            observed.scores,
            days=days_since,
            limit=limits.psi,
            level=column_level,
        ),
        *volume_findings(
            observed.counts, observed.through, limit=limits.volume_change, level=count_level
        ),
        *buyers_rate_findings(
            observed.buyers,
            observed.customers,
            observed.through,
            limit=rate_limit,
            level=count_level,
        ),
        *freshness_findings(
            observed.counts,
            observed.through,
            age_days=observed.age_days,
            max_age_days=limits.max_age_days,
        ),
        *base_rate_findings(
            observed.base_rates, reference.base_rates, limit=rate_limit, chance=chance
        ),
        *performance_findings(
            observed.matured,
            reference.at_gate,
            auc_drop=limits.auc_drop,
            bias_pct=limits.bias_pct,
            coverage_gap=limits.coverage_gap,
            chance=chance,
        ),
    ]


def finding_figures(findings: Sequence[MonitorFinding]) -> dict[str, float]:
    """Findings as figures for MLflow, with names that it accepts."""
    figure_of = {
        _metric_name(f"{finding.check}.{finding.subject}.{finding.measure}"): finding.value
        for finding in findings
        if finding.value is not None
    }
    psi_values = [f.value for f in findings if f.check == "input" and f.value is not None]
    figure_of["input.largest_psi"] = max(psi_values, default=0.0)
    figure_of["alarms"] = sum(finding.alarm for finding in findings)
    return {name: float(value) for name, value in figure_of.items() if value is not None}


def _metric_name(text: str) -> str:
    return "".join(sign if sign.isalnum() or sign in "_-./ " else "_" for sign in text)


def summary_line(at: int, findings: Sequence[MonitorFinding]) -> str:
    """One line with the number of checks and alarms."""
    alarms = [finding for finding in findings if finding.alarm]
    if not alarms:
        return f"{day_date(at)}: {len(findings)} checks, no alarm"
    checks = sorted({finding.check for finding in alarms})
    return f"{day_date(at)}: {len(alarms)} of {len(findings)} checks raise an alarm: " + ", ".join(
        f"{check} ({sum(f.check == check for f in alarms)})" for check in checks
    )
