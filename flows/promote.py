"""Promote flow: compare the newest scorer with the champion and move the alias if it passes."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from features.calendar import day_number
from features.errors import UserError
from features.storage.fault_injection import boundary
from features.storage.output_lock import exclusive
from features.table.feature_store import Archive
from features.table.prediction_targets import TASK_NAMES
from flows.services.console import step, warn
from flows.services.prefect_summaries import show_decision
from flows.services.steps import flow, task
from flows.services.workspace import Workspace
from models.evaluation.comparison import (
    baseline_sentences,
    best_baselines,
    read_comparisons,
)
from models.evaluation.refit import earlier_recipe, refit
from models.evaluation.workers import worker_pool
from models.registry import registry
from models.registry.looks import look_number, same_recipe
from models.registry.promotion import (
    COLUMNS_FILE,
    CONFIG_FILE,
    FITTED_BEFORE,
    Decision,
    UnableChampionError,
    compare_parts,
    decide_promotion,
    refusal_reason,
)
from models.registry.tracking import Tracking
from models.registry.version import Version
from models.scorer.part import ForeignFormat, Part


def _gated(tracking: Tracking, version: Version, folder: Path) -> dict[str, Part]:
    """Parts that a scorer's training fitted before its gate."""
    gated_folder = tracking.download(version.run_id, "gated", folder / str(version.version))
    try:
        return {task: Part.load(gated_folder / task) for task in TASK_NAMES}
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{version.name} version {version.version}",
            found=f"parts fitted before the gate that do not load: {error}",
            expected="complete artifacts as they were logged",
            hint="train again (stagecast train); a damaged champion: stagecast rollback",
        ) from error


@task(name="compare on the gate")
def compare_versions(output: str, challenger: int) -> dict[str, Any]:
    """Decide whether a scorer version may become champion."""
    space = Workspace(Path(output))
    versions = registry.versions(space.tracking(), registry.SCORER)
    challenger_version = next(row for row in versions if row.version == challenger)
    decision = _compared(space, versions, challenger_version)
    baselines = tuple(
        best_baselines(read_comparisons(space.read("training.json").get("baselines", [])))
    )
    sentences = tuple(baseline_sentences(baselines))
    return replace(decision, baselines=baselines, warnings=sentences).as_dict()


def _compared(space: Workspace, versions: list[Version], challenger: Version) -> Decision:
    """The decision by the comparison with the champion, if there is one."""
    tracking = space.tracking()
    champion = registry.champion(tracking, registry.SCORER)
    if champion is not None and champion.version == challenger.version:
        return Decision(True, "it is the champion already")
    archive = space.archive()
    folder = space.training / "compared"
    challenger_parts = _gated(tracking, challenger, folder)
    if reason := refusal_reason(archive, challenger_parts):
        return Decision(False, reason)
    if champion is None:
        return Decision(True, "the first scorer: there is no champion to compare with")
    if champion.tags.get("definitions") != challenger.tags.get("definitions"):
        reason = "stages or horizons were redefined: the champion predicts something else"
        return Decision(True, reason)
    fitted_before = _fitted_before(challenger)
    alike = same_recipe(champion.tags, challenger.tags)
    try:
        champion_parts, known, how = _champion_parts(
            space, archive, champion, folder, None if alike else fitted_before
        )
    except UserError as error:
        if not isinstance(error.__cause__, ForeignFormat):
            raise
        reason = "the champion is of an earlier version of stagecast, which cannot be loaded"
        return Decision(True, reason)
    try:
        comparisons = compare_parts(
            archive, challenger_parts, champion_parts,
            seed=archive.builder.config.seed, fitted_before=(fitted_before, known),
        )  # fmt: skip
    except UnableChampionError as error:
        return Decision(True, f"the champion cannot predict on today's features ({error})")
    look = look_number(versions, champion, challenger)
    decision = decide_promotion(comparisons, same_recipe=alike, look=look)
    return replace(decision, reason=f"{decision.reason}{how}")


def _champion_parts(
    space: Workspace,
    archive: Archive,
    champion: Version,
    folder: Path,
    refit_before: dict[str, str] | None,
) -> tuple[dict[str, Part], dict[str, str], str]:
    """Parts of the champion, days they were fitted before, and how in words.

    A champion of another recipe is fitted again before the days of the challenger (ISO, by task),
    so that the two differ in nothing but their recipes. Where that is impossible, its stored parts
    are compared.
    """
    tracking = space.tracking()
    stored = _gated(tracking, champion, folder)
    before = _fitted_before(champion)
    if refit_before is None:
        return stored, before, ""
    columns = tracking.stored_json(champion.run_id, COLUMNS_FILE) or {}
    recipe = earlier_recipe(
        tracking.stored_json(champion.run_id, CONFIG_FILE),
        columns.get("columns"),
        archive.builder.config,
    )
    if not refit_before:
        recipe = "the challenger is of an earlier version of stagecast"
    if isinstance(recipe, str):
        step(f"the champion is compared as it was fitted: {recipe}")
        return stored, before, f"; the champion as it was fitted: {recipe}"
    step("fitting the champion's recipe on the data before the gates")
    workers = min(archive.builder.config.threads, len(TASK_NAMES))
    with worker_pool(archive, workers) as submit:
        futures = {
            name: submit(refit, recipe, name, day_number(dt.date.fromisoformat(refit_before[name])))
            for name in TASK_NAMES
        }
        parts: dict[str, Part] = {str(name): future.result() for name, future in futures.items()}
    return parts, refit_before, "; the champion's recipe was fitted on the same data"


def _fitted_before(version: Version) -> dict[str, str]:
    """Day (ISO) of each task before which the gated parts of a version were fitted."""
    days: dict[str, str] = json.loads(version.tags.get(FITTED_BEFORE, "{}"))
    return days


@task(name="move the alias")
def move_alias(output: str, version: int, decision: dict[str, Any]) -> None:
    """Log a decision; if accepted, point the champion alias at the version."""
    tracking = Workspace(Path(output)).tracking()
    versions = registry.versions(tracking, registry.SCORER)
    run_id = next(row.run_id for row in versions if row.version == version)
    run = tracking.existing(run_id)
    run.text(json.dumps(decision, indent=1), "promotion.json")
    verdict = "promoted" if decision["accepted"] else "not promoted"
    run.tags({"promotion": verdict, "promotion_reason": decision["reason"]})
    show_decision(tracking, run_id, version, decision)
    boundary("decision logged")
    if decision["accepted"]:
        registry.set_champion(
            tracking,
            registry.SCORER,
            version,
            reason=decision["reason"],
            at=dt.datetime.now(dt.UTC),
        )
        boundary("alias moved")


@flow(name="promote")
def promote_flow(output: str) -> dict[str, Any]:
    """Make the newest trained scorer champion if it is not worse than the present one."""
    with exclusive(Path(output), "promote"):
        version, decision = _decided(output)
        move_alias(output, version, decision)
    if decision["accepted"]:
        step(f"stagecast-scorer version {version} is champion: {decision['reason']}")
    else:
        warn(f"version {version} was not promoted: {decision['reason']}")
    for sentence in decision["warnings"]:
        warn(sentence)
    return {"version": version, **decision}


@flow(name="promote (dry run)")
def dry_run_flow(output: str) -> dict[str, Any]:
    """Decide as `promote_flow` would; nothing is logged, and the alias stays where it is."""
    version, decision = _decided(output)
    return {"version": version, **decision}


def _decided(output: str) -> tuple[int, dict[str, Any]]:
    version = int(Workspace(Path(output)).read("training.json")["scorer"]["version"])
    return version, compare_versions(output, version)
