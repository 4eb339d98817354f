"""The flow between stages as a Sankey diagram: geometry and chart."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from flows.report.chart_theme import INK, NEWCOMER_COLOUR
from flows.report.figure import Column, DataTable, Figure, date_text

_WIDTH = 0.05  # of a block; 1 is the distance between two dates
RIBBON_POINTS = 17  # points along a ribbon
_BEFORE = 0.12  # margin at the left; 1 is the distance between two dates
_LETTER_PIXELS = 7  # average width of a letter in a label


def flow_data(
    moves: pd.DataFrame, order: Sequence[str], newcomers: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compute blocks and ribbons of the flow between stages.

    Parameters
    ----------
    moves
        From `flows.report.stage_transitions.stage_moves`, dates ascending.
    order
        Stage names from top to bottom; newcomers come last.
    newcomers
        Name of the block of customers who did not exist at the previous date.

    Returns
    -------
    blocks
        at (number of the date), stage, n, x, x2, y, y2, middle: one row per date and stage.
    ribbons
        ribbon, from_stage, to_stage, n, x, y, y2: `RIBBON_POINTS` rows per ribbon.
    """
    dates = list(dict.fromkeys([*moves["from_at"], *moves["to_at"]]))
    names = [*order, newcomers]
    stocks = [_stock(moves, date, names, newcomers) for date in dates]
    gap = 0.02 * max((sum(sizes_at_date.values()) for sizes_at_date in stocks), default=1.0)
    tops = [_tops(sizes, gap) for sizes in stocks]
    blocks = [
        (
            date_number,
            stage,
            customers,
            date_number - _WIDTH / 2,
            date_number + _WIDTH / 2,
            tops[date_number][stage],
            tops[date_number][stage] - customers,
        )
        for date_number, sizes in enumerate(stocks)
        for stage, customers in sizes.items()
        if customers > 0
    ]
    ribbons: list[tuple[Any, ...]] = []
    for date_number in range(len(dates) - 1):
        ribbons += _ribbons(moves[moves["from_at"] == dates[date_number]], date_number, names, tops)
    block_frame = pd.DataFrame(blocks, columns=["at", "stage", "n", "x", "x2", "y", "y2"])
    block_frame["middle"] = (block_frame["y"] + block_frame["y2"]) / 2
    columns = ["ribbon", "from_stage", "to_stage", "n", "x", "y", "y2"]
    return block_frame, pd.DataFrame(ribbons, columns=columns)


def _stock(
    moves: pd.DataFrame, date: Any, names: Sequence[str], newcomers: str
) -> dict[str, float]:
    """Count customers by stage at a date, and newcomers until the next date."""
    arrived, leaving = moves[moves["to_at"] == date], moves[moves["from_at"] == date]
    sizes = arrived.groupby("to_stage")["n"].sum()
    if arrived.empty:
        sizes = leaving.groupby("from_stage")["n"].sum()
    stock = {stage: float(sizes.get(stage, 0.0)) for stage in names}
    stock[newcomers] = float(leaving.loc[leaving["from_stage"] == newcomers, "n"].sum())
    return stock


def _tops(sizes: Mapping[str, float], gap: float) -> dict[str, float]:
    """Return the upper edge of every block of a date; the first block starts at 0."""
    tops, edge = {}, 0.0
    for stage, customers in sizes.items():
        tops[stage] = edge
        edge -= customers + (gap if customers else 0.0)
    return tops


def _ribbons(
    rows: pd.DataFrame, date_number: int, names: Sequence[str], tops: Sequence[Mapping[str, float]]
) -> list[tuple[Any, ...]]:
    left_edges, right_edges = dict(tops[date_number]), dict(tops[date_number + 1])
    counts = {
        (from_stage, to_stage): float(customers)
        for from_stage, to_stage, customers in rows[["from_stage", "to_stage", "n"]].to_numpy()
    }
    share = np.linspace(0.0, 1.0, RIBBON_POINTS)
    bend = share * share * (3 - 2 * share)
    positions = date_number + _WIDTH / 2 + share * (1 - _WIDTH)
    points: list[tuple[Any, ...]] = []
    for source in names:
        for target in names:
            customers = counts.get((source, target), 0.0)
            if not customers:
                continue
            upper_edge = left_edges[source] + (right_edges[target] - left_edges[source]) * bend
            ribbon = f"{date_number}:{source}:{target}"
            points += [
                (ribbon, source, target, customers, *point)
                for point in zip(positions, upper_edge, upper_edge - customers, strict=True)
            ]
            left_edges[source] -= customers
            right_edges[target] -= customers
    return points


def flow_figure(
    moves: pd.DataFrame, colours: Mapping[str, str], order: Sequence[str], newcomers: str
) -> Figure:
    """Draw `flow_data`: blocks are stages at a date, ribbons the moves between two dates."""
    blocks, ribbons = flow_data(moves, order, newcomers)
    dates = list(dict.fromkeys([*moves["from_at"], *moves["to_at"]]))
    scale = alt.Scale(domain=[*colours, newcomers], range=[*colours.values(), NEWCOMER_COLOUR])
    # Two lines per date, so that labels do not touch on a narrow screen.
    date_labels = " : ".join(
        f"datum.value == {number} ? {json.dumps(date_text(date).rsplit(' ', 1))}"
        for number, date in enumerate(dates)
    )
    axis = alt.Axis(
        values=list(range(len(dates))),
        labelExpr=f"{date_labels} : ''",
        grid=False,
        orient="top",
        labelPadding=21,
    )
    last_date = len(dates) - 1
    blocks["label"] = [
        f"{stage}  {customers:,.0f}"
        for stage, customers in zip(blocks["stage"], blocks["n"], strict=True)
    ]
    label_width = (
        _LETTER_PIXELS * int(blocks.loc[blocks["at"] == last_date, "label"].str.len().max()) + 16
    )
    # The stage names at the right need the same number of pixels on every screen width.
    axis_end = alt.ExprRef(
        f"{last_date} + {label_width} * {last_date + _BEFORE} / max(width - {label_width}, 80)"
    )
    x_scale = alt.Scale(domainMin=-_BEFORE, domainMax=axis_end, nice=False)
    y_scale = alt.Scale(nice=False, zero=False)
    y_axis = alt.Y("y:Q", axis=None, scale=y_scale)
    bands = (
        alt.Chart(alt.NamedData("ribbons"))
        .mark_area()
        .encode(
            x=alt.X("x:Q", axis=axis, scale=x_scale, title=None),
            y=y_axis,
            y2="y2:Q",
            detail="ribbon:N",
            color=alt.Color("from_stage:N", scale=scale, legend=None),
            opacity=alt.condition("datum.on == 0", alt.value(0.06), alt.value(0.42)),
            tooltip=[
                alt.Tooltip("from_stage:N", title="from"),
                alt.Tooltip("to_stage:N", title="to"),
                alt.Tooltip("n:Q", title="customers", format=",.0f"),
            ],
        )
    )
    boxes = alt.Chart(alt.NamedData("blocks")).encode(
        x=alt.X("x:Q", axis=axis, scale=x_scale, title=None), y=y_axis
    )
    rects = boxes.mark_rect(cornerRadius=1).encode(
        x2="x2:Q",
        y2="y2:Q",
        color=alt.Color("stage:N", scale=scale, legend=None),
        tooltip=[alt.Tooltip("stage:N"), alt.Tooltip("n:Q", title="customers", format=",.0f")],
    )
    labels = (
        boxes.transform_filter(f"datum.at == {last_date}")
        .mark_text(align="left", dx=8, color=INK)
        .encode(
            x=alt.X("x2:Q", axis=axis, scale=x_scale, title=None),
            y=alt.Y("middle:Q", axis=None, scale=y_scale),
            text="label:N",
        )
    )
    changes = moves[moves["from_stage"] != moves["to_stage"]]
    largest = changes[changes["from_stage"] != newcomers].sort_values("n", ascending=False).head(2)
    largest_text = "; ".join(
        f"{move.from_stage} to {move.to_stage} {move.n:,}" for move in largest.itertuples()
    )
    return Figure(
        key="flow",
        title="Flows between stages",
        caption="Follow a colour from left to right. Level ribbons are customers who stayed; "
        "ribbons that fall to a silent stage are customers for retention campaigns. Choose stages "
        "in the filter to highlight them."
        + (
            " Pale blocks at the bottom are customers new since the previous date."
            if newcomers in set(blocks["stage"])
            else ""
        ),
        alt=f"Ribbons of customers between stages at {len(dates)} dates. "
        f"Largest moves: {largest_text}.",
        chart=bands + rects + labels,
        data={"ribbons": ribbons, "blocks": blocks, "flows": moves},
        table=DataTable(
            "flows",
            (
                Column("from_at", "From date", "date"),
                Column("to_at", "To date", "date"),
                Column("from_stage", "From"),
                Column("to_stage", "To"),
                Column("n", "Customers", "int"),
            ),
        ),
        dimmed=("ribbons",),
        height=420,
        wide=True,
    )
