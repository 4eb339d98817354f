"""Promotion: a challenger becomes champion after a comparison of both on the gate snapshot.

The gate is the latest matured snapshot. Each scorer stores, besides its served parts, parts fitted
before its gate. The comparison uses these, since their training data exclude the gate.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.arrays import Array
from features.calendar import day_date
from features.config.config import Config
from features.table.build_fingerprint import column_names
from features.table.feature_store import Archive
from features.table.snapshot_builder import TASKS, Task
from models.evaluation.evaluate import LabelledTestSet, delayed_test_set, predict_part
from models.evaluation.leakage import leaking
from models.evaluation.task_metrics import MethodOutputs
from models.metrics import metrics
from models.registry.comparison import Comparison as Comparison
from models.registry.guardrails import guard_comparisons
from models.scorer.part import Part
from models.tasks.lead import MIN_FIRST

# Config keys about data locations or the use of scores, which do not affect training.
_NOT_RECIPE_KEYS = {
    "name",
    "description",
    "notice",
    "sources",
    "data_through",
    "backtest",
    "lead",
    "campaigns",
    "consent",
    "consents",
    "contact_policy",
    "customers",
    "experiments",
    "exports",
    "export_mode",
    "products",
    "quarantine",
    "monitoring",
    "suppressions",
    "retention",
    "store",
    "threads",
}


@dataclass(frozen=True)
class Decision:
    """Whether a challenger is promoted, with reason and comparisons."""

    accepted: bool
    reason: str
    comparisons: tuple[Comparison, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form for the log."""
        return asdict(self)


def recipe_hash(config: Config) -> str:
    """Hash of all config keys that affect training."""
    content = config.model_dump(mode="json", by_alias=True, exclude=_NOT_RECIPE_KEYS)
    records = content.pop("stage_history")
    if config.stage.truth == "history":
        # The meaning of recorded stages affects the labels; their location does not.
        content["stage_history"] = {key: records[key] for key in ("stages", "ignored")}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def columns_hash(config: Config) -> str:
    """Hash of the names of all feature columns of a config."""
    return hashlib.sha256(json.dumps(column_names(config)).encode()).hexdigest()[:16]


def same_recipe(champion: Mapping[str, str], challenger: Mapping[str, str]) -> bool:
    """True if two scorers have equal version tags ``config`` and ``columns``.

    Champions of earlier releases have no tag ``columns``; it counts as equal.
    """
    same_columns = champion.get("columns") in (None, challenger.get("columns"))
    return same_columns and champion.get("config") == challenger.get("config")


def prediction_definitions(parts: Mapping[str, Part], stages: list[str]) -> dict[str, Any]:
    """Stages and horizons of the predictions; models that differ here cannot be compared.

    The uplift part is optional and evaluated by its own cross-validation, so it is left out.
    """
    horizons = {
        name: {
            key: part.parameters.get(key)
            for key in ("horizon_days", "periods", "period_days")
            if key in part.parameters
        }
        for name, part in sorted(parts.items())
        if name in TASKS
    }
    return {"stages": stages, "horizons": horizons}


def _losses(task: Task, outputs: MethodOutputs, rows: pd.DataFrame) -> tuple[Array, str]:
    if task == "clv":
        return (rows["spend"].to_numpy() - outputs["clv"]) ** 2, "mean squared error"
    if task == "churn":
        return _log_losses(rows["no_purchase"].to_numpy(), outputs["p_churn"]), "log_loss"
    probability = np.clip(outputs["probabilities"], 1e-4, None)
    probability = probability / probability.sum(axis=1, keepdims=True)
    if task == "stage":
        target = rows["truth_code"].to_numpy().astype(int)
    else:
        has_moved = rows["period"].to_numpy() > 0
        target = np.where(has_moved, rows["next_code"], probability.shape[1] - 1).astype(int)
    return -np.log(probability[np.arange(len(probability)), target]), "log_loss"


def _late_days(part: Part) -> int:
    """Days before a snapshot that a part's features exclude, if its labels come from late data."""
    return int(part.parameters.get("late_days", 0))


def lead_log_losses(part: Part, test: LabelledTestSet) -> Array | None:
    """Log loss of each lead of a CLV test; None if too few bought, or a probability is null."""
    leads = test.leads
    if leads is None:
        return None
    target = (leads["orders"] > 0).to_numpy(dtype=np.float64)
    probability = predict_part(part, leads, test.everyone)["p_first_purchase"]
    too_few = not MIN_FIRST <= target.sum() <= len(target) - MIN_FIRST
    return None if too_few or np.isnan(probability).any() else _log_losses(target, probability)


def _log_losses(target: Array, probability: Array) -> Array:
    probability = np.clip(probability, 1e-6, 1 - 1e-6)
    return np.asarray(-(target * np.log(probability) + (1 - target) * np.log(1 - probability)))


class UnableChampionError(Exception):
    """The champion cannot predict from the current features."""


def refusal_reason(archive: Archive, challenger: Mapping[str, Part]) -> str | None:
    """Reason to refuse a challenger without a comparison; None if it can be compared.

    Its inputs must be among the features of each gate, and these must not change when all later
    data are removed: a leaking feature would win any comparison.
    """
    for gate_day in sorted({archive.builder.gate(task) for task in TASKS}):
        features = archive.features(gate_day)
        if leaks := leaking(archive.builder, features, gate_day):
            first_leaks = ", ".join(leaks[:5])
            gate_text = f"{len(leaks)} columns at the gate {day_date(gate_day)}"
            return f"{gate_text} depend on later data: {first_leaks}"
    for task in TASKS:
        try:
            test = delayed_test_set(
                archive, task, archive.builder.gate(task), _late_days(challenger[task])
            )
            predict_part(challenger[task], test.rows.head(1), test.everyone)
        except (ValueError, KeyError) as error:
            return f"{task} needs features that the snapshots lack: {error}"
    return None


def compare_parts(
    archive: Archive, challenger: Mapping[str, Part], champion: Mapping[str, Part], *, seed: int
) -> list[Comparison]:
    """Compare both sets of gated parts on each task's gate; the CLV part also on its leads.

    Raises
    ------
    UnableChampionError
        If the champion needs features that no longer exist.
    """
    comparisons, stages = [], archive.builder.taxonomy.names
    for task in TASKS:
        gate = archive.builder.gate(task)
        test = delayed_test_set(archive, task, gate, _late_days(challenger[task]))
        challenger_outputs = predict_part(challenger[task], test.rows, test.everyone)
        # Same labels; each part gets the inputs it would have in production.
        champion_test = delayed_test_set(archive, task, gate, _late_days(champion[task]))
        try:
            champion_outputs = predict_part(
                champion[task], champion_test.rows, champion_test.everyone
            )
        except (ValueError, KeyError) as error:
            raise UnableChampionError(str(error)) from error
        rows = test.rows
        challenger_losses, metric = _losses(task, challenger_outputs, rows)
        champion_losses, _ = _losses(task, champion_outputs, rows)
        customers = rows["customer_id"].to_numpy()
        comparisons.append(
            _comparison(task, metric, customers, challenger_losses, champion_losses, seed=seed)
        )
        comparisons += guard_comparisons(
            task,
            rows,
            (challenger_outputs, champion_outputs),
            (challenger_losses, champion_losses),
            stages,
            seed=seed,
        )
        if task == "clv" and test.leads is not None:
            challenger_lead, champion_lead = (
                lead_log_losses(parts[task], test) for parts in (challenger, champion)
            )
            if challenger_lead is not None and champion_lead is not None:
                customer_ids = test.leads["customer_id"].to_numpy()
                comparisons.append(
                    _comparison(
                        "lead", "log_loss", customer_ids, challenger_lead, champion_lead, seed=seed
                    )
                )
    return comparisons


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
    """Accept a challenger that is not worse; a different recipe must also be better in a task."""
    worse_comparisons = [comparison for comparison in comparisons if not comparison.not_worse]
    all_comparisons = tuple(comparisons)
    if worse_comparisons:
        listed = "; ".join(
            f"{worse.task} {worse.metric} {worse.challenger:.4f} against {worse.champion:.4f} "
            f"(95 % from {worse.low:+.4f} to {worse.high:+.4f})"
            for worse in worse_comparisons
        )
        return Decision(False, f"worse than the champion on the gate: {listed}", all_comparisons)
    if same_recipe:
        return Decision(
            True, "same recipe, not worse than the champion on the gate", all_comparisons
        )
    better_tasks = [comparison.task for comparison in comparisons if comparison.better]
    if better_tasks:
        return Decision(
            True,
            f"another recipe, better on the gate at {', '.join(better_tasks)}",
            all_comparisons,
        )
    return Decision(False, "another recipe that is not better on the gate", all_comparisons)
