"""Exports to receiving tools: the treatment arm only, in each tool's documented form."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from campaigns.addresses import KINDS, NO_ADDRESSES, Addresses, first_of_each, kinds_of
from campaigns.audience_files import CONSENT_NOTES, ExportRun
from campaigns.contact_normalisation import FORMS, address_text, sha256
from campaigns.export_index import FOLDER, ExportIndex, RowKeys
from campaigns.export_schema import AUDIENCE, MappedColumn, TargetMap
from campaigns.export_table import TABLE_FILE, write_table
from campaigns.holdout import CONTROL, TREATMENT
from campaigns.planning import CampaignPlan
from campaigns.playbook import Playbook
from features.config.customers import ADS, CONTACT_KEYS
from features.storage.csv_files import cell_text, csv_content, write_bytes_atomically
from features.storage.row_files import joined_cells, row_file

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
    row_keys
        Secret under which is kept whose each row was, for erasures; None: it is not kept.
    addresses
        Addresses that stand under several ids.
    no_ads
        Customers who refused advertising, or share an address with one who did.
    kept_out
        Contact key -> customers whose key is written for no other channel than that they allow.
    """

    scores: pd.DataFrame
    contacts: pd.DataFrame
    ads: Collection[str] | None = None
    mode: str = "full"
    anew: Collection[str] = field(default_factory=frozenset)
    row_keys: RowKeys | None = None
    addresses: Addresses = NO_ADDRESSES
    no_ads: Collection[str] = field(default_factory=frozenset)
    kept_out: Mapping[str, Collection[str]] = field(default_factory=dict)


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


def contact_keys(
    plan: CampaignPlan, rows: pd.DataFrame, target: TargetMap, delivery: Delivery
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Contact keys of the rows of one file, and how many of them had to be left empty.

    Left empty is an address that refused, or is suppressed in, another channel than the row's; one
    that sits in a control arm under another id; and one that stands in the file already. The keys
    of the removed stay: by them the tool takes people out.

    Returns
    -------
    DataFrame
        By customer id, in the order of the rows.
    dict
        ``refused_keys``, ``control_keys`` and ``repeated_keys``.
    """
    customers = pd.Index(rows["customer_id"])
    keys = delivery.contacts.reindex(customers)
    counts = {"refused_keys": 0, "control_keys": 0, "repeated_keys": 0}
    members, gone = plan.audience, (rows["change"] == "removed").to_numpy()
    promotional = [book.campaign for book in plan.playbooks if book.kind == "promotional"]
    control = members[
        (members["arm"] == CONTROL)
        & (members["change"] != "removed")
        & members["campaign_id"].isin(promotional)
    ]
    own = {c: kinds_of([ADS] if target.ads else [c]) for c in rows["channel"].unique()}
    for kind in (kind for kind in KINDS if kind in keys and kind in target.contacts):
        elsewhere = np.array([kind not in own[channel] for channel in rows["channel"]], dtype=bool)
        refused = elsewhere & customers.isin(delivery.kept_out.get(kind, ()))
        held = customers.isin(delivery.addresses.others(control["customer_id"], [kind]))
        texts = keys[kind].fillna("").astype(str)
        countries = keys["country"] if "country" in keys else pd.Series("", index=keys.index)
        addresses = [
            address_text(kind, text, country) if text else ""
            for text, country in zip(texts, countries.fillna("").astype(str), strict=True)
        ]
        alike = np.where(gone | refused | held, "", np.array(addresses, dtype=object))
        repeated = ~first_of_each(list(alike))
        filled = (texts != "").to_numpy() & ~gone
        for name, hit in (
            ("refused", refused),
            ("control", held & ~refused),
            ("repeated", repeated),
        ):
            counts[f"{name}_keys"] += int((filled & hit).sum())
        keys[kind] = keys[kind].astype(object).mask((refused | held | repeated) & ~gone, None)
    return keys, counts


def mapped(rows: pd.DataFrame, target: TargetMap, delivery: Delivery, plan_only: bool) -> Any:
    """Rows in the target's columns, as text, by customer id (index).

    Contact keys stay empty where the plan may only be looked at.
    """
    columns = {column.name: _column(column, rows, delivery, plan_only) for column in target.columns}
    names = [column.name for column in target.columns]
    return pd.DataFrame(columns, index=pd.Index(rows["customer_id"]), columns=names)


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
    texts = [form(cell_text(value, decimals=4)) for value in found.astype(object)]
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
    index = None if delivery.row_keys is None else ExportIndex(delivery.row_keys, {})
    for playbook in plan.playbooks:
        if playbook.kind not in target.kinds:
            continue
        if held.get(playbook.campaign):
            waiting[playbook.campaign] = held[playbook.campaign]
            continue
        rows = export_rows(plan, playbook, target, delivery)
        rows = _not_taken_over(rows, delivery)
        keys, left_empty = contact_keys(plan, rows, target, delivery)
        table = mapped(rows, target, replace(delivery, contacts=keys), plan.plan_only)
        usable = _usable(table, target, plan.plan_only)
        about = {"campaign_id": playbook.campaign, "without_key": int((~usable).sum())}
        rows, table = rows[usable], table[usable]
        allowed = _ads_allowed(rows, target, delivery)
        about |= {WITHOUT_CONSENT: int((~allowed).sum())} | left_empty
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
                about | file
                for file in _by_change(playbook, rows, table, target, folder, delivery, index)
            ]
    if target.together or target.format == "table":
        columns = [column.name for column in target.columns]
        whole = pd.concat(parts) if parts else pd.DataFrame(columns=columns)
        hashed = ""
        if target.format == "table":
            if index is not None:  # before the database, which others read, holds the rows
                index.add(TABLE_FILE, map(joined_cells, whole.to_numpy()), whole.index)
                index.save(_index_file(folder))
            write_table(whole, folder / TABLE_FILE, url=target.url)
        else:
            hashed = _write_rows(whole, folder / _together(target), target, index)
        described = [each | {"sha256": hashed} for each in described]
    if index is not None:
        index.save(_index_file(folder))
    manifest = _manifest(plan, target, run, delivery, described, waiting)
    path = folder / "manifest.json"
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    write_bytes_atomically(path, text.encode("utf-8"))
    return path


def _index_file(folder: Path) -> Path:
    """The index of a target's rows; not among the files that are handed out."""
    return folder.parent.with_name(FOLDER) / f"{folder.name}.parquet"


def _together(target: TargetMap) -> str:
    return TABLE_FILE if target.format == "table" else f"all.{EXTENSIONS[target.format]}"


def _by_change(
    playbook: Playbook,
    rows: pd.DataFrame,
    table: pd.DataFrame,
    target: TargetMap,
    folder: Path,
    delivery: Delivery,
    index: ExportIndex | None,
) -> list[dict[str, Any]]:
    """Files of one campaign: whom to address, and apart from them whom to take out."""
    name, extension = playbook.campaign, EXTENSIONS[target.format]
    unknown = "_consent_not_recorded" if target.ads and delivery.ads is None else ""
    gone = (rows["change"] == "removed").to_numpy()
    files = []
    for part, suffix in ((table[~gone], ""), (table[gone], "_remove")):
        if suffix == "" or len(part):
            file = f"{name}{unknown}{suffix}.{extension}"
            hashed = _write_rows(part, folder / file, target, index)
            files.append({"file": file, "sha256": hashed, "rows_in_file": len(part)})
    return files


def _usable(table: pd.DataFrame, target: TargetMap, plan_only: bool) -> Any:
    """Rows with a key by which the target can find the person."""
    if not target.needs or plan_only:
        return np.ones(len(table), dtype=bool)
    return (table[list(target.needs)] != "").any(axis=1).to_numpy()


def _ads_allowed(rows: pd.DataFrame, target: TargetMap, delivery: Delivery) -> Any:
    """Who agreed to advertising; those to be removed always may be."""
    if not target.ads:
        return np.ones(len(rows), dtype=bool)
    agreed = ~rows["customer_id"].isin(set(delivery.no_ads))
    if delivery.ads is not None:
        agreed &= rows["customer_id"].isin(set(delivery.ads))
    return (agreed | (rows["change"] == "removed")).to_numpy()


def _not_taken_over(rows: pd.DataFrame, delivery: Delivery) -> pd.DataFrame:
    """The rows without removals of people who stay under another id of the same address."""
    gone = (rows["change"] == "removed").to_numpy()
    if not gone.any():
        return rows
    staying = delivery.addresses.others(rows["customer_id"][~gone], KINDS)
    return rows[~(gone & rows["customer_id"].isin(staying).to_numpy())]


def _write_rows(
    table: pd.DataFrame, path: Path, target: TargetMap, index: ExportIndex | None
) -> str:
    """Write one file, note whose its rows are, and return its SHA-256."""
    if target.format == "csv":
        content = csv_content(table).content
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
    write_bytes_atomically(path, content)
    if index is not None:
        index.add(path.name, row_file(content, path.suffix).records, table.index)
    return hashlib.sha256(content).hexdigest()


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
        "consent_as_of": _iso(run.consent_as_of),
        "columns": [column.name for column in target.columns],
        "files": described,
        "held": dict(waiting),
        "left_out_by_address": left_out_by_address(plan),
        "written_at": _iso(run.written_at),
    }


def left_out_by_address(plan: CampaignPlan) -> dict[str, dict[str, int]]:
    """Campaign -> reason -> customers whom the address of another one keeps out."""
    rows = plan.exclusions
    rows = rows[rows["reason"].astype(str).str.contains(r"\baddress\b")]
    found: dict[str, dict[str, int]] = {}
    for campaign, reason, n in rows.itertuples(index=False, name=None):
        found.setdefault(campaign, {})[reason] = int(n)
    return found


def _iso(moment: dt.datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
