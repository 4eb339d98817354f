"""The short summary of a run: scores, audiences, model tests and data as Markdown."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from campaigns.plan_table import OFFERS_FILE
from features.storage.markdown import markdown_text
from features.storage.runs import run_folder
from features.table.feature_store import FOLDER, source_counts
from flows.report.figure import cell_text
from flows.report.model_test_wording import (
    MODEL_TITLES,
    effect_text,
    method_name,
    metric_meanings,
    metric_name,
    standing,
)
from flows.report.spend_totals import interval_text, spend_totals, totals_note
from flows.report.write import REPORT_FILE
from flows.services.workspace import Workspace
from models.evaluation.warnings import training_warnings
from models.metrics.shown_metrics import SHOWN_METRICS

_PLAN = Path("audiences", "plan.csv")
_OFFERS = Path("audiences", OFFERS_FILE)
FEWEST_LOGGED = 10  # customers; smaller groups in a summary that leaves the output folder


def write_summary(space: Workspace, run_id: str) -> Path:
    """Write ``summary.md`` and copy the plots of the training into ``report/``."""
    folder = run_folder(space.output, run_id)
    summary_path = folder / "summary.md"
    summary_path.write_text(summary_page(space, run_id), encoding="utf-8")
    plots_folder = folder / "report"
    plots_folder.mkdir(exist_ok=True)
    for plot in sorted((space.training / "figures").glob("*.png")):
        shutil.copyfile(plot, plots_folder / plot.name)
    return summary_path


def log_summary(space: Workspace, run_id: str) -> None:
    """Log the summary of a published run to the MLflow run that trained its scorer.

    It is an artifact ``runs/RUN/summary.md`` of aggregates only: without the report, which shows
    single customers, and without groups of fewer than `FEWEST_LOGGED` customers.
    """
    run_facts = json.loads((run_folder(space.output, run_id) / "run.json").read_text("utf-8"))
    page = summary_page(space, run_id, fewest=FEWEST_LOGGED)
    run = space.tracking().existing(run_facts["mlflow_run_id"])
    run.text(page, f"runs/{run_id}/summary.md")


def summary_page(space: Workspace, run_id: str, *, fewest: int = 0) -> str:
    """Summary of a published run as Markdown.

    Parameters
    ----------
    space
        The output folder.
    run_id
        The run.
    fewest
        Groups of fewer customers are left out, and so is the link to the report, if it is above 0.
    """
    folder = run_folder(space.output, run_id)
    scores = pd.read_parquet(folder / "scores")
    run_facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    config = space.config()
    report_link = (
        f"Full report (open it in a browser): [{REPORT_FILE}]({REPORT_FILE}). It contains data "
        "about individual customers."
    )
    small_groups = f"Groups of fewer than {fewest} customers are left out."
    lines = [
        f"# {markdown_text(config.name)}: customers at {run_facts['snapshot_at']}",
        "",
        *([markdown_text(config.notice), ""] if config.notice else []),
        small_groups if fewest else report_link,
        "",
        f"{len(scores):,} customers scored by stagecast-scorer version "
        f"{run_facts['scorer_version']} (run `{run_id}`).",
        "",
        *_stages(scores, config.currency, fewest),
        *_value(folder, run_facts, scores, config.currency, fewest),
        *_audiences(folder, config.currency, fewest),
        *_figures(space),
        *_data(space),
    ]
    return "\n".join(lines) + "\n"


def _table(header: list[str], rows: list[list[object]]) -> list[str]:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(_text(cell) for cell in row) + " |" for row in rows]
    return [*lines, ""]


def _text(cell: object) -> str:
    if cell is None or cell != cell:
        return "-"
    if isinstance(cell, float):
        return f"{cell:,.3f}" if abs(cell) < 100 else f"{cell:,.0f}"
    return f"{cell:,}" if isinstance(cell, int) else markdown_text(cell)


def _stages(scores: pd.DataFrame, currency: str, fewest: int) -> list[str]:
    groups = scores.groupby("stage", observed=True)
    stage_rows: list[list[object]] = [
        [
            stage,
            len(group),
            cell_text(group["p_churn"].mean(), "percent"),
            cell_text(group["p_move"].mean(), "percent"),
            cell_text(group["clv"].mean(), "money", currency),
        ]
        for stage, group in groups
        if len(group) >= fewest
    ]
    header = ["stage", "customers", "mean churn risk", "mean chance of a stage change"]
    header.append(f"mean expected spend in {_value_days(scores)} days")
    return ["## Stages", "", *_table(header, stage_rows)]


def _value_days(scores: pd.DataFrame) -> int:
    return int(scores["clv_horizon_days"].iloc[0]) if len(scores) else 0


def _value(
    folder: Path, run_facts: Mapping[str, Any], scores: pd.DataFrame, currency: str, fewest: int
) -> list[str]:
    audience = pd.read_parquet(folder / "audience.parquet")
    totals = spend_totals(run_facts, scores, audience, pd.read_csv(folder / _PLAN))
    total_rows: list[list[object]] = [
        [
            line.name if line.by == "all" else f"{line.by}: {line.name}",
            line.customers,
            cell_text(line.clv, "money", currency),
            interval_text(line.low, line.high, currency),
            cell_text(line.spent, "money", currency),
        ]
        for line in totals.itertuples(index=False)
        if line.customers >= fewest
    ]
    header = [
        "customers of",
        "customers",
        f"expected spend in {_value_days(scores)} days",
        "80 % interval",
        "spent so far",
    ]
    return ["## Value", "", *_table(header, total_rows), totals_note(run_facts, totals), ""]


def _offers(folder: Path, currency: str) -> list[str]:
    """Offers of the campaigns that have several; nothing without such campaigns."""
    if not (folder / _OFFERS).is_file():
        return []
    offers = pd.read_csv(folder / _OFFERS)
    offer_rows: list[list[object]] = [
        [
            offer.campaign_id,
            offer.offer_name,
            int(offer.members),
            int(offer.explored),
            cell_text(offer.expected_value, "money", currency),
            cell_text(offer.exploration_cost, "money", currency),
        ]
        for offer in offers.itertuples()
    ]
    header = [
        "campaign",
        "offer",
        "people",
        "of them drawn at random",
        "expected value",
        "given up by the draws",
    ]
    return _table(header, offer_rows)


def _audiences(folder: Path, currency: str, fewest: int) -> list[str]:
    campaigns = pd.read_csv(folder / _PLAN)
    if campaigns.empty:
        return ["## Audiences", "", "The config has no campaigns.", ""]
    campaign_rows: list[list[object]] = [
        [
            campaign.title,
            int(campaign.eligible),
            int(campaign.treatment),
            int(campaign.control),
            cell_text(campaign.expected_value, "money", currency),
            effect_text(
                campaign.smallest_detectable_effect,
                campaign.members,
                getattr(campaign, "people_needed", None),
                getattr(campaign, "suggested_control_share", None),
            ),
        ]
        for campaign in campaigns.itertuples()
        if campaign.eligible >= fewest
    ]
    header = [
        "campaign",
        "eligible",
        "to contact",
        "held out",
        "expected value",
        "detectable effect",
    ]
    notes = sorted(set(campaigns["value_label"].astype(str)))
    lines = [
        "## Audiences",
        "",
        *_table(header, campaign_rows),
        f"Basis of the expected values: {markdown_text('; '.join(notes))}. Detectable effect: the "
        "smallest difference between contacted and held-out customers that this hold-out can "
        "detect in 4 of 5 cases.",
        "",
    ]
    lines += _offers(folder, currency)
    if campaigns["plan_only"].any():
        lines += [
            "No consent is recorded in these data: the audiences are plans only. "
            "Check consent before you send anything.",
            "",
        ]
    return lines


def _figures(space: Workspace) -> list[str]:
    if not (space.training / "training.json").is_file():
        return []
    training = space.read("training.json")
    records: list[dict[str, Any]] = training["figures"]
    reasons: dict[str, str] = training.get("reasons", {})  # not in those of earlier versions
    lines = ["## How good the models are", ""]
    lines += ["Measured on a later date that the tested models had not seen in training.", ""]
    for model, shown in SHOWN_METRICS.items():
        metrics = shown.headline
        model_records = [
            record for record in records if record["model"] == model and record["subset"] == "all"
        ]
        if not model_records:  # such as leads in data with purchases only
            continue
        values = {(record["method"], record["metric"]): record["value"] for record in model_records}
        methods = list(dict.fromkeys(record["method"] for record in model_records))
        method_rows: list[list[object]] = [
            [method_name(method), *(values.get((method, metric)) for metric in metrics)]
            for method in methods
        ]
        lines += [
            f"### {MODEL_TITLES[model]}: tested at {model_records[0]['snapshot_at']}",
            "",
            *_table(["method", *map(metric_name, metrics)], method_rows),
            metric_meanings(metrics),
            "",
            markdown_text(standing(model, model_records, reasons.get(model, ""))),
            "",
        ]
    warnings = [
        f"- Warning: {markdown_text(sentence)}." for sentence in training_warnings(training)
    ]
    return [*lines, *warnings, ""] if warnings else lines


def _data(space: Workspace) -> list[str]:
    source_rows: list[list[object]] = [
        [count.source, count.rows, sum(count.quarantined.values()), sum(count.ignored.values())]
        for count in source_counts(space.output / FOLDER)
    ]
    header = ["source", "rows", "set aside", "left out by the config"]
    return ["## Data", "", *_table(header, source_rows)]
