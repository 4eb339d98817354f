"""Model cards of registered versions: purpose, training data, figures, limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from features.calendar import day_date
from features.storage.markdown import as_text
from features.table.feature_store import Archive
from models.evaluation.evaluate import CHAMPION_METHOD, Evaluation
from models.evaluation.task_metrics import DESCRIPTIVE, HIGHER_IS_BETTER
from models.fitting.training_set import TrainingSummary
from models.scorer.part import Part

_STAGE_TRUTHS = {
    "history": "the life-cycle stage that the CRM would record, learned from its other customers",
    "late": "the rule stage on the day, from data that arrive some days late",
}
PART_DESCRIPTIONS = {
    "stage": "the true life-cycle stage of a customer, known in hindsight from data around the day",
    "transition": "the next change of stage and its time, within the horizon",
    "churn": "the probability of no purchase within the horizon, for recently active customers",
    "clv": "expected net spend within the horizon, with an 80 % interval",
}


def part_card(archive: Archive, result: Evaluation, data: TrainingSummary, part: Part) -> str:
    """Card of one registered model (Markdown), without customer data."""
    config = archive.builder.config
    lines = [
        f"# stagecast {part.name}",
        "",
        f"Predicts {_predicts(archive, part)}.",
        "",
        f"- data: {as_text(': '.join(filter(None, (config.name, config.description))))}",
        f"- horizon: {archive.builder.horizon(result.test.task)} days",
        f"- trained on {data.snapshots} snapshots from "
        f"{data.first_at.date()} to {data.validation_at.date()}, {data.rows:,} rows",
        f"- tested at {day_date(result.test.at)} by a fit on labels matured before that day",
        "",
        "| metric | this recipe | best baseline |",
        "|---|---|---|",
        *_rows(result, result.test.task),
        "",
        *_lead_rows(result),
        "Limits: the model uses only events of past seasons. It is not causal: it predicts what "
        "customers do, not whether a message changes it.",
    ]
    if config.notice:
        lines += ["", as_text(config.notice)]
    return "\n".join(lines)


def _predicts(archive: Archive, part: Part) -> str:
    truth = archive.builder.config.stage.truth if part.name == "stage" else ""
    return _STAGE_TRUTHS.get(truth, PART_DESCRIPTIONS[part.name])


def _lead_rows(result: Evaluation) -> list[str]:
    rows = _rows(result, "lead")
    if not rows:
        return []
    header = ["| metric | this recipe | best baseline |", "|---|---|---|"]
    introduction = (
        "Customers who never bought: the probability of a first purchase within the horizon."
    )
    return [introduction, "", *header, *rows, ""]


def _rows(result: Evaluation, model: str) -> list[str]:
    model_figures = [figure for figure in result.figures if figure.model == model]
    figures = [
        figure for figure in model_figures if figure.subset == "all" and figure.value is not None
    ]
    champion_values = {
        figure.metric: float(figure.value or 0.0)
        for figure in figures
        if figure.method == CHAMPION_METHOD
    }
    table_lines = []
    for metric, value in champion_values.items():
        baselines = [
            (float(figure.value or 0.0), figure.method)
            for figure in figures
            if figure.metric == metric and figure.method != CHAMPION_METHOD
        ]
        best_baseline = _best(metric, baselines)
        table_lines.append(f"| {metric} | {value:.4f} | {best_baseline} |")
    return table_lines


def uplift_card(archive: Archive, results: pd.DataFrame) -> str:
    """Card of the uplift part (`models.tasks.uplift.told`)."""
    config = archive.builder.config
    table_lines = [
        f"| {as_text(history.model)} | {as_text(history.campaigns)} | {history.people:,} | "
        f"{history.mean_effect:+.4f} | "
        f"{history.qini:.5f} ({history.qini_low:.5f} to {history.qini_high:.5f}) | "
        f"{_ranking(bool(history.ranks), bool(history.known))} |"
        for history in results.itertuples()
    ]
    return "\n".join(
        [
            "# stagecast uplift",
            "",
            "Predicts the increase of a customer's order probability by a campaign's message, "
            "learned from randomised campaigns (X-learner).",
            "",
            f"- data: {as_text(config.name)}",
            "",
            "| history | campaigns | people | mean effect | Qini, cross-validated (95 %) | "
            "ranks people |",
            "|---|---|---|---|---|---|",
            *table_lines,
            "",
            "Limits: valid only for customers in the stages of the experiments, and for similar "
            "messages.",
        ]
    )


def _ranking(ranks: bool, is_known: bool) -> str:
    if not is_known:
        return "no, and the mean effect is not significant: no effect is reported"
    return "yes" if ranks else "no: all customers get the mean effect"


def _best(metric: str, baselines: list[tuple[float, str]]) -> str:
    if not baselines or metric in DESCRIPTIVE:
        return "-"
    if metric == "bias_pct":
        value, method = min(baselines, key=lambda o: abs(o[0]))
    elif metric in HIGHER_IS_BETTER:
        value, method = max(baselines)
    else:
        value, method = min(baselines)
    return f"{value:.4f} ({method})"


# Figures of each model on the scorer's card; the models' own cards list all figures.
_CARD_METRICS = {
    "stage": ("log_loss", "brier"),
    "transition": ("log_loss", "integrated_brier"),
    "churn": ("auc", "log_loss", "ece"),
    "clv": ("mae", "bias_pct", "spearman", "coverage"),
    "lead": ("auc", "log_loss"),
}
_SCORER_LIMITS = (
    "Limits: the models use only events of past seasons. They are not causal: they predict what "
    "customers do, not whether a message changes it. Totals are biased in seasons that the history "
    "does not contain. Customers with one or two purchase days are marked thin, those known for "
    "less than 30 days cold."
)


def scorer_card(
    archive: Archive, head: Mapping[str, Any], figures: list[dict[str, Any]], snapshots: str
) -> str:
    """Card of the scorer that contains all parts (Markdown), without customer data.

    Parameters
    ----------
    archive
        The data set.
    head
        Content of ``scorer.json``.
    figures
        Figures of the models on their gates, from `MetricFigure.as_dict`.
    snapshots
        First and last training snapshot of any part.
    """
    config = archive.builder.config
    versions = ", ".join(f"{name} {version}" for name, version in head["part_versions"].items())
    return "\n".join(
        [
            "# stagecast scorer",
            "",
            "Returns all scored columns of a customer from one `predict` call on feature rows.",
            "",
            f"- data: {as_text(config.name)}, trained at {head['trained_at']}",
            f"- parts: {versions}",
            f"- stages: {as_text(', '.join(head['stages']))}",
            f"- inputs: customer_id, snapshot_at, {len(head['features'])} features (float64; "
            "missing values allowed), and columns that are passed through",
            "- parameter `scoring_context`: JSON of population statistics at the snapshot; "
            "without it those of the training date are used",
            f"- learned from snapshots {snapshots}",
            "",
            "Tested on the gate, the latest snapshot with a known outcome, by fits on earlier "
            "data:",
            "",
            "| model | metric | value |",
            "|---|---|---|",
            *_main_rows(figures),
            "",
            _SCORER_LIMITS,
            *(["", as_text(config.notice)] if config.notice else []),
        ]
    )


def _main_rows(figures: list[dict[str, Any]]) -> list[str]:
    value_of = {
        (row["model"], row["metric"]): row["value"]
        for row in figures
        if row["method"] == CHAMPION_METHOD and row["subset"] == "all" and row["value"] is not None
    }
    return [
        f"| {model} | {metric} | {value_of[model, metric]:.4f} |"
        for model, metrics in _CARD_METRICS.items()
        for metric in metrics
        if (model, metric) in value_of
    ]
