"""Reasons of scores: for every audience member of a run, and for one customer on request."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
from rich.text import Text

from campaigns.membership_reasons import with_score_reasons
from features import processes
from features.calendar import day_number
from features.errors import UserError
from features.sources.keys import key_value
from features.storage import scores_store
from features.storage.check_sums import has_sums
from features.storage.runs import run_folder, write_parquet
from features.table.feature_store import FOLDER, feature_file, read_features, stored_spec
from flows.services.console import bold, console, step
from flows.services.workspace import Workspace
from models.explaining.reasons import REASON_CODES, REASON_SENTENCES, ReasonWords, score_reasons
from models.scorer.part import Part

if TYPE_CHECKING:
    from flows.services.campaign_plan import PlannedRun

REASON_COLUMNS = [*REASON_CODES, *REASON_SENTENCES]
_SHOWN_SCORES = (
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


def reasons_in_run(space: Workspace, run_id: str, customers: Collection[str]) -> pd.DataFrame:
    """Reasons of customers' scores in a run, from the scorer and context of that run.

    Returns
    -------
    Columns `CODES` and `SENTENCES`, indexed by customer_id; one row per customer of the run.
    """
    folder = run_folder(space.output, run_id)
    run_meta = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    context = json.loads((folder / "scoring_context.json").read_text(encoding="utf-8"))
    version, config = int(run_meta["scorer_version"]), space.config()
    scorer = space.scorer(version)
    vocabulary = ReasonWords.of(
        stored_spec(space.output, config),
        scorer.head["stages"],
        config.sensitive,
        currency=config.currency,
        period_days=config.transition.period_days,
    )
    snapshot_day = day_number(pd.Timestamp(run_meta["snapshot_at"]).date())
    features_path = feature_file(space.output / FOLDER, snapshot_day)
    if not has_sums(features_path):  # removed because of late events: build it again
        space.archive().features(snapshot_day)
    arguments = {"customers": sorted(customers), "context": context, "vocabulary": vocabulary}
    if not features_path.is_dir():
        return _of_part(features_path, scorer.parts, **arguments)
    explain_file = partial(_in_worker, scorer=(scorer.folder, version), **arguments)
    with processes.pool(config.threads) as pool:
        return pd.concat(pool.map(explain_file, sorted(features_path.glob("*.parquet"))))


def _in_worker(file: Path, scorer: tuple[Path, int], **arguments: Any) -> pd.DataFrame:
    from models.serving.batches import cached_scorer  # imports MLflow

    return _of_part(file, cached_scorer(*scorer).scorer.parts, **arguments)


def _of_part(
    file: Path,
    parts: Mapping[str, Part],
    *,
    customers: Sequence[str],
    context: Mapping[str, Any],
    vocabulary: ReasonWords,
) -> pd.DataFrame:
    """Reasons of the given customers with features in one file."""
    frame = read_features(file, customers)
    customer_index = pd.Index(frame["customer_id"], name="customer_id")
    return score_reasons(parts, frame, context, vocabulary).set_index(customer_index)


def add_reasons(space: Workspace, run_id: str, planned: PlannedRun) -> PlannedRun:
    """Add reasons of all audience members to the scored rows and audiences; null for others."""
    audience = planned.plan.audience
    members = sorted(set(audience.loc[audience["change"] != "removed", "customer_id"]))
    member_reasons = pd.DataFrame(
        None, index=pd.Index([], name="customer_id"), columns=REASON_COLUMNS
    )
    if members:
        member_reasons = reasons_in_run(space, run_id, members)
        step(f"reasons of {len(members):,} audience members")
    for path in sorted((run_folder(space.output, run_id) / "scores").glob("*.parquet")):
        rows = _with_reasons(pd.read_parquet(path), member_reasons)
        # Replace the file, never change it: other runs may share it by a hard link.
        write_parquet(path, pa.Table.from_pandas(rows, preserve_index=False))
    by_customer = _with_reasons(planned.delivery.scores.reset_index(), member_reasons)
    by_customer = by_customer.set_index("customer_id")
    plan = dataclasses.replace(planned.plan, audience=with_score_reasons(audience, by_customer))
    delivery = dataclasses.replace(planned.delivery, scores=by_customer)
    return dataclasses.replace(planned, plan=plan, delivery=delivery)


def _with_reasons(scores: pd.DataFrame, reasons_by_customer: pd.DataFrame) -> pd.DataFrame:
    ordered = reasons_by_customer.reindex(scores["customer_id"])
    texts = {name: pd.Series(ordered[name].to_numpy(dtype=object)) for name in REASON_COLUMNS}
    return scores.assign(**{name: text.astype("str").to_numpy() for name, text in texts.items()})


def explain_customer(output: Path, customer: str) -> dict[str, Any]:
    """Published scores of a customer with their reasons.

    Returns
    -------
    dict
        customer_id, snapshot_at, scorer_version, the scores that are not null, and reasons: code
        and sentence of each.

    Raises
    ------
    UserError
        If nothing is published, or the customer was not scored.
    """
    published = scores_store.read_current(output)
    customer = key_value(customer) or customer
    scored_rows = published.scores[published.scores["customer_id"] == customer]
    if scored_rows.empty:
        raise UserError(
            "customer",
            found="an id that is not in the published scores",
            expected=f"one of the {len(published.scores):,} scored customers",
            hint="check the id and its capital letters; `stagecast score` updates the scores",
        )
    customer_reasons = reasons_in_run(Workspace(output), published.run.run_id, [customer]).iloc[0]
    scored_row = scored_rows.iloc[0]
    code_columns = zip(REASON_CODES, REASON_SENTENCES, strict=True)
    return {
        "customer_id": customer,
        "snapshot_at": str(published.run.snapshot_at),
        "scorer_version": published.run.scorer_version,
        **{
            name: _plain(scored_row[name])
            for name in _SHOWN_SCORES
            if name in scored_row and not pd.isna(scored_row[name])
        },
        "reasons": [
            {"code": customer_reasons[code], "sentence": customer_reasons[sentence]}
            for code, sentence in code_columns
            if isinstance(customer_reasons[code], str)
        ],
    }


def _plain(value: Any) -> Any:
    if isinstance(value, pd.Timestamp):
        return str(value.date())
    return value.item() if hasattr(value, "item") else value


def print_explanation(explanation: dict[str, Any]) -> None:
    """Print the result of `explain_customer`."""
    console.print(
        bold(explanation["customer_id"]),
        f"at {explanation['snapshot_at']}, "
        f"stagecast-scorer version {explanation['scorer_version']}",
    )
    for name in _SHOWN_SCORES:
        if name in explanation:
            value = explanation[name]
            text = f"{value:.3g}" if isinstance(value, float) else value
            console.print(f"  {name}: {text}")
    for number, reason in enumerate(explanation["reasons"], start=1):
        console.print(f"{number}. {reason['sentence']} ", Text(f"({reason['code']})", "dim"))
    if not explanation["reasons"]:
        console.print("no single reason stands out")
