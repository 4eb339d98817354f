"""Measure flow: what the published campaigns changed, from the events that came afterwards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from campaigns.audience_files import MANIFEST_FILE
from campaigns.candidates import with_exclusions
from campaigns.holdout import CONTROL, TREATMENT, in_global_holdout
from campaigns.measurement import Waves, entered, not_yet, report
from campaigns.playbook import Playbook, StageSet, load_playbooks
from features.config.config import Config
from features.errors import UserError
from features.lifecycle.taxonomy_parser import load_taxonomy
from features.storage import scores_store
from features.storage.csv_files import write_csv
from features.storage.runs import PublishedRun, run_folder
from features.table.campaign_outcomes import data_through, outcomes
from flows.services.workspace import Workspace

FOLDER = "measurement"
GLOBAL_NAME = "global_holdout"


def measure(output: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Effects of every campaign, and what cannot be measured yet; written under measurement/.

    Raises
    ------
    UserError
        Where nothing has been published.
    """
    space = Workspace(output)
    config = space.config()
    runs = [run for run in scores_store.published_runs(output) if run.status == "published"]
    if not runs:
        raise UserError(
            str(output),
            found="no published run",
            expected="campaigns that were planned and published",
            hint="run `stagecast run` or `stagecast score` first",
        )
    taxonomy = StageSet.of(load_taxonomy(config))
    playbooks = with_exclusions(load_playbooks([Path(p) for p in config.campaigns]), taxonomy)
    measured = [book for book in playbooks if book.kind in ("promotional", "service")]
    through = pd.Timestamp(data_through(output, config))
    rows = pd.concat(
        [entries(output, runs, measured), _global(output, runs, config, through)],
        ignore_index=True,
    )
    rows = _with_outcomes(output, config, rows, through)
    waves = Waves(rows, through)
    effects = report(waves)
    waiting = not_yet(waves, [book.campaign for book in measured])
    folder = output / FOLDER
    folder.mkdir(exist_ok=True)
    write_csv(folder / "effects.csv", effects)
    write_csv(folder / "not_yet_measurable.csv", waiting)
    return effects, waiting


def entries(output: Path, runs: list[PublishedRun], playbooks: list[Playbook]) -> pd.DataFrame:
    """Everyone who entered a campaign, with their stage at entry.

    An export that waited reached nobody: its members enter on the day on which it was released.
    """
    terms = {b.campaign: (b.success.within_days, b.control_share) for b in playbooks}
    roles = {b.campaign: b.success.role for b in playbooks}
    waiting: set[tuple[str, str]] = set()
    parts = []
    for run in sorted(runs, key=lambda run: run.snapshot_at):
        told = _manifest(output, run)
        audience = pd.read_parquet(output / run.audience_file)
        audience["entered_at"] = pd.to_datetime(audience["entered_at"])
        held = audience["campaign_id"].isin([c for c, each in told.items() if each.get("held")])
        keys = pd.MultiIndex.from_frame(audience[["campaign_id", "customer_id"]])
        released = ~held & (audience["change"] == "kept") & keys.isin(waiting)
        audience.loc[released, "entered_at"] = pd.Timestamp(run.snapshot_at)
        audience.loc[released, "change"] = "added"
        waiting |= set(keys[held & (audience["change"] == "added")])
        waiting -= set(keys[~held])
        mine = entered(audience[~held], {**terms, **_planned(told, terms)})
        mine["stage"] = _stages(output, run).reindex(mine["customer_id"]).to_numpy()
        parts.append(mine)
    rows = pd.concat(parts, ignore_index=True)
    rows["role"] = [roles[name] for name in rows["campaign_id"]]
    return rows


def _manifest(output: Path, run: PublishedRun) -> dict[str, Any]:
    """What the manifest of a run's audiences says, by campaign."""
    path = run_folder(output, run.run_id) / "audiences" / MANIFEST_FILE
    if not path.is_file():
        return {}
    told = json.loads(path.read_text(encoding="utf-8"))["campaigns"]
    return {each["campaign_id"]: each for each in told}


def _planned(
    told: Mapping[str, Any], terms: Mapping[str, tuple[int, float]]
) -> dict[str, tuple[int, float]]:
    """Days of success and control share as they were planned: a playbook may have changed."""
    return {
        campaign: (int(each["success_within_days"]), float(each["control_share"]))
        for campaign, each in told.items()
        if campaign in terms
    }


def _stages(output: Path, run: PublishedRun) -> pd.Series[str]:
    scores = pd.read_parquet(
        run_folder(output, run.run_id) / "scores", columns=["customer_id", "stage"]
    )
    return scores.set_index("customer_id")["stage"]


def _global(
    output: Path, runs: list[PublishedRun], config: Config, through: pd.Timestamp
) -> pd.DataFrame:
    """Everyone scored when the global hold-out began, in its two arms."""
    held = config.contact_policy.global_holdout
    first = min(runs, key=lambda run: run.snapshot_at)
    days = (min(through, pd.Timestamp(held.until)) - pd.Timestamp(first.snapshot_at)).days + 1 \
        if held is not None else 0  # fmt: skip
    if held is None or days < 1:
        return pd.DataFrame()
    stage = _stages(output, first)
    out = in_global_holdout(list(stage.index), held, salt=f"{config.name}:{config.seed}")
    return pd.DataFrame(
        {
            "campaign_id": GLOBAL_NAME,
            "customer_id": stage.index,
            "entered_at": pd.Timestamp(first.snapshot_at),
            "arm": [CONTROL if each else TREATMENT for each in out],
            "channel": "all",
            "within_days": days,
            "control_share": held.share,
            "matures_at": min(through, pd.Timestamp(held.until)),
            "stage": stage.to_numpy(),
            "role": "purchase",
        }
    )


def _with_outcomes(
    output: Path, config: Config, rows: pd.DataFrame, through: pd.Timestamp
) -> pd.DataFrame:
    matured = rows[pd.to_datetime(rows["matures_at"]) <= through]
    found = outcomes(output, config, matured, margin=config.contact_policy.margin)
    return rows.join(found)
