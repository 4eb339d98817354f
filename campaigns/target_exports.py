"""Exports to receiving tools: the treatment arm, in the documented form of each tool."""

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

from campaigns.addresses import (
    ADDRESS_KINDS,
    NO_ADDRESSES,
    Addresses,
    address_kinds,
    cells_with_several,
    comparable_cells,
    first_occurrences,
    reaching_kinds,
)
from campaigns.audience_files import CONSENT_NOTES, ExportRun
from campaigns.export_index import INDEX_FOLDER, ExportIndex, RowKeys
from campaigns.export_schema import AUDIENCE_FIELDS, MappedColumn, TargetMap
from campaigns.export_table import TABLE_FILE, write_table
from campaigns.holdout import CONTROL, TREATMENT
from campaigns.planning import CampaignPlan
from campaigns.playbook import Playbook
from features.config.customers import ADS, CONTACT_KEYS
from features.sources.contact_normalisation import FORMS, sha256_of_text
from features.storage.csv_files import cell_text, csv_content, write_bytes_atomically
from features.storage.row_files import joined_cells, row_file

EXPORTS_FOLDER = "exports"
_WITHOUT_CONSENT = "without_ads_consent"
_CHANGES = ("added", "kept", "removed")


@dataclass(frozen=True)
class Delivery:
    """Inputs of exports beside the plan.

    Attributes
    ----------
    scores
        Scored rows by customer id (index).
    contacts
        Contact keys by customer id (index).
    ads
        Customers who consent to advertising; None: not recorded here.
    mode
        ``full``: all rows; ``delta``: changes since the last export.
    relisted
        Campaigns whose last export was held: a delta lists all their members as added.
    row_keys
        Secret of the row index, for erasures; None: no index is written.
    addresses
        Addresses that several customer ids share.
    no_ads
        Customers who refused advertising, or share an address with a customer who did.
    withheld
        Contact key -> customers whose key other channels must not export.
    """

    scores: pd.DataFrame
    contacts: pd.DataFrame
    ads: Collection[str] | None = None
    mode: str = "full"
    relisted: Collection[str] = field(default_factory=frozenset)
    row_keys: RowKeys | None = None
    addresses: Addresses = NO_ADDRESSES
    no_ads: Collection[str] = field(default_factory=frozenset)
    withheld: Mapping[str, Collection[str]] = field(default_factory=dict)


def _export_rows(
    plan: CampaignPlan, playbook: Playbook, target: TargetMap, delivery: Delivery
) -> pd.DataFrame:
    """Audience rows of one campaign for one target, before the column map.

    Only the treatment arm; ``removed`` rows are former members of it. Sorted by rank, then by
    customer id.
    """
    rows = plan.audience
    rows = rows[(rows["campaign_id"] == playbook.campaign) & (rows["arm"] == TREATMENT)]
    if target.channels is not None:
        rows = rows[rows["channel"].isin(target.channels)]
    if not target.removed:
        rows = rows[rows["change"] != "removed"]
    if playbook.campaign in delivery.relisted:
        rows = rows[rows["change"] != "removed"].assign(change="added")
    if delivery.mode == "delta":
        rows = rows[rows["change"] != "kept"]
    rows = rows.sort_values(["rank", "customer_id"], na_position="last", kind="stable")
    texts = playbook.offer_texts
    offers = rows["offer_name"].fillna("") if playbook.offers else pd.Series("", index=rows.index)
    # A removed member's offer may have gone from the playbook.
    return rows.assign(campaign_title=playbook.title, offer=offers.map(texts).fillna(""))


def _contact_keys(
    plan: CampaignPlan, rows: pd.DataFrame, target: TargetMap, delivery: Delivery
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Contact keys of the rows of one file, and the number of keys left empty.

    Left empty are addresses refused or suppressed in another channel than the row's, addresses in
    a control arm under another id, repeated addresses, and cells with several addresses, which a
    tool cannot read. Removed rows keep their keys: the tool needs them to remove the customers.

    Returns
    -------
    DataFrame
        By customer id, in the order of the rows.
    dict
        ``refused_keys``, ``control_keys``, ``repeated_keys`` and ``several_keys``.
    """
    customers = pd.Index(rows["customer_id"])
    keys = delivery.contacts.reindex(customers)
    counts = {"refused_keys": 0, "control_keys": 0, "repeated_keys": 0, "several_keys": 0}
    members, is_removed = plan.audience, (rows["change"] == "removed").to_numpy()
    promotional = [book.campaign for book in plan.playbooks if book.kind == "promotional"]
    control = members[
        (members["arm"] == CONTROL)
        & (members["change"] != "removed")
        & members["campaign_id"].isin(promotional)
    ]
    ads = address_kinds([ADS]) if target.ads else None
    own_kinds = {channel: ads or reaching_kinds(channel) for channel in rows["channel"].unique()}
    for kind in (kind for kind in ADDRESS_KINDS if kind in keys and kind in target.contacts):
        foreign = np.array([kind not in own_kinds[name] for name in rows["channel"]], dtype=bool)
        is_refused = foreign & customers.isin(delivery.withheld.get(kind, ()))
        in_control = customers.isin(delivery.addresses.shared_with(control["customer_id"], [kind]))
        key_texts = keys[kind].fillna("").astype(str)
        addresses = comparable_cells(keys, kind)
        is_several = cells_with_several(keys, kind)
        left_out = is_removed | is_refused | in_control | is_several
        comparable = np.where(left_out, "", addresses)
        is_repeated = ~first_occurrences(list(comparable))
        filled = (key_texts != "").to_numpy() & ~is_removed
        counts["refused_keys"] += int((filled & is_refused).sum())
        counts["control_keys"] += int((filled & in_control & ~is_refused).sum())
        counts["repeated_keys"] += int((filled & is_repeated).sum())
        counts["several_keys"] += int((filled & is_several & ~is_refused & ~in_control).sum())
        empty = (is_refused | in_control | is_repeated | is_several) & ~is_removed
        keys[kind] = keys[kind].astype(object).mask(empty, None)
    return keys, counts


def _mapped(rows: pd.DataFrame, target: TargetMap, delivery: Delivery, plan_only: bool) -> Any:
    """Apply the column map: text columns by customer id (index).

    Contact keys stay empty in a plan without recorded consent.
    """
    columns = {column.name: _column(column, rows, delivery, plan_only) for column in target.columns}
    names = [column.name for column in target.columns]
    return pd.DataFrame(columns, index=pd.Index(rows["customer_id"]), columns=names)


def _column(
    column: MappedColumn, rows: pd.DataFrame, delivery: Delivery, plan_only: bool
) -> list[str]:
    if column.constant is not None:
        return [column.constant] * len(rows)
    source, customers = str(column.source), rows["customer_id"]
    values: pd.Series[Any]
    if source in AUDIENCE_FIELDS:
        values = rows[source]
    elif source in CONTACT_KEYS:
        if plan_only or source not in delivery.contacts:
            return [""] * len(rows)
        values = delivery.contacts[source].reindex(customers)
    elif source in delivery.scores:
        values = delivery.scores[source].reindex(customers)
    else:
        return [""] * len(rows)
    form = FORMS[column.form]
    cell_texts = [form(cell_text(value, decimals=4)) for value in values.astype(object)]
    return [sha256_of_text(text) for text in cell_texts] if column.sha256 else cell_texts


def write_exports(
    plan: CampaignPlan,
    targets: Sequence[TargetMap],
    folder: Path,
    *,
    run: ExportRun,
    delivery: Delivery,
) -> list[Path]:
    """Write the files of every target to ``folder/<target>/``, with a ``manifest.json``.

    A held campaign has no file; the manifest gives the reason. CSV is comma-separated UTF-8 with a
    header, safe to open in a spreadsheet. Each file is written atomically.

    Returns
    -------
    list of Path
        The manifests.
    """
    held_campaigns = dict(zip(plan.table["campaign_id"], plan.table["held"], strict=True))
    return [
        _write_target(plan, target, folder / target.target, run, delivery, held_campaigns)
        for target in targets
    ]


def _write_target(
    plan: CampaignPlan,
    target: TargetMap,
    folder: Path,
    run: ExportRun,
    delivery: Delivery,
    held_campaigns: Mapping[str, str],
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    descriptions, held_by_campaign, tables = [], {}, []
    index = None if delivery.row_keys is None else ExportIndex(delivery.row_keys, {})
    for playbook in plan.playbooks:
        if playbook.kind not in target.kinds:
            continue
        if held_campaigns.get(playbook.campaign):
            held_by_campaign[playbook.campaign] = held_campaigns[playbook.campaign]
            continue
        rows = _export_rows(plan, playbook, target, delivery)
        rows = _drop_reassigned_removals(rows, delivery)
        keys, left_empty = _contact_keys(plan, rows, target, delivery)
        table = _mapped(rows, target, replace(delivery, contacts=keys), plan.plan_only)
        usable = _usable(table, target, plan.plan_only)
        description = {"campaign_id": playbook.campaign, "without_key": int((~usable).sum())}
        rows, table = rows[usable], table[usable]
        ads_allowed = _ads_allowed(rows, target, delivery)
        description |= {_WITHOUT_CONSENT: int((~ads_allowed).sum())} | left_empty
        rows, table = rows[ads_allowed], table[ads_allowed]
        changes = {name: int((rows["change"] == name).sum()) for name in _CHANGES}
        description |= {"rows": len(rows), "changes": changes}
        if len(rows) < target.lowest:
            descriptions.append(description | {"file": None, "note": f"under {target.lowest} rows"})
        elif target.together or target.format == "table":
            tables.append(table)
            descriptions.append(description | {"file": _common_file_name(target)})
        else:
            descriptions += [
                description | file
                for file in _write_campaign_files(
                    playbook, rows, table, target, folder, delivery, index
                )
            ]
    if target.together or target.format == "table":
        columns = [column.name for column in target.columns]
        all_rows = pd.concat(tables) if tables else pd.DataFrame(columns=columns)
        file_hash = ""
        if target.format == "table":
            if index is not None:  # before the rows are in the database, which others read
                index.add(TABLE_FILE, map(joined_cells, all_rows.to_numpy()), all_rows.index)
                index.save(_index_file(folder))
            write_table(all_rows, folder / TABLE_FILE, url=target.url)
        else:
            file_hash = _write_rows(all_rows, folder / _common_file_name(target), target, index)
        descriptions = [entry | {"sha256": file_hash} for entry in descriptions]
    if index is not None:
        index.save(_index_file(folder))
    manifest = _manifest(plan, target, run, delivery, descriptions, held_by_campaign)
    path = folder / "manifest.json"
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    write_bytes_atomically(path, text.encode("utf-8"))
    return path


def _index_file(folder: Path) -> Path:
    """Path of a target's row index, outside the folder of delivered files."""
    return folder.parent.with_name(INDEX_FOLDER) / f"{folder.name}.parquet"


def _common_file_name(target: TargetMap) -> str:
    return TABLE_FILE if target.format == "table" else f"all.{target.format}"


def _write_campaign_files(
    playbook: Playbook,
    rows: pd.DataFrame,
    table: pd.DataFrame,
    target: TargetMap,
    folder: Path,
    delivery: Delivery,
    index: ExportIndex | None,
) -> list[dict[str, Any]]:
    """Write the files of one campaign: customers to contact, and customers to remove."""
    consent_suffix = "_consent_not_recorded" if target.ads and delivery.ads is None else ""
    is_removed = (rows["change"] == "removed").to_numpy()
    files = []
    for part_rows, suffix in ((table[~is_removed], ""), (table[is_removed], "_remove")):
        if suffix == "" or len(part_rows):
            file_name = f"{playbook.campaign}{consent_suffix}{suffix}.{target.format}"
            file_hash = _write_rows(part_rows, folder / file_name, target, index)
            files.append({"file": file_name, "sha256": file_hash, "rows_in_file": len(part_rows)})
    return files


def _usable(table: pd.DataFrame, target: TargetMap, plan_only: bool) -> Any:
    """True for rows with a key that the target needs."""
    if not target.needs or plan_only:
        return np.ones(len(table), dtype=bool)
    return (table[list(target.needs)] != "").any(axis=1).to_numpy()


def _ads_allowed(rows: pd.DataFrame, target: TargetMap, delivery: Delivery) -> Any:
    """True for rows with consent to advertising, and for removals."""
    if not target.ads:
        return np.ones(len(rows), dtype=bool)
    has_agreed = ~rows["customer_id"].isin(set(delivery.no_ads))
    if delivery.ads is not None:
        has_agreed &= rows["customer_id"].isin(set(delivery.ads))
    return (has_agreed | (rows["change"] == "removed")).to_numpy()


def _drop_reassigned_removals(rows: pd.DataFrame, delivery: Delivery) -> pd.DataFrame:
    """Drop removals of people who stay under another id with the same address."""
    is_removed = (rows["change"] == "removed").to_numpy()
    if not is_removed.any():
        return rows
    staying = delivery.addresses.shared_with(rows["customer_id"][~is_removed], ADDRESS_KINDS)
    return rows[~(is_removed & rows["customer_id"].isin(staying).to_numpy())]


def _write_rows(
    table: pd.DataFrame, path: Path, target: TargetMap, index: ExportIndex | None
) -> str:
    """Write one file, index its rows, and return its SHA-256."""
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
    descriptions: list[dict[str, Any]],
    held_campaigns: Mapping[str, str],
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
        "files": descriptions,
        "held": dict(held_campaigns),
        "left_out_by_address": left_out_by_address(plan),
        "written_at": _iso(run.written_at),
    }


def left_out_by_address(plan: CampaignPlan) -> dict[str, dict[str, int]]:
    """Campaign -> reason -> number of customers excluded by the address of another customer."""
    exclusions = plan.exclusions
    exclusions = exclusions[exclusions["reason"].astype(str).str.contains(r"\baddress\b")]
    counts: dict[str, dict[str, int]] = {}
    for campaign, reason, customers in exclusions.itertuples(index=False, name=None):
        counts.setdefault(campaign, {})[reason] = int(customers)
    return counts


def _iso(moment: dt.datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
