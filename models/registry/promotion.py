"""Promotion: whether a challenger becomes champion, by both on the gates.

The gates are the latest matured snapshots. Every scorer keeps, beside what it serves, the parts
fitted before its own gates; those have never seen a gate, so that comparing them is fair.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.arrays import Array
from features.calendar import day_date, day_number
from features.config.config import Config
from features.contracts import CUSTOMER
from features.table.build_fingerprint import column_names
from features.table.feature_store import Archive
from features.table.prediction_targets import TASK_NAMES, TaskName
from models.evaluation.comparison import ALPHA as ALPHA
from models.evaluation.comparison import Comparison as Comparison
from models.evaluation.comparison import compare_losses, holm, level_of_look
from models.evaluation.evaluate import LabelledTestSet, delayed_test_set, predict_part
from models.evaluation.leakage import leaking
from models.registry.guardrails import guard_comparisons
from models.scorer.part import Part
from models.tasks.all_tasks import TASKS
from models.tasks.lead import MIN_NEW_BUYERS
from models.tasks.task import Outputs, binary_log_losses

CONFIG_FILE, COLUMNS_FILE = "config.json", "columns.json"  # of a training, in its run
FITTED_BEFORE = "fitted_before"  # tag: day of each task before which the gated parts were fitted
LEAD = "lead"  # leads of the CLV part, in comparisons


@dataclass(frozen=True)
class Decision:
    """Whether a challenger is promoted, and why.

    Attributes
    ----------
    accepted, reason
        The verdict, and a sentence on it.
    comparisons
        With the champion.
    look, level
        Number of the look at this champion, and the level at which its recipe had to be better;
        None for the same recipe and without a comparison.
    baselines
        With the best baseline of each task.
    warnings
        Sentences on baselines that are better.
    """

    accepted: bool
    reason: str
    comparisons: tuple[Comparison, ...] = ()
    look: int | None = None
    level: float | None = None
    baselines: tuple[Comparison, ...] = ()
    warnings: tuple[str, ...] = ()

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
    archive: Archive,
    challenger: Mapping[str, Part],
    champion: Mapping[str, Part],
    *,
    seed: int,
    fitted_before: Sequence[Mapping[str, str]] = (),
) -> list[Comparison]:
    """Both sets of gated parts on each task's gates; the CLV part also on its leads.

    Parameters
    ----------
    archive
        Features and labels.
    challenger, champion
        Parts by task, none of which has seen a gate.
    seed
        Seed of the guards' bootstrap.
    fitted_before
        Days (ISO) by task before which the parts of both were fitted, one mapping each: earlier
        gates are left out. A task without both days is compared on the latest gate alone.

    Raises
    ------
    UnableChampionError
        Where the champion asks for features that there are no more.
    """
    compared: list[Comparison] = []
    stages = archive.builder.taxonomy.names
    for task in TASK_NAMES:
        gates = _unseen_gates(archive, task, fitted_before)
        seen = [_at_gate(archive, task, gate, challenger[task], champion[task]) for gate in gates]
        compared += compare_outputs(task, [each.outputs for each in seen], stages, seed=seed)
        leads = [each.leads for each in seen if each.leads is not None]
        if leads:
            customers, new, old = (np.concatenate(arrays) for arrays in zip(*leads, strict=True))
            count = len(leads)
            compared.append(compare_losses(LEAD, "log_loss", customers, new, old, snapshots=count))
    return compared


@dataclass(frozen=True)
class GateOutputs:
    """Labelled rows of one gate, and what challenger and champion said of them."""

    rows: pd.DataFrame
    challenger: Outputs
    champion: Outputs


@dataclass(frozen=True)
class _Gate:
    outputs: GateOutputs
    leads: tuple[Array, Array, Array] | None  # customers, losses of challenger and champion


def _unseen_gates(
    archive: Archive, task: TaskName, fitted_before: Sequence[Mapping[str, str]]
) -> list[int]:
    gates = archive.builder.gates(task)
    if len(fitted_before) < 2 or any(task not in days for days in fitted_before):
        return gates[-1:]
    first = day_number(dt.date.fromisoformat(max(days[task] for days in fitted_before)))
    return [gate for gate in gates if gate >= first] or gates[-1:]


def _at_gate(
    archive: Archive, task: TaskName, gate: int, challenger: Part, champion: Part
) -> _Gate:
    test = delayed_test_set(archive, task, gate, _late_days(challenger))
    new = predict_part(challenger, test.rows, test.everyone)
    # The labels are the same; each reads the inputs it would be served with.
    same = delayed_test_set(archive, task, gate, _late_days(champion))
    try:
        old = predict_part(champion, same.rows, same.everyone)
    except (ValueError, KeyError) as error:
        raise UnableChampionError(str(error)) from error
    leads = None
    if test.leads is not None:
        new_lead, old_lead = (lead_log_losses(part, test) for part in (challenger, champion))
        if new_lead is not None and old_lead is not None:
            leads = (test.leads[CUSTOMER].to_numpy(), new_lead, old_lead)
    return _Gate(GateOutputs(test.rows, new, old), leads)


def compare_outputs(
    task: TaskName, gates: Sequence[GateOutputs], stages: list[str], *, seed: int
) -> list[Comparison]:
    """Loss and guarded figures of a task, over the rows of all its gates.

    Parameters
    ----------
    task
        The task.
    gates
        Outputs on each gate.
    stages
        Names of the rule stages by code.
    seed
        Seed of the guards' bootstrap.
    """
    sides = [gate.challenger for gate in gates], [gate.champion for gate in gates]
    rows = pd.concat([gate.rows for gate in gates], ignore_index=True)
    new, old = (
        np.concatenate(
            [
                TASKS[task].losses(outputs, gate.rows)
                for gate, outputs in zip(gates, side, strict=True)
            ]
        )
        for side in sides
    )
    customers, count = rows[CUSTOMER].to_numpy(), len(gates)
    loss = compare_losses(task, TASKS[task].loss_name, customers, new, old, snapshots=count)
    joined = _joined(gates, sides[0]), _joined(gates, sides[1])
    return [loss, *guard_comparisons(task, rows, joined, (new, old), stages, seed=seed)]


def _joined(gates: Sequence[GateOutputs], side: Sequence[Outputs]) -> dict[str, Array]:
    """Outputs of one side over all gates; only what has one value a row."""
    names = [
        name
        for name in side[0]
        if all(
            np.shape(outputs.get(name, ()))[:1] == (len(gate.rows),)
            for gate, outputs in zip(gates, side, strict=True)
        )
    ]
    return {name: np.concatenate([outputs[name] for outputs in side]) for name in names}


def decide_promotion(
    comparisons: Sequence[Comparison], *, same_recipe: bool, look: int = 1
) -> Decision:
    """Whether the challenger is promoted, by its comparisons with the champion.

    No loss may be worse by more than its margin, and no guarded figure beyond chance (Holm over
    all guards). The same recipe on newer data needs no more. Another recipe must be better in the
    primary loss of a task, too: Holm over the tasks, at the level of its look.

    Parameters
    ----------
    comparisons
        From `compare_parts`.
    same_recipe
        Whether both learned alike.
    look
        Number of the look at this champion (`looks.look_number`); of no account for the same
        recipe.
    """
    compared = tuple(comparisons)
    level = None if same_recipe else level_of_look(look)
    number = None if same_recipe else look

    def decision(accepted: bool, reason: str) -> Decision:
        return Decision(accepted, reason, compared, look=number, level=level)

    if worse := worse_comparisons(compared):
        listed = "; ".join(
            f"{c.task} {c.metric} {c.challenger:.4f} against {c.champion:.4f} "
            f"(95 % from {c.low:+.4f} to {c.high:+.4f})"
            for c in worse
        )
        return decision(False, f"worse than the champion on the gate: {listed}")
    if level is None:
        return decision(True, "same recipe, not worse than the champion on the gate")
    primary = {c.task: c.p_better for c in compared if c.guard is None and c.task != LEAD}
    looked = f"look {look} at this champion, level {level:.2g}"
    if better := holm(primary, level):
        listed = ", ".join(better)
        return decision(True, f"another recipe, better on the gate at {listed} ({looked})")
    return decision(False, f"another recipe that is not better on the gate ({looked})")


def worse_comparisons(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Losses worse by more than their margin, and guards worse beyond chance."""
    guards = {f"{c.task} {c.metric}": c.p_worse for c in comparisons if c.guard is not None}
    worse_guards = set(holm(guards, ALPHA))
    return [
        c
        for c in comparisons
        if (f"{c.task} {c.metric}" in worse_guards if c.guard is not None else not c.not_worse)
    ]
