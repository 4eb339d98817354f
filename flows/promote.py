"""Promote flow: compare the newest scorer with the champion and move the alias if it passes."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

from features.errors import UserError
from features.storage.fault_injection import boundary
from features.storage.output_lock import exclusive
from features.table.prediction_targets import TASK_NAMES
from flows.services.console import step, warn
from flows.services.prefect_summaries import show_decision
from flows.services.steps import flow, task
from flows.services.workspace import Workspace
from models.registry import registry
from models.registry.promotion import (
    Decision,
    UnableChampionError,
    compare_parts,
    decide_promotion,
    refusal_reason,
    same_recipe,
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
    tracking = space.tracking()
    versions = registry.versions(tracking, registry.SCORER)
    challenger_version = next(row for row in versions if row.version == challenger)
    champion_version = registry.champion(tracking, registry.SCORER)
    if champion_version is not None and champion_version.version == challenger_version.version:
        return Decision(True, "it is the champion already").as_dict()
    archive = space.archive()
    folder = space.training / "compared"
    challenger_parts = _gated(tracking, challenger_version, folder)
    if reason := refusal_reason(archive, challenger_parts):
        return Decision(False, reason).as_dict()
    if champion_version is None:
        return Decision(True, "the first scorer: there is no champion to compare with").as_dict()
    if champion_version.tags.get("definitions") != challenger_version.tags.get("definitions"):
        reason = "stages or horizons were redefined: the champion predicts something else"
        return Decision(True, reason).as_dict()
    try:
        champion_parts = _gated(tracking, champion_version, folder)
    except UserError as error:
        if not isinstance(error.__cause__, ForeignFormat):
            raise
        reason = "the champion is of an earlier version of stagecast, which cannot be loaded"
        return Decision(True, reason).as_dict()
    try:
        comparisons = compare_parts(
            archive, challenger_parts, champion_parts,
            seed=archive.builder.config.seed,
        )  # fmt: skip
    except UnableChampionError as error:
        reason = f"the champion cannot predict on today's features ({error})"
        return Decision(True, reason).as_dict()
    return decide_promotion(
        comparisons, same_recipe=same_recipe(champion_version.tags, challenger_version.tags)
    ).as_dict()


@task(name="move the alias")
def move_alias(output: str, version: int, decision: dict[str, Any]) -> None:
    """Log a decision; if accepted, point the champion alias at the version."""
    tracking = Workspace(Path(output)).tracking()
    versions = registry.versions(tracking, registry.SCORER)
    run_id = next(row.run_id for row in versions if row.version == version)
    tracking.existing(run_id).text(json.dumps(decision, indent=1), "promotion.json")
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
    return {"version": version, **decision}


@flow(name="promote (dry run)")
def dry_run_flow(output: str) -> dict[str, Any]:
    """Decide as `promote_flow` would; nothing is logged, and the alias stays where it is."""
    version, decision = _decided(output)
    return {"version": version, **decision}


def _decided(output: str) -> tuple[int, dict[str, Any]]:
    version = int(Workspace(Path(output)).read("training.json")["scorer"]["version"])
    return version, compare_versions(output, version)
