"""Model cards: what a registered version is, what it learned from, how good it is, its limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from features.calendar import day_date
from features.storage.markdown import markdown_text
from features.table.feature_store import Archive
from models.evaluation.evaluate import CHAMPION_METHOD, Evaluation
from models.fitting.training_set import TrainingSummary
from models.metrics.shown_metrics import DESCRIPTIVE, HIGHER_IS_BETTER, SHOWN_METRICS
from models.scorer.part import Part
from models.tasks.all_tasks import TASKS

_STAGE_TRUTHS = {
    "history": "the life-cycle stage that the CRM would record, judged by its other customers",
    "late": "the rule stage on the day, from data that run some days behind",
}


def part_card(archive: Archive, result: Evaluation, data: TrainingSummary, part: Part) -> str:
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
        *_choice(part),
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


def model_summary(name: str) -> str:
    """One sentence on a registered model: a task's, that of uplift, or the scorer of all parts."""
    if name in TASKS:
        return f"Predicts {TASKS[name].description}."
    if name == "uplift":
        return "Predicts what a campaign's message adds to a customer's chance of an order."
    return (
        "Predicts the whole scored row of a customer: stage, next stage, churn risk and expected "
        "spend. The alias champion is the version that scores every night."
    )


def _choice(part: Part) -> list[str]:
    """The method that a part serves and the reason, where its recipe chooses one."""
    report = part.parameters.get("report", {})
    reason = f" ({report['why']})" if "why" in report else ""
    lines = [f"- serves: {report['served']}{reason}"] if "served" in report else []
    return [*lines, *(f"- alarm: {alarm}" for alarm in part_alarms(part))]


def part_alarms(part: Part) -> list[str]:
    """Sentences on what the fit of a part refused as implausible, such as its total."""
    alarm = part.parameters.get("report", {}).get("level", {}).get("alarm")
    return [alarm] if alarm else []


def _predicts(archive: Archive, part: Part) -> str:
    truth = archive.builder.config.stage.truth if part.name == "stage" else ""
    return _STAGE_TRUTHS.get(truth, TASKS[part.name].description)


def _lead_rows(result: Evaluation) -> list[str]:
    rows = _rows(result, "lead")
    if not rows:
        return []
    header = ["| metric | this recipe | best baseline |", "|---|---|---|"]
    introduction = "Those who never bought: the probability of a first purchase within the horizon."
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
    """Card of the uplift part (`models.tasks.uplift.uplift_summary`)."""
    config = archive.builder.config
    table_lines = [
        f"| {markdown_text(history.model)} | {markdown_text(history.campaigns)} | "
        f"{history.people:,} | {history.mean_effect:+.4f} | "
        f"{history.qini:.5f} ({history.qini_low:.5f} to {history.qini_high:.5f}) | "
        f"{_ranking(bool(history.ranks), bool(history.known))} |"
        for history in results.itertuples()
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
            *table_lines,
            "",
            "Limits: it speaks of people in the stages it has seen, and of messages like those.",
        ]
    )


def _ranking(ranks: bool, is_known: bool) -> str:
    if not is_known:
        return "no, and no effect is shown: nobody is told one"
    return "yes" if ranks else "no: everyone gets the mean"


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


_SCORER_LIMITS = (
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
    versions = ", ".join(f"{name} {version}" for name, version in head["part_versions"].items())
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
            _SCORER_LIMITS,
            *(["", markdown_text(config.notice)] if config.notice else []),
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
        for model, shown in SHOWN_METRICS.items()
        for metric in shown.card
        if (model, metric) in value_of
    ]
