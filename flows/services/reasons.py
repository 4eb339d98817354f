"""Reasons of scores: for every member of an audience in a run, and for one customer on request."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from campaigns.membership_reasons import with_sentences
from features import processes
from features.calendar import day_number
from features.errors import UserError
from features.sources.keys import key_value
from features.storage import scores_store
from features.storage.check_sums import has_sums
from features.storage.runs import run_folder, write_parquet
from features.table.feature_store import FOLDER, feature_file, read_features, stored_spec
from flows.services.campaign_plan import Planned
from flows.services.console import console, step
from flows.services.workspace import Workspace
from models.explaining.reasons import CODES, SENTENCES, Words, reasons
from models.registry import registry
from models.scorer.part import Part
from models.serving.batches import loaded_once

COLUMNS = [*CODES, *SENTENCES]
SHOWN = (
    "stage",
    "next_stage",
    "p_move",
    "p_churn",
    "churn_band",
    "p_first_purchase",
    "lead_band",
    "p_reactivate",
    "expected_orders",
    "expected_next_order_at",
    "clv",
    "clv_low",
    "clv_high",
    "value_tier",
    "score_quality",
)


def reasons_of(space: Workspace, run_id: str, customers: Collection[str]) -> pd.DataFrame:
    """Reasons of some customers' scores in a run, by the scorer and the context that made them.

    Returns
    -------
    Columns `CODES` and `SENTENCES`, indexed by customer_id; one row a customer of the run.
    """
    folder = run_folder(space.output, run_id)
    meta = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    context = json.loads((folder / "scoring_context.json").read_text(encoding="utf-8"))
    loaded, config = (
        registry.load(space.tracking(), version=int(meta["scorer_version"])),
        space.config(),
    )
    words = Words.of(
        stored_spec(space.output, config), loaded.scorer.head["stages"], config.sensitive
    )
    at = day_number(pd.Timestamp(meta["snapshot_at"]).date())
    place = feature_file(space.output / FOLDER, at)
    if not has_sums(place):  # events that came late took it away: it is built anew
        space.archive().features(at)
    asked = {"customers": sorted(customers), "context": context, "words": words}
    if not place.is_dir():
        return _of_part(place, loaded.scorer.parts, **asked)
    work = partial(_in_worker, scorer=(loaded.folder, loaded.version.version), **asked)
    with processes.pool(config.threads) as pool:
        return pd.concat(pool.map(work, sorted(place.glob("*.parquet"))))


def _in_worker(file: Path, scorer: tuple[Path, int], **asked: Any) -> pd.DataFrame:
    return _of_part(file, loaded_once(*scorer).scorer.parts, **asked)


def _of_part(
    file: Path,
    parts: Mapping[str, Part],
    *,
    customers: Sequence[str],
    context: Mapping[str, Any],
    words: Words,
) -> pd.DataFrame:
    """Reasons of those of some customers whose features lie in a file."""
    frame = read_features(file, customers)
    index = pd.Index(frame["customer_id"], name="customer_id")
    return reasons(parts, frame, context, words).set_index(index)


def add_reasons(space: Workspace, run_id: str, planned: Planned) -> Planned:
    """Reasons of all members, in the run's scored rows and in the audiences; null for others."""
    audience = planned.plan.audience
    members = sorted(set(audience.loc[audience["change"] != "removed", "customer_id"]))
    told = pd.DataFrame(None, index=pd.Index([], name="customer_id"), columns=COLUMNS)
    if members:
        told = reasons_of(space, run_id, members)
        step(f"reasons of {len(members):,} audience members")
    for path in sorted((run_folder(space.output, run_id) / "scores").glob("*.parquet")):
        rows = _with_reasons(pd.read_parquet(path), told)
        # A new file takes the place: the old one may be shared with the run it was taken from.
        write_parquet(path, pa.Table.from_pandas(rows, preserve_index=False))
    by_customer = _with_reasons(planned.delivery.scores.reset_index(), told)
    by_customer = by_customer.set_index("customer_id")
    plan = dataclasses.replace(planned.plan, audience=with_sentences(audience, by_customer))
    delivery = dataclasses.replace(planned.delivery, scores=by_customer)
    return dataclasses.replace(planned, plan=plan, delivery=delivery)


def _with_reasons(scores: pd.DataFrame, told: pd.DataFrame) -> pd.DataFrame:
    found = told.reindex(scores["customer_id"])
    texts = {name: pd.Series(found[name].to_numpy(dtype=object)) for name in COLUMNS}
    return scores.assign(**{name: text.astype("str").to_numpy() for name, text in texts.items()})


def explained(output: Path, customer: str) -> dict[str, Any]:
    """What the published scores say of a customer, and why.

    Returns
    -------
    dict
        customer_id, snapshot_at, scorer_version, the scores that are known, and reasons: code and
        sentence of each.

    Raises
    ------
    UserError
        Where nothing is published, or the customer was not scored.
    """
    current = scores_store.read_current(output)
    customer = key_value(customer) or customer
    rows = current.scores[current.scores["customer_id"] == customer]
    if rows.empty:
        raise UserError(
            "customer",
            found="nobody of that id in the published scores",
            expected=f"one of the {len(current.scores):,} customers scored",
            hint="check the id, capitals too; stagecast score brings scores up to date",
        )
    told = reasons_of(Workspace(output), current.run.run_id, [customer]).iloc[0]
    row = rows.iloc[0]
    pairs = zip(CODES, SENTENCES, strict=True)
    return {
        "customer_id": customer,
        "snapshot_at": str(current.run.snapshot_at),
        "scorer_version": current.run.scorer_version,
        **{name: _plain(row[name]) for name in SHOWN if name in row and not pd.isna(row[name])},
        "reasons": [
            {"code": told[code], "sentence": told[sentence]}
            for code, sentence in pairs
            if isinstance(told[code], str)
        ],
    }


def _plain(value: Any) -> Any:
    if isinstance(value, pd.Timestamp):
        return str(value.date())
    return value.item() if hasattr(value, "item") else value


def print_explained(found: dict[str, Any]) -> None:
    """The answer of `explained`, line by line."""
    console.print(
        f"[bold]{found['customer_id']}[/] at {found['snapshot_at']}, "
        f"stagecast-scorer version {found['scorer_version']}"
    )
    for name in SHOWN:
        if name in found:
            value = found[name]
            text = f"{value:.3g}" if isinstance(value, float) else value
            console.print(f"  {name}: {text}")
    for number, reason in enumerate(found["reasons"], start=1):
        console.print(f"{number}. {reason['sentence']}  [dim]({reason['code']})[/]")
    if not found["reasons"]:
        console.print("no single sign stands out")
