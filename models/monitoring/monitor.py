"""The monitor: a reference kept with every scorer, and what is compared with it day by day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from features.arrays import Array
from features.calendar import day_date
from features.config.monitoring import Monitoring
from features.table.feature_store import Archive
from features.table.prediction_targets import TASK_NAMES
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
from models.serving.score import scoring_frame, stage_late_days

_REFERENCE_VERSION = 1
REFERENCE_PATH = (
    "monitoring/reference.json"  # among the artifacts of the run that trained the scorer
)
_SAMPLED = 100_000  # customers whose scores make the reference of scores, evenly taken
_EARLIER_SNAPSHOTS = 6  # snapshots before the training's last that tell what is usual
_WATCHED_SCORES = (
    "stage", "stage_predicted", "stage_confidence", "next_stage", "p_move", "p_churn",
    "churn_band", "p_first_purchase", "lead_band", "p_reactivate", "p_any_order", "expected_orders",
    "clv", "value_tier", "score_quality",
)  # fmt: skip


@dataclass(frozen=True)
class Reference:
    """What the training's population and labels looked like; no row of a customer.

    Attributes
    ----------
    trained_at
        Day number of the training date.
    inputs, scores
        Distributions of the features, and of what the scorer said of them.
    base_rates
        How often each label was true at the training's snapshots.
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
    """The columns of a feature frame that models read."""
    return features[model_columns(features)]


def watched_scores(scores: pd.DataFrame) -> pd.DataFrame:
    """The columns of scored rows whose distribution is watched."""
    return scores[[name for name in _WATCHED_SCORES if name in scores.columns]]


def training_reference(
    archive: Archive,
    parts: Mapping[str, Part],
    head: Mapping[str, Any],
    figures: Sequence[Mapping[str, Any]],
) -> Reference:
    """Reference of a scorer that was just trained.

    Parameters
    ----------
    archive
        The data set.
    parts, head
        What the scorer is made of.
    figures
        Its evaluation on the gate (`models.evaluation.evaluate.Figure` as dicts).
    """
    builder = archive.builder
    last = builder.last_snapshot
    features = archive.features(last)
    days = builder.training_days("churn", last)
    earlier = {last - at: watched_inputs(archive.features(at)) for at in days[-_EARLIER_SNAPSHOTS:]}
    frame = scoring_frame(archive, last, late_days=stage_late_days(parts))
    every = max(len(frame) // _SAMPLED, 1)
    scored = predict_scores(
        parts, frame.iloc[::every].reset_index(drop=True), head["training_context"], head
    )
    rates = [
        rate
        for task in TASK_NAMES
        for at in builder.training_days(task, last)
        if (rate := base_rate(builder, task, at)) is not None
    ]
    return Reference(
        trained_at=last,
        inputs=tuple(column_distributions(watched_inputs(features), earlier)),
        scores=tuple(column_distributions(watched_scores(scored))),
        base_rates=tuple(rates),
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
    """What the monitor sees on one day.

    Attributes
    ----------
    at
        Day number of the snapshot that was scored.
    through
        Day number of the last day of events.
    inputs, scores
        Features and scored rows of everyone; only the watched columns are looked at.
    counts
        event_type, day, known_day, count of the last weeks.
    buyers
        day, known_day, count of customers who bought.
    customers
        How many existed on each day up to `through`, oldest first.
    base_rates
        Of the latest matured snapshot.
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
    seen: DayObservation, reference: Reference, limits: Monitoring
) -> list[MonitorFinding]:
    """Everything the monitor has to say of a day.

    The chance of a false alarm is shared: a quarter each for columns, for counts of events and
    buyers, for matured base rates, and for matured performance.
    """
    chance = limits.false_alarm_chance / 4
    columns = level_per_test(chance, len(reference.inputs) + len(reference.scores))
    counts = level_per_test(chance, len(WINDOW_DAYS) * (seen.counts["event_type"].nunique() + 1))
    days = max(seen.at - reference.trained_at, 0)
    rate = limits.base_rate_change
    return [
        *drift_findings(
            "input", reference.inputs, seen.inputs, days=days, limit=limits.psi, level=columns
        ),
        *drift_findings(
            "score", reference.scores, seen.scores, days=days, limit=limits.psi, level=columns
        ),
        *volume_findings(seen.counts, seen.through, limit=limits.volume_change, level=counts),
        *buyers_rate_findings(seen.buyers, seen.customers, seen.through, limit=rate, level=counts),
        *freshness_findings(
            seen.counts,
            seen.through,
            age_days=seen.age_days,
            max_age_days=limits.max_age_days,
        ),
        *base_rate_findings(seen.base_rates, reference.base_rates, limit=rate, chance=chance),
        *performance_findings(
            seen.matured,
            reference.at_gate,
            auc_drop=limits.auc_drop,
            bias_pct=limits.bias_pct,
            coverage_gap=limits.coverage_gap,
            chance=chance,
        ),
    ]


def finding_figures(findings: Sequence[MonitorFinding]) -> dict[str, float]:
    """The findings as figures for MLflow, by a name it accepts."""
    named = {
        _metric_name(f"{finding.check}.{finding.subject}.{finding.measure}"): finding.value
        for finding in findings
        if finding.value is not None
    }
    psi = [f.value for f in findings if f.check == "input" and f.value is not None]
    named["input.largest_psi"] = max(psi, default=0.0)
    named["alarms"] = sum(finding.alarm for finding in findings)
    return {name: float(value) for name, value in named.items() if value is not None}


def _metric_name(text: str) -> str:
    return "".join(sign if sign.isalnum() or sign in "_-./ " else "_" for sign in text)


def summary_line(at: int, findings: Sequence[MonitorFinding]) -> str:
    """One line that says how things are."""
    alarms = [finding for finding in findings if finding.alarm]
    if not alarms:
        return f"{day_date(at)}: {len(findings)} things looked at, no alarm"
    checks = sorted({finding.check for finding in alarms})
    return f"{day_date(at)}: {len(alarms)} of {len(findings)} things raise an alarm: " + ", ".join(
        f"{check} ({sum(f.check == check for f in alarms)})" for check in checks
    )
