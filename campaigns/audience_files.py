"""Audience files of a run, safe to open in any tool, and their manifest."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from campaigns.planning import CampaignPlan
from campaigns.playbook import Playbook
from features.storage.csv_files import csv_content, write_bytes_atomically

# Columns of an audience file; the manifest holds the date of the scores.
FILE_COLUMNS = (
    "campaign_id",
    "customer_id",
    "channel",
    "rank",
    "expected_value",
    "arm",
    "change",
    "entered_at",
    "expires_at",
    "reasons",
    "offer_name",
    "propensity",
    "send_hour",
    "send_weekday",
)
AUDIENCE_SCHEMA = pa.schema(
    [
        ("campaign_id", pa.string()),
        ("customer_id", pa.string()),
        ("snapshot_at", pa.date32()),
        ("channel", pa.string()),
        ("rank", pa.int64()),
        ("expected_value", pa.float64()),
        ("arm", pa.string()),
        ("change", pa.string()),
        ("entered_at", pa.date32()),
        ("expires_at", pa.date32()),
        ("reasons", pa.string()),
        ("offer_name", pa.string()),
        ("propensity", pa.float64()),
        ("propensities", pa.string()),
        ("send_hour", pa.int64()),
        ("send_weekday", pa.string()),
    ]
)
MANIFEST_FILE = "manifest.json"
CONSENT_NOTES = {
    "not_recorded": (
        "Plan only: no consent is recorded, so these files hold customer ids and no contact "
        "keys. Do not send to them before consent has been checked."
    ),
    "managed_elsewhere": "Consent is managed elsewhere: the sending tool must apply it.",
    "recorded": (
        "Consent is recorded: everyone listed had given it for the channel before the date of the "
        "scores, and neither they nor anybody with the same address had withdrawn it, or stood on "
        "a suppression list, when the consents were read (consent_as_of)."
    ),
}


@dataclass(frozen=True)
class ExportRun:
    """Facts on a run for the manifest.

    Attributes
    ----------
    run_id, scorer_version, model_versions
        Run id, champion version, and versions of the models in it.
    written_at
        Time of writing, set by the flow.
    consent_as_of
        Time at which consents and suppressions were read; earlier withdrawals apply.
    guard
        State of the entrant guard (`campaigns.entrant_guard.EntrantGuard.to_manifest`).
    """

    run_id: str
    scorer_version: str
    model_versions: Mapping[str, Any] = field(default_factory=dict)
    written_at: dt.datetime | None = None
    consent_as_of: dt.datetime | None = None
    guard: Mapping[str, Any] | None = None


def audience_table(plan: CampaignPlan) -> pa.Table:
    """Audience of the plan in `AUDIENCE_SCHEMA`, for the scores store."""
    whole = {name: plan.audience[name].astype("Int64") for name in ("rank", "send_hour")}
    frame = plan.audience.assign(**whole)
    return pa.Table.from_pandas(frame, schema=AUDIENCE_SCHEMA, preserve_index=False)


def write_audiences(plan: CampaignPlan, folder: Path, *, run: ExportRun) -> list[Path]:
    """Write ``<campaign>.csv`` for every campaign (both arms), then ``manifest.json``.

    CSV with a header, comma separated, UTF-8; members by rank, then removed customers; dates as
    YYYY-MM-DD; null as an empty cell. Each file is written atomically.

    Parameters
    ----------
    plan
        Campaign plan.
    folder
        Target folder; created if absent.
    run
        Facts on the run for the manifest.

    Returns
    -------
    list of Path
        The audience files, then the manifest.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths, descriptions = [], []
    for playbook in plan.playbooks:
        rows = plan.audience[plan.audience["campaign_id"] == playbook.campaign]
        file = csv_content(rows[list(FILE_COLUMNS)], decimals=4)
        path = folder / f"{playbook.campaign}.csv"
        write_bytes_atomically(path, file.content)
        paths.append(path)
        facts = plan.table[plan.table["campaign_id"] == playbook.campaign].iloc[0].to_dict()
        description = _file_entry(playbook, rows, facts, file.content)
        descriptions.append(description | {"escaped_cells": file.escaped})
    manifest = folder / MANIFEST_FILE
    text = json.dumps(_manifest(plan, run, descriptions), indent=2, ensure_ascii=False) + "\n"
    write_bytes_atomically(manifest, text.encode("utf-8"))
    return [*paths, manifest]


def _file_entry(
    playbook: Playbook, rows: pd.DataFrame, facts: dict[str, Any], content: bytes
) -> dict[str, Any]:
    """Manifest entry of one audience file."""
    members = rows[rows["change"] != "removed"]
    # The terms of this wave: the playbook may change before its results are measured.
    offers = {
        named.name: {
            "text": named.text,
            "channel": ", ".join(variant.channels),
            "discount": named.discount,
            "contact_cost": variant.contact_cost,
        }
        for named, variant in zip(playbook.offers, playbook.variants, strict=False)
    }
    return {
        "campaign_id": playbook.campaign,
        "title": playbook.title,
        "file": f"{playbook.campaign}.csv",
        "sha256": hashlib.sha256(content).hexdigest(),
        "rows": len(rows),
        "members": len(members),
        "arms": {arm: int((members["arm"] == arm).sum()) for arm in ("treatment", "control")},
        "changes": {
            change: int((rows["change"] == change).sum()) for change in ("added", "kept", "removed")
        },
        "control_share": playbook.control_share,
        "channel": ", ".join(playbook.channels),
        "offer": "; ".join(playbook.offer_texts.values()),
        "success": playbook.success.means or playbook.success.metric,
        "success_metric": playbook.success.metric,
        "success_within_days": playbook.success.within_days,
        "expected_value": round(float(facts["expected_value"]), 4),
        "cost": round(float(facts["cost"]), 4),
        "value_label": facts["value_label"],
        "value_means": facts["value_means"],
        "smallest_detectable_effect": _rounded(facts["smallest_detectable_effect"]),
        "max_contacts": playbook.max_contacts,
        "held": facts["held"],
    } | ({"offers": offers} if offers else {})


def _rounded(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else round(value, 4)


def _manifest(
    plan: CampaignPlan, run: ExportRun, descriptions: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "snapshot_at": plan.snapshot_at.date().isoformat(),
        "scorer_version": run.scorer_version,
        "model_versions": dict(run.model_versions),
        "consent_basis": plan.consent,
        "plan_only": plan.plan_only,
        "contact_keys": [],
        "note": CONSENT_NOTES[plan.consent],
        "consent_as_of": None if run.consent_as_of is None else run.consent_as_of.isoformat(),
        "value_label": ", ".join(sorted(set(plan.table["value_label"]))),
        "columns": list(FILE_COLUMNS),
        "campaigns": descriptions,
        "exclusions": plan.exclusions.to_dict("records"),
        "guard": run.guard,
    }
