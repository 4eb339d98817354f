"""Exports to receiving tools: the treatment arm only, in each tool's documented form."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
import io
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from campaigns.audience_files import CONSENT_NOTES, ExportRun, cell_text, safe_cell, write_whole
from campaigns.contact_normalisation import FORMS, sha256
from campaigns.export_schema import AUDIENCE, MappedColumn, TargetMap
from campaigns.export_table import TABLE_FILE, write_table
from campaigns.holdout import TREATMENT
from campaigns.planning import CampaignPlan
from campaigns.playbook import Playbook
from features.config.customers import ADS, CONTACT_KEYS

EXPORTS = "exports"
EXTENSIONS = {"csv": "csv", "parquet": "parquet", "jsonl": "jsonl"}
WITHOUT_CONSENT = "without_ads_consent"


@dataclass(frozen=True)
class Delivery:
    """What exports need beside the plan.

    Attributes
    ----------
    scores
        Scored rows by customer id (index).
    contacts
        Contact keys by customer id (index).
    ads
        Customers who agreed to advertising; None: not recorded here.
    mode
        ``full``: everyone; ``delta``: only what has changed since the last export.
    anew
        Campaigns whose earlier export was held: a delta lists all of them as added.
    """

    scores: pd.DataFrame
    contacts: pd.DataFrame
    ads: Collection[str] | None = None
    mode: str = "full"
    anew: Collection[str] = field(default_factory=frozenset)


def export_rows(
    plan: CampaignPlan, playbook: Playbook, target: TargetMap, delivery: Delivery
) -> pd.DataFrame:
    """Rows of one campaign for one target, before they are mapped.

    The treatment arm only; ``removed`` are former members of that arm. In the order of rank, then
    of customer ids.
    """
    rows = plan.audience
    rows = rows[(rows["campaign_id"] == playbook.campaign) & (rows["arm"] == TREATMENT)]
    if target.channels is not None:
        rows = rows[rows["channel"].isin(target.channels)]
    if not target.removed:
        rows = rows[rows["change"] != "removed"]
    if playbook.campaign in delivery.anew:
        rows = rows[rows["change"] != "removed"].assign(change="added")
    if delivery.mode == "delta":
        rows = rows[rows["change"] != "kept"]
    rows = rows.sort_values(["rank", "customer_id"], na_position="last", kind="stable")
    return rows.assign(campaign_title=playbook.title, offer=playbook.offer.text)


def mapped(rows: pd.DataFrame, target: TargetMap, delivery: Delivery, plan_only: bool) -> Any:
    """Rows in the target's columns, as text.

    Contact keys stay empty where the plan may only be looked at.
    """
    columns = {column.name: _column(column, rows, delivery, plan_only) for column in target.columns}
    return pd.DataFrame(columns, index=rows.index, columns=[c.name for c in target.columns])


def _column(
    column: MappedColumn, rows: pd.DataFrame, delivery: Delivery, plan_only: bool
) -> list[str]:
    if column.constant is not None:
        return [column.constant] * len(rows)
    name, customers = str(column.source), rows["customer_id"]
    found: pd.Series[Any]
    if name in AUDIENCE:
        found = rows[name]
    elif name in CONTACT_KEYS:
        if plan_only or name not in delivery.contacts:
            return [""] * len(rows)
        found = delivery.contacts[name].reindex(customers)
    elif name in delivery.scores:
        found = delivery.scores[name].reindex(customers)
    else:
        return [""] * len(rows)
    form = FORMS[column.form]
    texts = [form(cell_text(value)) for value in found.astype(object)]
    return [sha256(text) for text in texts] if column.sha256 else texts


def write_exports(
    plan: CampaignPlan,
    targets: Sequence[TargetMap],
    folder: Path,
    *,
    run: ExportRun,
    delivery: Delivery,
) -> list[Path]:
    """Write every target's files under ``folder/<target>/``, each with a ``manifest.json``.

    A campaign that is held has no file; the manifest says why. CSV is comma separated UTF-8 with a
    header, safe to open in a spreadsheet. Each file appears whole or not at all.

    Returns
    -------
    list of Path
        The manifests.
    """
    held = dict(zip(plan.table["campaign_id"], plan.table["held"], strict=True))
    return [
        _write_target(plan, target, folder / target.target, run, delivery, held)
        for target in targets
    ]


def _write_target(
    plan: CampaignPlan,
    target: TargetMap,
    folder: Path,
    run: ExportRun,
    delivery: Delivery,
    held: Mapping[str, str],
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    described, waiting, parts = [], {}, []
    for playbook in plan.playbooks:
        if playbook.kind not in target.kinds:
            continue
        if held.get(playbook.campaign):
            waiting[playbook.campaign] = held[playbook.campaign]
            continue
        rows = export_rows(plan, playbook, target, delivery)
        table = mapped(rows, target, delivery, plan.plan_only)
        usable = _usable(table, target, plan.plan_only)
        about = {"campaign_id": playbook.campaign, "without_key": int((~usable).sum())}
        rows, table = rows[usable], table[usable]
        allowed = _ads_allowed(rows, target, delivery)
        about |= {WITHOUT_CONSENT: int((~allowed).sum())}
        rows, table = rows[allowed], table[allowed]
        counts = {c: int((rows["change"] == c).sum()) for c in ("added", "kept", "removed")}
        about |= {"rows": len(rows), "changes": counts}
        if len(rows) < target.lowest:
            described.append(about | {"file": None, "note": f"under {target.lowest} rows"})
        elif target.together or target.format == "table":
            parts.append(table)
            described.append(about | {"file": _together(target)})
        else:
            described += [
                about | file for file in _by_change(playbook, rows, table, target, folder, delivery)
            ]
    if target.together or target.format == "table":
        columns = [column.name for column in target.columns]
        whole = pd.concat(parts) if parts else pd.DataFrame(columns=columns)
        hashed = ""
        if target.format == "table":
            write_table(whole, folder / TABLE_FILE, url=target.url)
        else:
            hashed = _write_rows(whole, folder / _together(target), target)
        described = [each | {"sha256": hashed} for each in described]
    manifest = _manifest(plan, target, run, delivery, described, waiting)
    path = folder / "manifest.json"
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    write_whole(path, text.encode("utf-8"))
    return path


def _together(target: TargetMap) -> str:
    return TABLE_FILE if target.format == "table" else f"all.{EXTENSIONS[target.format]}"


def _by_change(
    playbook: Playbook,
    rows: pd.DataFrame,
    table: pd.DataFrame,
    target: TargetMap,
    folder: Path,
    delivery: Delivery,
) -> list[dict[str, Any]]:
    """Files of one campaign: whom to address, and apart from them whom to take out."""
    name, extension = playbook.campaign, EXTENSIONS[target.format]
    unknown = "_consent_not_recorded" if target.ads and delivery.ads is None else ""
    gone = (rows["change"] == "removed").to_numpy()
    files = []
    for part, suffix in ((table[~gone], ""), (table[gone], "_remove")):
        if suffix == "" or len(part):
            file = f"{name}{unknown}{suffix}.{extension}"
            hashed = _write_rows(part, folder / file, target)
            files.append({"file": file, "sha256": hashed, "rows_in_file": len(part)})
    return files


def _usable(table: pd.DataFrame, target: TargetMap, plan_only: bool) -> Any:
    """Rows with a key by which the target can find the person."""
    if not target.needs or plan_only:
        return np.ones(len(table), dtype=bool)
    return (table[list(target.needs)] != "").any(axis=1).to_numpy()


def _ads_allowed(rows: pd.DataFrame, target: TargetMap, delivery: Delivery) -> Any:
    """Who agreed to advertising; those to be removed always may be."""
    if not target.ads or delivery.ads is None:
        return np.ones(len(rows), dtype=bool)
    agreed = rows["customer_id"].isin(set(delivery.ads))
    return (agreed | (rows["change"] == "removed")).to_numpy()


def _write_rows(table: pd.DataFrame, path: Path, target: TargetMap) -> str:
    """Write one file and return its SHA-256."""
    if target.format == "csv":
        content = _csv(table)
    elif target.format == "jsonl":
        lines = (
            json.dumps({k: v for k, v in row.items() if v != ""}, ensure_ascii=False)
            for row in table.to_dict("records")
        )
        content = "".join(f"{line}\n" for line in lines).encode("utf-8")
    else:
        buffer = io.BytesIO()
        schema = pa.schema([(name, pa.string()) for name in table.columns])
        pq.write_table(pa.Table.from_pandas(table, schema=schema, preserve_index=False), buffer)
        content = buffer.getvalue()
    write_whole(path, content)
    return hashlib.sha256(content).hexdigest()


def _csv(table: pd.DataFrame) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    for row in table.itertuples(index=False, name=None):
        writer.writerow([safe_cell(cell) for cell in row])
    return text.getvalue().encode("utf-8")


def _manifest(
    plan: CampaignPlan,
    target: TargetMap,
    run: ExportRun,
    delivery: Delivery,
    described: list[dict[str, Any]],
    waiting: Mapping[str, str],
) -> dict[str, Any]:
    return {
        "target": target.target,
        "run_id": run.run_id,
        "snapshot_at": plan.snapshot_at.date().isoformat(),
        "scorer_version": run.scorer_version,
        "model_versions": dict(run.model_versions),
        "mode": delivery.mode,
        "arm": TREATMENT,
        "consent_basis": plan.consent,
        "ads_consent": None
        if not target.ads
        else "recorded"
        if delivery.ads is not None
        else "not recorded",
        "purpose": ADS if target.ads else "contact",
        "plan_only": plan.plan_only,
        "contact_keys": [] if plan.plan_only else target.contacts,
        "note": CONSENT_NOTES[plan.consent],
        "columns": [column.name for column in target.columns],
        "files": described,
        "held": dict(waiting),
        "written_at": _iso(run.written_at),
    }


def _iso(moment: dt.datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
