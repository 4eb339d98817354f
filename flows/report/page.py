"""The page: figures, tables and words put into one HTML file that needs nothing else."""

from __future__ import annotations

import importlib.resources
import json
from functools import cache
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from flows.report.campaign_figures import members, members_data
from flows.report.chart_script import chart_script
from flows.report.chart_theme import by_rank, segment_colours, stage_colours
from flows.report.figure import Figure, columns, shown
from flows.report.headlines import cells, headlines, quality_rows, takeaways
from flows.report.metric_rows import metric_blocks
from flows.report.report_data import FLOW_DATES, Material
from flows.report.sankey import sankey
from flows.report.stage_figures import migration, movers, sizes, trend
from flows.report.stage_transitions import NEWCOMERS
from flows.report.value_figures import deciles, gains, quadrant, reliability
from models.evaluation.task_metrics import HEADLINES
from models.explaining.segments import SEGMENTS
from models.registry.model_cards import PART_DESCRIPTIONS

MOST_BYTES = 5_000_000
FEWEST = 30  # customers tested, under which a figure says nothing
NO_VALUE = "no value set"  # the plan's label of campaigns without one
TITLES = {
    "churn": "Churn risk",
    "clv": "Lifetime value (CLV)",
    "transition": "Next transition",
    "stage": "Current stage",
    "lead": "Lead score",
}


def figures(material: Material) -> dict[str, Figure]:
    """Every figure that the material allows, by key."""
    colours, order = stage_colours(material.stages), by_rank(material.stages)
    scores = material.scores
    drawn = [
        sizes(scores, colours, order),
        trend(material.sizes, colours, order),
        quadrant(
            scores,
            material.cut,
            segment_colours(),
            horizons=(_first(scores, "churn_horizon_days"), _first(scores, "clv_horizon_days")),
            currency=material.currency,
            seed=material.seed,
            churn=material.churn,
        ),
    ]
    if len(material.expected):
        drawn.append(movers(material.expected, colours, days=material.expected_days))
    if len(material.moves):
        dates = list(dict.fromkeys(material.moves["to_at"]))[-FLOW_DATES + 1 :]
        recent = material.moves[material.moves["to_at"].isin(dates)].reset_index(drop=True)
        drawn.append(sankey(recent, colours, order, NEWCOMERS))
        drawn.append(migration(material.moves, order, NEWCOMERS))
    there = members_data(material.audience, scores, material.plan)
    if len(there):
        drawn.append(members(there))
    return {figure.key: figure for figure in [*drawn, *_tested(material)]}


def _tested(material: Material) -> list[Figure]:
    """Figures of what the training measured."""
    found = material.tests
    drawn: list[Figure] = []
    churn, clv = _test_date(material, "churn"), _test_date(material, "clv")
    if "churn_reliability" in found:
        days = _first(material.scores, "churn_horizon_days")
        told = found["churn_reliability"]
        drawn.append(reliability(told, tested_at=churn, days=days, churn=material.churn))
    if "churn_gains" in found:
        drawn.append(gains(found["churn_gains"], tested_at=churn))
    if "clv_deciles" in found:
        days = _first(material.scores, "clv_horizon_days")
        drawn.append(
            deciles(found["clv_deciles"], tested_at=clv, days=days, currency=material.currency)
        )
    return drawn


def _first(scores: pd.DataFrame, column: str) -> int:
    return int(scores[column].iloc[0]) if len(scores) else 0


def _test_date(material: Material, model: str) -> str:
    dates = [str(f["snapshot_at"]) for f in material.figures if f["model"] == model]
    return max(dates, default="")


def page(material: Material) -> str:
    """The whole report as one HTML text.

    Raises
    ------
    ValueError
        Where it would be larger than `MOST_BYTES`.
    """
    drawn = figures(material)
    numbers = cells(material.scores, material.expected)
    colours = stage_colours(material.stages)
    order = by_rank(material.stages)
    told = _template().render(
        m=material,
        figures=drawn,
        tables={key: _twin(figure, material.currency) for key, figure in drawn.items()},
        headlines=[(h, shown(h.value(numbers), h.kind, material.currency))
                   for h in headlines(material)],
        takeaways=takeaways(material),
        stages=sorted(material.stages, key=lambda s: order.index(s.name)),
        stage_colours=colours,
        segments=SEGMENTS,
        segment_colours=segment_colours(),
        segment_rows=_segment_rows(material),
        plan=_plan_rows(material),
        exclusions=_exclusion_rows(material),
        metric_blocks=metric_blocks(material.metrics, material.currency),
        driver_blocks=_driver_blocks(material),
        titles=TITLES,
        values_are=_values_are(material.plan),
        figure_rows=_figure_rows(material),
        quality=quality_rows(material),
        score_quality=material.scores["score_quality"].value_counts().to_dict()
        if "score_quality" in material.scores else {},
        style=Markup(_file("page.css")),
        script=Markup(_file("page.js")),
        vega=Markup(chart_script()),  # once for all charts of a page
        payload=in_script(_payload(material, drawn, numbers)),
        packed=Markup(material.people.packed),  # base64: letters, digits, + / =
        shown=shown,
    )  # fmt: skip
    size = len(told.encode("utf-8"))
    if size > MOST_BYTES:
        raise ValueError(f"the report would have {size:,} bytes, more than {MOST_BYTES:,}")
    return told


def _payload(material: Material, drawn: dict[str, Figure], numbers: pd.DataFrame) -> dict[str, Any]:
    """What the page's script reads."""
    return {
        "currency": material.currency,
        "cells": columns(numbers),
        "headlines": [
            {"key": h.key, "kind": h.kind, "top": h.top, "bottom": h.bottom}
            for h in headlines(material)
        ],
        "colours": stage_colours(material.stages),
        "order": by_rank(material.stages),
        "figures": [
            {
                "key": figure.key,
                "spec": figure.spec(),
                "data": {name: columns(rows) for name, rows in figure.data.items()},
                "filtered": figure.filtered,
                "dimmed": figure.dimmed,
                "choice": figure.choice[0] if figure.choice else None,
                "twin": {
                    "data": figure.twin.data,
                    "keys": [[c.name, c.kind] for c in figure.twin.keys],
                    "sums": [[c.name, c.kind] for c in figure.twin.sums],
                },
            }
            for figure in drawn.values()
        ],
    }


def in_script(content: Any) -> Markup:
    """JSON that may stand in a script element: no text in it can end the element."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def _twin(figure: Figure, currency: str) -> dict[str, Any]:
    """Head and cells of the table beside a chart."""
    columns_of = [*figure.twin.keys, *figure.twin.sums]
    rows = [
        [shown(value, column.kind, currency) for value, column in zip(row, columns_of, strict=True)]
        for row in figure.twin.frame(figure.data).itertuples(index=False)
    ]
    return {"columns": columns_of, "rows": rows}


def _segment_rows(material: Material) -> list[dict[str, Any]]:
    groups = material.scores.groupby("segment", observed=True)
    rows = []
    for segment in SEGMENTS:
        if segment.name not in groups.groups:
            continue
        mine = groups.get_group(segment.name)
        rows.append({"segment": segment, "n": len(mine), "clv": float(mine["clv"].sum()),
                     "risk": float(mine["p_churn"].mean())})  # fmt: skip
    return rows


def _plan_rows(material: Material) -> list[dict[str, Any]]:
    plan = material.plan.astype(object).where(material.plan.notna(), None)
    rows: list[dict[str, Any]] = plan.to_dict("records")
    return rows


def _exclusion_rows(material: Material) -> list[dict[str, Any]]:
    titles = dict(zip(material.plan["campaign_id"], material.plan["title"], strict=True))
    frame = material.exclusions[material.exclusions["customers"] > 0]
    return [
        {"title": titles.get(row.campaign_id, row.campaign_id), "reason": row.reason,
         "customers": int(row.customers)}
        for row in frame.itertuples()
    ]  # fmt: skip


def _values_are(plan: pd.DataFrame) -> str:
    """What the expected values of the plan rest on, in a sentence."""
    labels = set(plan["value_label"]) if len(plan) else set()
    known = sorted(labels - {NO_VALUE})
    if not known:
        return "No campaign sets a value, so expected values are costs alone."
    told = f"Expected values rest on {' or '.join(known)}."
    return (
        told if NO_VALUE not in labels else f"{told} Where no value is set, they are costs alone."
    )


def _driver_blocks(material: Material) -> list[dict[str, Any]]:
    order = [name for name in ("churn", "clv", "transition", "stage") if name in material.drivers]
    return [
        {
            "model": name,
            "predicts": PART_DESCRIPTIONS[name],
            "rows": material.drivers[name].to_dict("records"),
            "most": float(material.drivers[name]["gain"].max()),
        }
        for name in order
        if len(material.drivers[name])
    ]


def _figure_rows(material: Material) -> list[dict[str, Any]]:
    """The tested figures of every model, this recipe beside its baselines."""
    blocks = []
    for model, metrics in HEADLINES.items():
        mine = [f for f in material.figures if f["model"] == model and f["subset"] == "all"]
        if max((f["n"] for f in mine), default=0) < FEWEST:
            continue
        found = {(f["method"], f["metric"]): f["value"] for f in mine}
        methods = list(dict.fromkeys(f["method"] for f in mine))
        rows = [
            [method, *(None if (v := found.get((method, m))) is None else float(v)
                       for m in metrics)]
            for method in methods
        ]  # fmt: skip
        blocks.append(
            {"model": model, "at": str(mine[0]["snapshot_at"]), "n": max(f["n"] for f in mine),
             "metrics": metrics, "rows": rows}
        )  # fmt: skip
    return blocks


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_file("page.html.j2"))


def _file(name: str) -> str:
    return (importlib.resources.files("flows.report") / name).read_text(encoding="utf-8")
