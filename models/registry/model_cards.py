"""Model cards: what a registered version is, what it learned from, how good it is, its limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from features.calendar import day_date
from features.storage.markdown import markdown_text
from features.table.feature_store import Archive
from models.evaluation.evaluate import CHAMPION, Result
from models.evaluation.task_metrics import DESCRIPTIVE, HIGHER_IS_BETTER
from models.fitting.training_set import TrainingSummary
from models.scorer.part import Part

TRUTHS = {
    "history": "the life-cycle stage that the CRM would record, judged by its other customers",
    "late": "the rule stage on the day, from data that run some days behind",
}
PREDICTS = {
    "stage": "the life-cycle stage a customer is truly in, told with hindsight from around the day",
    "transition": "the next change of stage, which it is and when, within the horizon",
    "churn": "the probability of no purchase within the horizon, for recently active customers",
    "clv": "expected net spend within the horizon, with an 80 % interval",
}


def part_card(archive: Archive, result: Result, data: TrainingSummary, part: Part) -> str:
    """Card of one registered model (Markdown); no customer appears in it."""
    config = archive.builder.config
    lines = [
        f"# stagecast {part.name}",
        "",
        f"Predicts {_predicts(archive, part)}.",
        "",
        f"- data: {markdown_text(': '.join(filter(None, (config.name, config.description))))}",
        f"- horizon: {archive.builder.horizon(result.test.task)} days",
        f"- trained on {data.snapshots} snapshots from "
        f"{data.first_at.date()} to {data.validation_at.date()}, {data.rows:,} rows",
        f"- tested at {day_date(result.test.at)} by a fit on what had matured before that day",
        "",
        "| metric | this recipe | best baseline |",
        "|---|---|---|",
        *_rows(result, result.test.task),
        "",
        *_lead_rows(result),
        "Limits: it knows only what the events say, learned from past seasons, and is not "
        "causal: it says who, and not whether a message changes what they do.",
    ]
    if config.notice:
        lines += ["", markdown_text(config.notice)]
    return "\n".join(lines)


def _predicts(archive: Archive, part: Part) -> str:
    truth = archive.builder.config.stage.truth if part.name == "stage" else ""
    return TRUTHS.get(truth, PREDICTS[part.name])


def _lead_rows(result: Result) -> list[str]:
    rows = _rows(result, "lead")
    if not rows:
        return []
    header = ["| metric | this recipe | best baseline |", "|---|---|---|"]
    told = "Those who never bought: the probability of a first purchase within the horizon."
    return [told, "", *header, *rows, ""]


def _rows(result: Result, model: str) -> list[str]:
    mine_only = [f for f in result.figures if f.model == model]
    figures = [f for f in mine_only if f.subset == "all" and f.value is not None]
    mine = {f.metric: float(f.value or 0.0) for f in figures if f.method == CHAMPION}
    rows = []
    for metric, value in mine.items():
        others = [
            (float(f.value or 0.0), f.method)
            for f in figures
            if f.metric == metric and f.method != CHAMPION
        ]
        best = _best(metric, others)
        rows.append(f"| {metric} | {value:.4f} | {best} |")
    return rows


def uplift_card(archive: Archive, found: pd.DataFrame) -> str:
    """Card of the uplift part (`models.tasks.uplift.uplift_summary`)."""
    config = archive.builder.config
    rows = [
        f"| {markdown_text(row.model)} | {markdown_text(row.campaigns)} | {row.people:,} | "
        f"{row.mean_effect:+.4f} | "
        f"{row.qini:.5f} ({row.qini_low:.5f} to {row.qini_high:.5f}) | "
        f"{_ranking(bool(row.ranks), bool(row.known))} |"
        for row in found.itertuples()
    ]
    return "\n".join(
        [
            "# stagecast uplift",
            "",
            "Predicts what a campaign's message adds to a customer's chance of an order, learned "
            "from people who were drawn at random to get it or not (X-learner).",
            "",
            f"- data: {markdown_text(config.name)}",
            "",
            "| history | campaigns | people | mean effect | Qini, people left out (95 %) | "
            "tells people apart |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            "Limits: it speaks of people in the stages it has seen, and of messages like those.",
        ]
    )


def _ranking(ranks: bool, known: bool) -> str:
    if not known:
        return "no, and no effect is shown: nobody is told one"
    return "yes" if ranks else "no: everyone gets the mean"


def _best(metric: str, others: list[tuple[float, str]]) -> str:
    if not others or metric in DESCRIPTIVE:
        return "-"
    if metric == "bias_pct":
        value, method = min(others, key=lambda o: abs(o[0]))
    elif metric in HIGHER_IS_BETTER:
        value, method = max(others)
    else:
        value, method = min(others)
    return f"{value:.4f} ({method})"


# What of each model's figures the scorer's card repeats; the models' own cards hold all of them.
MAIN = {
    "stage": ("log_loss", "brier"),
    "transition": ("log_loss", "integrated_brier"),
    "churn": ("auc", "log_loss", "ece"),
    "clv": ("mae", "bias_pct", "spearman", "coverage"),
    "lead": ("auc", "log_loss"),
}
LIMITS = (
    "Limits: it knows only what the events say, learned from past seasons, and is not causal: it "
    "says who, and not whether a message changes what they do. Totals drift with seasons that the "
    "history does not hold. Customers with one or two purchase days are marked thin, those known "
    "for less than 30 days cold."
)


def scorer_card(
    archive: Archive, head: Mapping[str, Any], figures: list[dict[str, Any]], snapshots: str
) -> str:
    """Card of the scorer that holds all parts (Markdown); no customer appears in it.

    Parameters
    ----------
    archive
        The data set.
    head
        Content of ``scorer.json``.
    figures
        The models' figures on their gates, as `models.evaluation.evaluate.Figure.as_dict` gives
        them.
    snapshots
        First and last snapshot that any part learned from.
    """
    config = archive.builder.config
    versions = ", ".join(f"{name} {number}" for name, number in head["part_versions"].items())
    return "\n".join(
        [
            "# stagecast scorer",
            "",
            "The whole scored row of a customer from one `predict` call on feature rows.",
            "",
            f"- data: {markdown_text(config.name)}, trained at {head['trained_at']}",
            f"- parts: {versions}",
            f"- stages: {markdown_text(', '.join(head['stages']))}",
            f"- inputs: customer_id, snapshot_at, {len(head['features'])} features (float64; "
            "missing values allowed), and facts that are passed through",
            "- parameter `scoring_context`: JSON of population statistics at the snapshot; "
            "without it those of the training date are used",
            f"- learned from snapshots {snapshots}",
            "",
            "Tested on the gate, the latest snapshot with a known outcome, by fits that had not "
            "seen it:",
            "",
            "| model | metric | value |",
            "|---|---|---|",
            *_main_rows(figures),
            "",
            LIMITS,
            *(["", markdown_text(config.notice)] if config.notice else []),
        ]
    )


def _main_rows(figures: list[dict[str, Any]]) -> list[str]:
    found = {
        (row["model"], row["metric"]): row["value"]
        for row in figures
        if row["method"] == CHAMPION and row["subset"] == "all" and row["value"] is not None
    }
    return [
        f"| {model} | {metric} | {found[model, metric]:.4f} |"
        for model, metrics in MAIN.items()
        for metric in metrics
        if (model, metric) in found
    ]
