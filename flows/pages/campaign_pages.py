"""Pages about campaigns: the plan with its exclusions, release of held exports, results."""

from __future__ import annotations

from typing import Any

import pandas as pd
from fastapi import FastAPI, Response
from fastapi.responses import FileResponse

from campaigns.answers import GLOBAL_HOLDOUT
from flows.pages.plan_files import (
    campaign_titles,
    export_file,
    export_files,
    read_exclusions,
    read_plan,
)
from flows.pages.rendering import drawing
from flows.pages.site import Site, Visit, add_page, see_other
from flows.report.plain_words import exclusion_text
from flows.report.result_figures import (
    result_rows,
    result_sentences,
    results_figure,
    results_over_time,
)
from flows.services.measurement_files import read_effects, read_history, read_waiting
from flows.serving.answers import Refusal

_FIRST_RUN = "it is the campaign's first run, and somebody must look at the list first"
_LATEST = 400  # actions that are looked through


def add_campaign_pages(app: FastAPI, site: Site) -> None:
    """Add the pages."""
    add_page(app, site, "/campaigns", _campaigns, role="read", method="GET")
    add_page(app, site, "/campaigns/{campaign}", _campaign, role="read", method="GET")
    add_page(app, site, "/campaigns/{campaign}/approve", _approve, role="approve", method="POST")
    add_page(app, site, "/campaigns/{campaign}/file", _export, role="approve", method="POST")
    add_page(app, site, "/results", _results, role="read", method="GET")
    add_page(app, site, "/results/measure", _measure, role="approve", method="POST")


def _campaigns(visit: Visit) -> Response:
    rows = _rows(read_plan(visit.site))
    return visit.show(
        "campaigns.html.j2", "Campaigns", rows=rows, running=visit.site.commands.running,
        run_id=visit.site.reader.current_run_id(), currency=visit.site.config().currency,
    )  # fmt: skip


def _campaign(visit: Visit) -> Response:
    site, row = visit.site, _planned(visit)
    titles = campaign_titles(site)
    exclusions = [
        (exclusion_text(str(line.reason), titles), int(line.customers))
        for line in read_exclusions(site, row["campaign_id"]).itertuples()
    ]
    effects = read_effects(site.output)
    mine = effects[effects["campaign_id"] == row["campaign_id"]] if len(effects) else effects
    plan, currency = read_plan(site), site.config().currency
    actions = [
        action for action in site.log.latest(_LATEST)
        if action.detail == row["campaign_id"]
    ]  # fmt: skip
    return visit.show(
        "campaign.html.j2", str(row["title"]), section="Campaigns", row=row,
        exclusions=exclusions, running=site.commands.running, currency=currency,
        run_id=site.reader.current_run_id(),
        files=list(export_files(site, row["campaign_id"])), actions=actions[:5],
        results=result_rows(mine, plan, currency) if len(mine) else [],
    )  # fmt: skip


def _approve(visit: Visit) -> Response:
    """Release the campaign's held export: what `stagecast target --confirm-entrants` does."""
    row, run_id = _planned(visit), visit.site.reader.current_run_id()
    name = str(row["campaign_id"])
    if visit.form.get("run_id") != run_id:
        raise Refusal(
            409, "plan", "another plan than the one you looked at", "the present plan",
            "look at the campaign again, and approve it then",
        )  # fmt: skip
    if not row["held"] or row["plan_only"]:
        raise Refusal(409, "export", "no export that waits", "a campaign with a held export")
    visit.site.commands.start(
        visit.visitor.name, "approve export", name,
        ["target", "--confirm-entrants", "--campaign", name],
    )  # fmt: skip
    return see_other(f"/campaigns/{name}")


def _export(visit: Visit) -> Response:
    row = _planned(visit)
    file = export_file(visit.site, str(row["campaign_id"]), visit.form.get("name", ""))
    visit.note("download export", str(row["campaign_id"]))
    return FileResponse(file, filename=f"{row['campaign_id']}-{file.name}", media_type="text/plain")


def _results(visit: Visit) -> Response:
    site = visit.site
    effects, plan, currency = read_effects(site.output), read_plan(site), site.config().currency
    over_time = results_over_time(read_history(site.output), plan)
    drawings = []
    for title, lines in over_time.groupby("title", sort=False):
        figure = results_figure(lines, currency)
        # The report's chart names its data; the drawing carries them.
        chart = figure.chart.properties(datasets={"results": _records(lines)})
        drawings.append((str(title), drawing(chart, width=700, height=220), figure.alt))
    return visit.show(
        "results.html.j2", "Results", currency=currency, running=site.commands.running,
        sentences=result_sentences(effects, plan, currency) if len(effects) else [],
        rows=result_rows(effects, plan, currency) if len(effects) else [],
        drawings=drawings, waiting=_waiting(site),
    )  # fmt: skip


def _measure(visit: Visit) -> Response:
    visit.site.commands.start(visit.visitor.name, "measure", "", ["measure"])
    return see_other("/results")


def _waiting(site: Site) -> list[tuple[str, str, str]]:
    """Campaigns without a result yet: title, since when one can be expected, and why."""
    titles = campaign_titles(site) | {GLOBAL_HOLDOUT: "All campaigns together"}
    return [
        (titles.get(line.campaign_id, str(line.campaign_id)),
         "–" if pd.isna(line.measurable_from) else str(line.measurable_from)[:10],
         str(line.reason))
        for line in read_waiting(site.output).itertuples()
    ]  # fmt: skip


def _planned(visit: Visit) -> dict[str, Any]:
    """The plan's row of the campaign that the address names.

    Raises
    ------
    Refusal
        If the plan has none of this name.
    """
    for row in _rows(read_plan(visit.site)):
        if row["campaign_id"] == visit.path["campaign"]:
            return row
    raise Refusal(404, "campaign", "none of this name", "a campaign of the current plan")


def _rows(plan: pd.DataFrame) -> list[dict[str, Any]]:
    """The plan's rows, with the state of the export in words."""
    rows: list[dict[str, Any]] = plan.astype(object).where(plan.notna(), None).to_dict("records")
    for row in rows:
        reason = row["held"] or ""
        if row["plan_only"]:
            row["state"] = "plan only: no consent is recorded, so nothing is exported"
        elif reason:
            row["state"] = f"waits: {_FIRST_RUN if reason == 'first run' else reason}"
        else:
            row["state"] = "ready"
        row["can_approve"] = bool(reason) and not row["plan_only"]
    return rows


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    plain = frame.astype(object).where(frame.notna(), None)
    records: list[dict[str, Any]] = plain.to_dict("records")
    return records
