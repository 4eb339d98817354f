"""Summaries of flows shown in Prefect, made from the files that the flows write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from features.storage.markdown import markdown_text
from features.table.feature_store import Archive
from flows.services.prefect_artifacts import link_to_mlflow, show_page, show_table
from models.metrics.shown_metrics import SHOWN_METRICS

if TYPE_CHECKING:
    from models.registry.tracking import Tracking


def show_sources(archive: Archive) -> None:
    """Rows read, set aside and left out, one line per source."""
    rows = [
        (c.source, c.rows, sum(c.quarantined.values()), sum(c.ignored.values()))
        for c in archive.source_counts()
    ]
    columns = ("source", "rows", "set aside", "left out")
    show_table("sources", columns, rows, about="Rows read, set aside and left out by source")


def show_figures(name: str, figures: Sequence[dict[str, Any]]) -> None:
    """Headline metrics of every model and baseline, one line per method and metric."""
    rows = [
        (f["model"], f["method"], f["snapshot_at"], f["metric"], f["value"], f["n"])
        for f in figures
        if f["subset"] == "all" and f["metric"] in SHOWN_METRICS[f["model"]].headline
    ]
    columns = ("model", "method", "tested at", "figure", "value", "customers")
    show_table(f"{name} figures", columns, rows, about="Served recipe and baselines, as tested")


def show_training(
    tracking: Tracking, scorer: dict[str, Any], figures: Sequence[dict[str, Any]]
) -> None:
    """Metrics of a training and a link to its MLflow run."""
    show_figures("training", figures)
    link_to_mlflow(
        "training in mlflow",
        tracking,
        scorer["run_id"],
        about=f"Training of stagecast-scorer version {scorer['version']}.",
    )


def show_decision(tracking: Tracking, run_id: str, version: int, decision: dict[str, Any]) -> None:
    """Whether a version was promoted and why, with the deciding metrics."""
    verdict = "champion" if decision["accepted"] else "not promoted"
    text = (
        f"# stagecast-scorer version {version}: {verdict}\n\n{markdown_text(decision['reason'])}\n"
    )
    show_page("promotion", text, about="What the promotion flow decided")
    rows = [
        (c["task"], c["metric"], c["challenger"], c["champion"], c["against"])
        for c in (*decision["comparisons"], *decision["baselines"])
    ]
    columns = ("task", "figure", "challenger", "other", "the other is")
    show_table("promotion figures", columns, rows, about="On the gate; smaller is better")
    link_to_mlflow("challenger in mlflow", tracking, run_id, about=f"Version {version}.")


def show_published(tracking: Tracking, folder: Path, meta: dict[str, Any]) -> None:
    """Summary of a published run, its campaigns, and a link to its scorer's MLflow run."""
    summary = (folder / "summary.md").read_text(encoding="utf-8")
    show_page("summary", summary, about=f"Published run {meta['run_id']}")
    plan = pd.read_csv(folder / "audiences" / "plan.csv")
    columns = ("campaign_id", "eligible", "treatment", "control", "expected_value", "held")
    rows = [tuple(row) for row in plan[list(columns)].fillna("").itertuples(index=False)]
    show_table("audiences", columns, rows, about="Campaigns of the published run")
    link_to_mlflow(
        "scorer in mlflow",
        tracking,
        meta["mlflow_run_id"],
        about=f"Training of the champion, version {meta['scorer_version']}.",
    )
