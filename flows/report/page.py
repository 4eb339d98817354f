"""Render the report: figures, tables and texts in one self-contained HTML file."""

from __future__ import annotations

import importlib.resources
import json
from functools import cache
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from campaigns.expected_value import (
    ASSUMED_LABEL,
    MIXED_ASSUMED_LABEL,
    MIXED_LABEL,
    RESPONSE_LABEL,
    UPLIFT_LABEL,
)
from campaigns.plan_prices import price_sentences
from features.contracts import ROLE_WORDS, column_label
from flows.report.accuracy_wording import accuracy_rows, accuracy_sentences
from flows.report.campaign_draft import campaign_draft
from flows.report.campaign_figures import members_data, members_figure
from flows.report.chart_script import chart_script
from flows.report.chart_theme import segment_colours, stage_colours, stages_by_rank
from flows.report.data_totals import totals_sentence
from flows.report.figure import Figure, cell_text, json_columns
from flows.report.headlines import headline_sums, headlines, quality_rows, takeaways
from flows.report.metric_rows import metric_blocks
from flows.report.model_test_wording import (
    MODEL_TITLES,
    effect_text,
    method_name,
    metric_meanings,
    metric_name,
    standing,
)
from flows.report.offer_rows import offer_rows, offer_sentences
from flows.report.order_gaps import order_gaps_figure
from flows.report.payback_figure import payback_figure
from flows.report.plain_words import exclusion_text, stage_text
from flows.report.purchase_figures import cohorts_figure, recency_figure
from flows.report.report_data import FLOW_DATES, ReportData
from flows.report.result_figures import (
    result_rows,
    result_sentences,
    results_figure,
    results_over_time,
)
from flows.report.sankey import flow_figure
from flows.report.spend_totals import interval_text, totals_note
from flows.report.stage_figures import (
    expected_moves_figure,
    migration_figure,
    sizes_figure,
    trend_figure,
)
from flows.report.stage_outlook import outlook_figure
from flows.report.stage_transitions import NEWCOMERS
from flows.report.value_figures import (
    deciles_figure,
    gains_figure,
    quadrant_figure,
    reliability_figure,
)
from models.explaining.segments import SEGMENTS
from models.metrics.shown_metrics import SHOWN_METRICS
from models.tasks.all_tasks import TASKS

MOST_BYTES = 5_000_000
_FEWEST = 30  # tested customers; results of fewer are not shown
_NO_VALUE = "no value set"  # the plan's label of campaigns without a value
_VALUE_MEANINGS = {
    RESPONSE_LABEL: "Expected values count all expected spend, also of customers who would buy "
    "without a message (response, not uplift).",
    UPLIFT_LABEL: "Expected values count only the additional spend that a message causes (uplift).",
    MIXED_LABEL: "Expected values count only the additional spend that a message causes (uplift); "
    "where that is unknown, all expected spend.",
    ASSUMED_LABEL: "Expected values count the share of the expected spend that the playbooks "
    "assume a message to cause (incremental_share).",
    MIXED_ASSUMED_LABEL: "Expected values count only the additional spend that a message causes "
    "(uplift); where that is unknown, the share that the playbooks assume (incremental_share).",
}


def draw_figures(report: ReportData) -> dict[str, Figure]:
    """Draw every figure for which the report has data; figures by key."""
    colours, stage_order = stage_colours(report.stages), stages_by_rank(report.stages)
    scores = report.scores
    charts = [
        sizes_figure(scores, colours, stage_order),
        trend_figure(report.sizes, colours, stage_order),
        quadrant_figure(
            scores,
            report.cutoffs,
            segment_colours(),
            horizons=(_first(scores, "churn_horizon_days"), _first(scores, "clv_horizon_days")),
            currency=report.currency,
            seed=report.seed,
            churn=report.churn,
        ),
    ]
    if len(report.buyers):
        charts.append(recency_figure(report.buyers, report.currency))
    if report.cohorts["later"].max() > 0:
        charts.append(cohorts_figure(report.cohorts, report.currency))
    if len(report.expected_moves):
        charts.append(
            expected_moves_figure(report.expected_moves, colours, days=report.expected_days)
        )
    if len(report.gaps):
        charts.append(order_gaps_figure(report.gaps, report.gap_limits))
    if len(report.payback):
        charts.append(payback_figure(report.payback, report.currency, has_margin=report.has_margin))
    if len(report.outlook):
        charts.append(outlook_figure(report.outlook, colours, report.outlook_sentences))
    if len(report.moves):
        dates = list(dict.fromkeys(report.moves["to_at"]))[-FLOW_DATES + 1 :]
        recent_moves = report.moves[report.moves["to_at"].isin(dates)].reset_index(drop=True)
        charts.append(flow_figure(recent_moves, colours, stage_order, NEWCOMERS))
        charts.append(migration_figure(report.moves, stage_order, NEWCOMERS))
    member_counts = members_data(report.audience, scores, report.plan)
    if len(member_counts):
        charts.append(members_figure(member_counts))
    results = results_over_time(report.result_history, report.plan)
    if len(results):
        charts.append(results_figure(results, report.currency))
    return {figure.key: figure for figure in [*charts, *_test_figures(report)]}


def _test_figures(report: ReportData) -> list[Figure]:
    """Draw the test results of the training."""
    test_tables = report.test_tables
    charts: list[Figure] = []
    churn_date, clv_date = _test_date(report, "churn"), _test_date(report, "clv")
    if "churn_reliability" in test_tables:
        horizon_days = _first(report.scores, "churn_horizon_days")
        bins = test_tables["churn_reliability"]
        charts.append(
            reliability_figure(bins, tested_at=churn_date, days=horizon_days, churn=report.churn)
        )
    if "churn_gains" in test_tables:
        charts.append(gains_figure(test_tables["churn_gains"], tested_at=churn_date))
    if "clv_deciles" in test_tables:
        horizon_days = _first(report.scores, "clv_horizon_days")
        charts.append(
            deciles_figure(
                test_tables["clv_deciles"],
                tested_at=clv_date,
                days=horizon_days,
                currency=report.currency,
            )
        )
    return charts


def _first(scores: pd.DataFrame, column: str) -> int:
    return int(scores[column].iloc[0]) if len(scores) else 0


def _test_date(report: ReportData, model: str) -> str:
    dates = [str(record["snapshot_at"]) for record in report.figures if record["model"] == model]
    return max(dates, default="")


def render_page(report: ReportData) -> str:
    """Return the report as one HTML document.

    Raises
    ------
    ValueError
        If the document is larger than `MOST_BYTES`.
    """
    charts = draw_figures(report)
    numbers = headline_sums(report.scores, report.expected_moves)
    colours = stage_colours(report.stages)
    stage_order = stages_by_rank(report.stages)
    document = _template().render(
        report=report,
        figures=charts,
        tables={key: _data_table(figure, report.currency) for key, figure in charts.items()},
        headlines=[(headline, cell_text(headline.value(numbers), headline.kind, report.currency))
                   for headline in headlines(report)],
        takeaways=takeaways(report),
        stages=sorted(report.stages, key=lambda s: stage_order.index(s.name)),
        stage_texts={s.name: stage_text(s.description, report.parameters) for s in report.stages},
        stage_colours=colours,
        segments=SEGMENTS,
        segment_colours=segment_colours(),
        segment_rows=_segment_rows(report),
        totals=report.totals.to_dict("records"),
        books=totals_sentence(report.books, report.currency),
        totals_note=totals_note(report.run, report.totals),
        value_days=_first(report.scores, "clv_horizon_days"),
        churn_days=_first(report.scores, "churn_horizon_days"),
        plan=_plan_rows(report),
        offers=offer_rows(report.offers, report.plan),
        offer_sentences=offer_sentences(report.offers),
        exclusions=_exclusion_rows(report),
        results=result_rows(report.results, report.plan, report.currency),
        result_sentences=result_sentences(report.results, report.plan, report.currency),
        accuracy_rows=accuracy_rows(report.accuracy, report.churn),
        accuracy_sentences=accuracy_sentences(report.accuracy, report.churn, report.currency),
        metric_blocks=metric_blocks(report.metrics, report.currency),
        driver_blocks=_driver_blocks(report),
        titles=MODEL_TITLES,
        value_basis=_value_basis(report.plan),
        price_sentences=price_sentences(report.plan),
        figure_rows=_figure_rows(report),
        quality=quality_rows(report),
        score_quality=report.scores["score_quality"].value_counts().to_dict()
        if "score_quality" in report.scores else {},
        style=Markup(_file("page.css")),
        script=Markup(_file("page.js") + _file("customer_table.js")),
        chart_library=Markup(chart_script()),  # shared by all charts
        payload=script_json(_payload(report, charts, numbers)),
        packed=Markup(report.searchable.packed),  # base64: letters, digits, + / =
        cell_text=cell_text,
        interval_text=interval_text,
        effect_text=effect_text,
        method_name=method_name,
        metric_name=metric_name,
        metric_meanings=metric_meanings,
    )  # fmt: skip
    byte_count = len(document.encode("utf-8"))
    if byte_count > MOST_BYTES:
        raise ValueError(f"the report would have {byte_count:,} bytes, more than {MOST_BYTES:,}")
    return document


def _payload(
    report: ReportData, charts: dict[str, Figure], numbers: pd.DataFrame
) -> dict[str, Any]:
    """Return the data that the page's script reads."""
    return {
        "currency": report.currency,
        "days": {
            "churn": _first(report.scores, "churn_horizon_days"),
            "value": _first(report.scores, "clv_horizon_days"),
        },
        "labels": {data_name: column_label(data_name) for data_name in report.scores},
        "roles": {role: words[0] for role, words in ROLE_WORDS.items()},
        "cells": json_columns(numbers),
        "headlines": [
            {
                "key": headline.key,
                "kind": headline.kind,
                "numerator": headline.numerator,
                "denominator": headline.denominator,
            }
            for headline in headlines(report)
        ],
        "draft": campaign_draft(report.taxonomy, report.cutoffs, report.run["snapshot_at"]),
        "colours": stage_colours(report.stages),
        "order": stages_by_rank(report.stages),
        "figures": [
            {
                "key": figure.key,
                "spec": figure.spec(),
                "data": {data_name: json_columns(rows) for data_name, rows in figure.data.items()},
                "filtered": figure.filtered,
                "dimmed": figure.dimmed,
                "choice": figure.choice[0] if figure.choice else None,
                "table": {
                    "data": figure.table.data,
                    "keys": [[column.name, column.kind] for column in figure.table.keys],
                    "sums": [[column.name, column.kind] for column in figure.table.sums],
                },
            }
            for figure in charts.values()
        ],
    }


def script_json(content: Any) -> Markup:
    """Return JSON that is safe in a script element: no text in it can end the element."""
    encoded = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        encoded = encoded.replace(character, f"\\u{ord(character):04x}")
    return Markup(encoded)


def _data_table(figure: Figure, currency: str) -> dict[str, Any]:
    """Return columns and formatted cells of a figure's table."""
    columns_of = [*figure.table.keys, *figure.table.sums]
    formatted_rows = [
        [
            cell_text(value, column.kind, currency)
            for value, column in zip(row, columns_of, strict=True)
        ]
        for row in figure.table.frame(figure.data).itertuples(index=False)
    ]
    return {"columns": columns_of, "rows": formatted_rows}


def _segment_rows(report: ReportData) -> list[dict[str, Any]]:
    groups = report.scores.groupby("segment", observed=True)
    segment_rows = []
    for segment in SEGMENTS:
        if segment.name not in groups.groups:
            continue
        members = groups.get_group(segment.name)
        segment_rows.append(
            {
                "segment": segment,
                "n": len(members),
                "clv": float(members["clv"].sum()),
                "risk": float(members["p_churn"].mean()),
            }
        )
    return segment_rows


def _plan_rows(report: ReportData) -> list[dict[str, Any]]:
    nullable_plan = report.plan.astype(object).where(report.plan.notna(), None)
    campaigns: list[dict[str, Any]] = nullable_plan.to_dict("records")
    return campaigns


def _exclusion_rows(report: ReportData) -> list[dict[str, Any]]:
    titles = dict(zip(report.plan["campaign_id"], report.plan["title"], strict=True))
    frame = report.exclusions[report.exclusions["customers"] > 0]
    return [
        {"title": titles.get(row.campaign_id, row.campaign_id),
         "reason": exclusion_text(str(row.reason), titles), "customers": int(row.customers)}
        for row in frame.itertuples()
    ]  # fmt: skip


def _value_basis(plan: pd.DataFrame) -> str:
    """Explain in a sentence what the expected values of the plan count."""
    labels = set(plan["value_label"]) if len(plan) else set()
    sentences = [text for label, text in _VALUE_MEANINGS.items() if label in labels]
    if not sentences:
        return "No campaign sets a value, so expected values are costs only."
    if _NO_VALUE in labels:
        sentences.append("Where no value is set, they are costs only.")
    return " ".join(sentences)


def _driver_blocks(report: ReportData) -> list[dict[str, Any]]:
    order = [model for model in ("churn", "clv", "transition", "stage") if model in report.drivers]
    return [
        {
            "model": model,
            "predicts": TASKS[model].description,
            "rows": report.drivers[model].to_dict("records"),
            "most": float(report.drivers[model]["gain"].max()),
        }
        for model in order
        if len(report.drivers[model])
    ]


def _figure_rows(report: ReportData) -> list[dict[str, Any]]:
    """Return the test results of every model and its baselines."""
    blocks = []
    for model, shown in SHOWN_METRICS.items():
        metrics = shown.headline
        records = [
            record
            for record in report.figures
            if record["model"] == model and record["subset"] == "all"
        ]
        if max((record["n"] for record in records), default=0) < _FEWEST:
            continue
        values = {(record["method"], record["metric"]): record["value"] for record in records}
        methods = list(dict.fromkeys(record["method"] for record in records))
        method_rows = [
            [method, *(None if (value := values.get((method, metric))) is None else float(value)
                       for metric in metrics)]
            for method in methods
        ]  # fmt: skip
        blocks.append(
            {
                "model": model,
                "tested_at": str(records[0]["snapshot_at"]),
                "customers": max(record["n"] for record in records),
                "metrics": metrics,
                "standing": standing(model, records),
                "rows": method_rows,
            }
        )
    return blocks


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_file("page.html.j2"))


def _file(name: str) -> str:
    return (importlib.resources.files("flows.report") / name).read_text(encoding="utf-8")
