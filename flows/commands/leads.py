"""The call list: leads of the published scores, the likeliest to buy first, with reasons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from features.calendar import day_number
from features.errors import UserError
from features.storage import scores_store
from flows.services.console import console, print_table, step, write_table_file
from flows.services.workspace import Workspace
from models.explaining.lead_reasons import LeadEvents, lead_reasons, rank_leads

_BANDS = ("A", "B", "C", "D")
CALL_LIST_COLUMNS = (
    "rank",
    "customer_id",
    "lead_band",
    "lead_score",
    "p_first_purchase",
    "clv",
    "stage",
    "preferred_channel",
    "reasons",
)


def call_list(output: Path, *, bands: Sequence[str], top: int) -> dict[str, Any]:
    """The best leads of the published run, with the reasons of their score.

    Parameters
    ----------
    output
        Folder of a published run.
    bands
        Bands to list; none: all.
    top
        How many at most.

    Returns
    -------
    dict
        run_id, snapshot_at, scorer_version, horizon_days, of (leads in those bands), consent, and
        leads: one record each with `COLUMNS`; reasons is a list of sentences.

    Raises
    ------
    UserError
        For an unknown band, where nothing is published, and where nobody is a lead.
    """
    if unknown := sorted(set(bands) - set(_BANDS)):
        raise UserError("--band", found=unknown[0], expected=", ".join(_BANDS))
    current = scores_store.read_current(output)
    everybody = rank_leads(current.scores)
    if everybody.empty:
        raise UserError(
            "leads",
            found=f"{len(current.scores):,} customers, none of them with a chance of a first "
            "purchase",
            expected="customers who have not bought yet, now and in the training",
            hint="bring visits, sign-ups or messages of people before their first purchase",
        )
    wanted = rank_leads(current.scores, bands=bands)
    listed = wanted.head(top)
    told = _reasons(output, listed, everybody, current.run.scorer_version)
    records = [
        {"rank": rank, **_plain(row), "reasons": why}
        for rank, (row, why) in enumerate(
            zip(listed[list(CALL_LIST_COLUMNS[1:-1])].to_dict("records"), told, strict=True),
            start=1,
        )
    ]
    return {
        "run_id": current.run.run_id,
        "snapshot_at": str(current.run.snapshot_at),
        "scorer_version": current.run.scorer_version,
        "horizon_days": int(everybody["clv_horizon_days"].iloc[0]),
        "of": len(wanted),
        "consent": Workspace(output).config().consent,
        "leads": records,
    }


def _plain(row: dict[Any, Any]) -> dict[str, Any]:
    return {str(name): None if pd.isna(value) else value for name, value in row.items()}


def _reasons(
    output: Path, listed: pd.DataFrame, everybody: pd.DataFrame, version: str
) -> list[list[str]]:
    """Reasons by the scorer that scored them, from the features it saw."""
    if listed.empty:
        return []
    space = Workspace(output)
    part = space.scorer(int(version)).parts["clv"]
    archive = space.archive()
    at = day_number(listed["snapshot_at"].iloc[0].date())
    step(f"reasons of {len(listed)} leads by stagecast-scorer version {version}")
    features = archive.features(at).set_index("customer_id", drop=False)
    ids = [str(name) for name in listed["customer_id"]]
    events = LeadEvents(
        archive.daily(archive.builder.span.first, at, ids), at, archive.builder.config.role_types()
    )
    usual = features.loc[everybody["customer_id"]]
    return lead_reasons(part, features.loc[ids], usual, events)


def print_list(found: dict[str, Any]) -> None:
    """The list as a table, and what it is."""
    rows = [
        (
            lead["rank"],
            lead["customer_id"],
            lead["lead_band"],
            None if lead["lead_score"] is None else f"{lead['lead_score']:.0f}",
            f"{lead['p_first_purchase']:.1%}",
            f"{lead['clv']:,.2f}",
            "; ".join(lead["reasons"]) or "no single sign stands out",
        )
        for lead in found["leads"]
    ]
    print_table(
        f"{len(rows)} of {found['of']:,} leads at {found['snapshot_at']}: chance of a first "
        f"purchase within {found['horizon_days']} days",
        ["rank", "customer", "band", "score", "chance", "expected spend", "because of"],
        rows,
    )
    if found["consent"] == "not_recorded":
        console.print("No consent is recorded in these data: check it before anybody is called.")


def write_call_list(found: dict[str, Any], path: Path) -> None:
    """Write the leads as CSV with a header; no cell is a formula to a spreadsheet."""
    leads = [{**lead, "reasons": "; ".join(lead["reasons"])} for lead in found["leads"]]
    rows = pd.DataFrame(leads, columns=list(CALL_LIST_COLUMNS))
    write_table_file(rows, path, "--csv", decimals=4)
