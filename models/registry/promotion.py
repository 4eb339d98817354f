"""Promotion: a challenger becomes champion only after both were compared on the gate snapshot.

The gate is the latest matured snapshot. Every scorer keeps, beside what it serves, the parts
fitted before its own gate; those have never seen the gate, so that comparing them is fair.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from features.arrays import Array
from features.calendar import day_date
from features.config.config import Config
from features.table.build_fingerprint import column_names
from features.table.feature_store import Archive
from features.table.prediction_targets import TASK_NAMES
from models.evaluation.evaluate import LabelledTestSet, delayed_test_set, predict_part
from models.evaluation.leakage import leaking
from models.metrics import metrics
from models.registry.comparison import Comparison as Comparison
from models.registry.guardrails import guard_comparisons
from models.scorer.part import Part
from models.tasks.all_tasks import TASKS
from models.tasks.lead import MIN_NEW_BUYERS
from models.tasks.task import binary_log_losses


@dataclass(frozen=True)
class Decision:
    """Whether a challenger is promoted, and why."""

    accepted: bool
    reason: str
    comparisons: tuple[Comparison, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form for the log."""
        return asdict(self)


def recipe_hash(config: Config) -> str:
    """Hash of everything in a config that decides how models learn."""
    content = config.content_for("recipe")
    if "stage_history" in content:
        # What the recorded names mean is part of the truth; where they lie is not.
        content["stage_history"] = {
            key: content["stage_history"][key] for key in ("stages", "ignored")
        }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def columns_hash(config: Config) -> str:
    """Hash of the names of all feature columns that a config asks for."""
    return hashlib.sha256(json.dumps(column_names(config)).encode()).hexdigest()[:16]


def same_recipe(champion: Mapping[str, str], challenger: Mapping[str, str]) -> bool:
    """Whether two scorers learned alike, by the tags ``config`` and ``columns`` of their versions.

    Champions of before have no tag ``columns``; they count as having the same.
    """
    same_columns = champion.get("columns") in (None, challenger.get("columns"))
    return same_columns and champion.get("config") == challenger.get("config")


def prediction_definitions(parts: Mapping[str, Part], stages: list[str]) -> dict[str, Any]:
    """What predictions mean: stages and horizons; models that differ here cannot be compared.

    The uplift part is judged by its own people left out, and is there or not.
    """
    horizons = {
        name: {
            key: part.parameters.get(key)
            for key in ("horizon_days", "periods", "period_days")
            if key in part.parameters
        }
        for name, part in sorted(parts.items())
        if name in TASK_NAMES
    }
    return {"stages": stages, "horizons": horizons}


def _late_days(part: Part) -> int:
    """Days before a snapshot of which a part knows nothing: those of a truth from late data."""
    return int(part.parameters.get("late_days", 0))


def lead_log_losses(part: Part, test: LabelledTestSet) -> Array | None:
    """Log loss of every lead of a CLV test; None where too few bought, or the part knows none."""
    leads = test.leads
    if leads is None:
        return None
    y = (leads["orders"] > 0).to_numpy(dtype=np.float64)
    p = predict_part(part, leads, test.everyone)["p_first_purchase"]
    few = not MIN_NEW_BUYERS <= y.sum() <= len(y) - MIN_NEW_BUYERS
    return None if few or np.isnan(p).any() else binary_log_losses(y, p)


class UnableChampionError(Exception):
    """The champion cannot predict on the features of today."""


def refusal_reason(archive: Archive, challenger: Mapping[str, Part]) -> str | None:
    """Why a challenger may not even be compared; None where it may.

    Its inputs must be among the features of every gate, and those must be the same when nothing
    after the gate can be seen: a feature that knows what comes later would win any comparison.
    """
    for at in sorted({archive.builder.gate(task) for task in TASK_NAMES}):
        features = archive.features(at)
        if leaks := leaking(archive.builder, features, at):
            shown = ", ".join(leaks[:5])
            return f"{len(leaks)} columns at the gate {day_date(at)} know what came later: {shown}"
    for task in TASK_NAMES:
        try:
            test = delayed_test_set(
                archive, task, archive.builder.gate(task), _late_days(challenger[task])
            )
            predict_part(challenger[task], test.rows.head(1), test.everyone)
        except (ValueError, KeyError) as error:
            return f"{task} asks for what no snapshot has: {error}"
    return None


def compare_parts(
    archive: Archive, challenger: Mapping[str, Part], champion: Mapping[str, Part], *, seed: int
) -> list[Comparison]:
    """Both sets of gated parts on each task's gate snapshot; the CLV part also on its leads.

    Raises
    ------
    UnableChampionError
        Where the champion asks for features that there are no more.
    """
    found, stages = [], archive.builder.taxonomy.names
    for task in TASK_NAMES:
        gate = archive.builder.gate(task)
        test = delayed_test_set(archive, task, gate, _late_days(challenger[task]))
        new_out = predict_part(challenger[task], test.rows, test.everyone)
        # The labels are the same; each reads the inputs it would be served with.
        same = delayed_test_set(archive, task, gate, _late_days(champion[task]))
        try:
            old_out = predict_part(champion[task], same.rows, same.everyone)
        except (ValueError, KeyError) as error:
            raise UnableChampionError(str(error)) from error
        rows = test.rows
        new, old = (TASKS[task].losses(outputs, rows) for outputs in (new_out, old_out))
        customers = rows["customer_id"].to_numpy()
        found.append(_comparison(task, TASKS[task].loss_name, customers, new, old, seed=seed))
        found += guard_comparisons(task, rows, (new_out, old_out), (new, old), stages, seed=seed)
        if test.leads is not None:
            new_lead, old_lead = (lead_log_losses(p[task], test) for p in (challenger, champion))
            if new_lead is not None and old_lead is not None:
                ids = test.leads["customer_id"].to_numpy()
                found.append(_comparison("lead", "log_loss", ids, new_lead, old_lead, seed=seed))
    return found


def _comparison(
    task: str, metric: str, customers: Array, challenger: Array, champion: Array, *, seed: int
) -> Comparison:
    interval = metrics.bootstrap(
        lambda a, b: float(np.mean(a) - np.mean(b)), customers, challenger, champion, seed=seed
    )
    return Comparison(
        task, metric, float(challenger.mean()), float(champion.mean()), interval.low, interval.high
    )


def decide_promotion(comparisons: list[Comparison], *, same_recipe: bool) -> Decision:
    """Same recipe on newer data: accepted if not worse. Another recipe: if better somewhere too."""
    worse = [c for c in comparisons if not c.not_worse]
    told = tuple(comparisons)
    if worse:
        listed = "; ".join(
            f"{c.task} {c.metric} {c.challenger:.4f} against {c.champion:.4f} "
            f"(95 % from {c.low:+.4f} to {c.high:+.4f})"
            for c in worse
        )
        return Decision(False, f"worse than the champion on the gate: {listed}", told)
    if same_recipe:
        return Decision(True, "same recipe, not worse than the champion on the gate", told)
    better = [c.task for c in comparisons if c.better]
    if better:
        return Decision(True, f"another recipe, better on the gate at {', '.join(better)}", told)
    return Decision(False, "another recipe that is not better on the gate", told)
