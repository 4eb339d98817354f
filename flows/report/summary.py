"""The short page of a run: what was scored, by which model, how good it is, whom to address."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from features.storage.markdown import markdown_text
from features.storage.runs import run_folder
from features.table.feature_store import FOLDER, source_counts
from flows.report.write import REPORT_FILE
from flows.services.workspace import Workspace
from models.evaluation.task_metrics import HEADLINES
from models.evaluation.warnings import concerns


def write_summary(space: Workspace, run_id: str) -> Path:
    """Write ``summary.md`` and copy the plots of the training into ``report/``."""
    folder = run_folder(space.output, run_id)
    scores = pd.read_parquet(folder / "scores")
    meta = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    config = space.config()
    lines = [
        f"# {markdown_text(config.name)}: customers at {meta['snapshot_at']}",
        "",
        *([markdown_text(config.notice), ""] if config.notice else []),
        f"The whole report, to be opened in a browser: [{REPORT_FILE}]({REPORT_FILE}). It tells of "
        "single customers.",
        "",
        f"{len(scores):,} customers scored by stagecast-scorer version {meta['scorer_version']} "
        f"(run `{run_id}`).",
        "",
        *_stages(scores),
        *_value(scores),
        *_audiences(folder),
        *_figures(space),
        *_data(space),
    ]
    path = folder / "summary.md"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    report = folder / "report"
    report.mkdir(exist_ok=True)
    for plot in sorted((space.training / "figures").glob("*.png")):
        shutil.copyfile(plot, report / plot.name)
    return path


def _table(header: list[str], rows: list[list[object]]) -> list[str]:
    drawn = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    drawn += ["| " + " | ".join(_text(cell) for cell in row) + " |" for row in rows]
    return [*drawn, ""]


def _text(cell: object) -> str:
    if cell is None or cell != cell:
        return "-"
    if isinstance(cell, float):
        return f"{cell:,.3f}" if abs(cell) < 100 else f"{cell:,.0f}"
    return f"{cell:,}" if isinstance(cell, int) else markdown_text(cell)


def _stages(scores: pd.DataFrame) -> list[str]:
    groups = scores.groupby("stage", observed=True)
    rows: list[list[object]] = [
        [
            stage,
            len(group),
            float(group["p_churn"].mean()),
            float(group["p_move"].mean()),
            float(group["clv"].mean()),
        ]
        for stage, group in groups
    ]
    header = ["stage", "customers", "mean churn risk", "mean p(move)", "mean expected spend"]
    return ["## Stages", "", *_table(header, rows)]


def _value(scores: pd.DataFrame) -> list[str]:
    horizon = int(scores["clv_horizon_days"].iloc[0]) if len(scores) else 0
    rows: list[list[object]] = [
        [tier, len(group), float(group["clv"].sum()), float(group["historic_clv"].sum())]
        for tier, group in scores.groupby("value_tier", observed=True)
    ]
    header = ["value tier", "customers", f"expected spend in {horizon} days", "spent so far"]
    return ["## Value", "", *_table(header, rows)]


def _audiences(folder: Path) -> list[str]:
    plan = pd.read_csv(folder / "audiences" / "plan.csv")
    if plan.empty:
        return ["## Audiences", "", "No campaigns are declared.", ""]
    rows: list[list[object]] = [
        [
            row.title,
            int(row.eligible),
            int(row.treatment),
            int(row.control),
            float(row.expected_value),
            float(row.smallest_detectable_effect),
        ]
        for row in plan.itertuples()
    ]
    header = [
        "campaign",
        "eligible",
        "to address",
        "held out",
        "expected value",
        "smallest detectable effect",
    ]
    notes = sorted(set(plan["value_label"].astype(str)))
    lines = [
        "## Audiences",
        "",
        *_table(header, rows),
        f"Values are {markdown_text(', '.join(notes))}.",
        "",
    ]
    if plan["plan_only"].any():
        lines += ["No consent is recorded in these data: the audiences are plans only.", ""]
    return lines


def _figures(space: Workspace) -> list[str]:
    if not (space.training / "training.json").is_file():
        return []
    records: list[dict[str, Any]] = space.read("training.json")["figures"]
    lines = ["## How good the models are", ""]
    lines += ["Measured on a later snapshot that the tested fit never saw.", ""]
    for model, metrics in HEADLINES.items():
        mine = [r for r in records if r["model"] == model and r["subset"] == "all"]
        if not mine:  # e.g. no leads in data of purchases alone
            continue
        found = {(r["method"], r["metric"]): r["value"] for r in mine}
        methods = list(dict.fromkeys(r["method"] for r in mine))
        rows: list[list[object]] = [
            [method, *(found.get((method, metric)) for metric in metrics)] for method in methods
        ]
        lines += [
            f"### {model} ({mine[0]['snapshot_at']})",
            "",
            *_table(["method", *metrics], rows),
        ]
    told = [f"- Warning: {markdown_text(sentence)}." for sentence in concerns(records)]
    return [*lines, *told, ""] if told else lines


def _data(space: Workspace) -> list[str]:
    rows: list[list[object]] = [
        [c.source, c.rows, sum(c.quarantined.values()), sum(c.ignored.values())]
        for c in source_counts(space.output / FOLDER)
    ]
    header = ["source", "rows", "set aside", "left out on purpose"]
    return ["## Data", "", *_table(header, rows)]
