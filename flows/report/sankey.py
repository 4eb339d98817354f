"""The flow between stages as ribbons: its geometry, and the chart."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from flows.report.chart_theme import INK, NEW
from flows.report.figure import Column, Figure, Twin, short

WIDTH = 0.05  # of a block, in distances between two dates
STEPS = 17  # points along a ribbon
BEFORE = 0.12  # room at the left, in distances between two dates
LETTER = 7  # pixels of a letter of a label, on average


def sankey_data(
    moves: pd.DataFrame, order: Sequence[str], newcomers: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Blocks and ribbons of a flow.

    Parameters
    ----------
    moves
        From `flows.report.stage_transitions.stage_moves`, dates rising.
    order
        Stage names from the top to the bottom; newcomers come last.
    newcomers
        Name of those who did not exist at the date before.

    Returns
    -------
    blocks
        at (number of the date), stage, n, x, x2, y, y2, middle: one row a date and stage.
    ribbons
        ribbon, from_stage, to_stage, n, x, y, y2: some points of each.
    """
    dates = list(dict.fromkeys([*moves["from_at"], *moves["to_at"]]))
    names = [*order, newcomers]
    stock = [_stock(moves, date, names, newcomers) for date in dates]
    gap = 0.02 * max((sum(s.values()) for s in stock), default=1.0)
    tops = [_tops(sizes, gap) for sizes in stock]
    blocks = [
        (at, name, n, at - WIDTH / 2, at + WIDTH / 2, tops[at][name], tops[at][name] - n)
        for at, sizes in enumerate(stock)
        for name, n in sizes.items()
        if n > 0
    ]
    ribbons: list[tuple[Any, ...]] = []
    for at in range(len(dates) - 1):
        ribbons += _ribbons(moves[moves["from_at"] == dates[at]], at, names, tops)
    frame = pd.DataFrame(blocks, columns=["at", "stage", "n", "x", "x2", "y", "y2"])
    frame["middle"] = (frame["y"] + frame["y2"]) / 2
    columns = ["ribbon", "from_stage", "to_stage", "n", "x", "y", "y2"]
    return frame, pd.DataFrame(ribbons, columns=columns)


def _stock(
    moves: pd.DataFrame, date: Any, names: Sequence[str], newcomers: str
) -> dict[str, float]:
    """Customers by stage at a date, and those who come before the next one."""
    arrived, leaving = moves[moves["to_at"] == date], moves[moves["from_at"] == date]
    sizes = arrived.groupby("to_stage")["n"].sum()
    if arrived.empty:
        sizes = leaving.groupby("from_stage")["n"].sum()
    stock = {name: float(sizes.get(name, 0.0)) for name in names}
    stock[newcomers] = float(leaving.loc[leaving["from_stage"] == newcomers, "n"].sum())
    return stock


def _tops(sizes: Mapping[str, float], gap: float) -> dict[str, float]:
    """Upper edge of every block of a date; the first stands highest, at 0."""
    tops, at = {}, 0.0
    for name, n in sizes.items():
        tops[name] = at
        at -= n + (gap if n else 0.0)
    return tops


def _ribbons(
    rows: pd.DataFrame, at: int, names: Sequence[str], tops: Sequence[Mapping[str, float]]
) -> list[tuple[Any, ...]]:
    left, right = dict(tops[at]), dict(tops[at + 1])
    counts = {(a, b): float(n) for a, b, n in rows[["from_stage", "to_stage", "n"]].to_numpy()}
    share = np.linspace(0.0, 1.0, STEPS)
    bend = share * share * (3 - 2 * share)
    x = at + WIDTH / 2 + share * (1 - WIDTH)
    points: list[tuple[Any, ...]] = []
    for source in names:
        for target in names:
            n = counts.get((source, target), 0.0)
            if not n:
                continue
            y = left[source] + (right[target] - left[source]) * bend
            name = f"{at}:{source}:{target}"
            points += [(name, source, target, n, *p) for p in zip(x, y, y - n, strict=True)]
            left[source] -= n
            right[target] -= n
    return points


def sankey(
    moves: pd.DataFrame, colours: Mapping[str, str], order: Sequence[str], newcomers: str
) -> Figure:
    """Draw `sankey_data`: columns are dates, ribbons the customers between them."""
    blocks, ribbons = sankey_data(moves, order, newcomers)
    dates = list(dict.fromkeys([*moves["from_at"], *moves["to_at"]]))
    scale = alt.Scale(domain=[*colours, newcomers], range=[*colours.values(), NEW])
    # In two lines, so that neighbours do not touch on a narrow screen.
    names = " : ".join(
        f"datum.value == {i} ? {json.dumps(short(d).rsplit(' ', 1))}" for i, d in enumerate(dates)
    )
    axis = alt.Axis(
        values=list(range(len(dates))),
        labelExpr=f"{names} : ''",
        grid=False,
        orient="top",
        labelPadding=21,
    )
    last = len(dates) - 1
    blocks["told"] = [f"{s}  {n:,.0f}" for s, n in zip(blocks["stage"], blocks["n"], strict=True)]
    room = LETTER * int(blocks.loc[blocks["at"] == last, "told"].str.len().max()) + 16
    # The names to the right need as many pixels on a narrow screen as on a wide one.
    end = alt.ExprRef(f"{last} + {room} * {last + BEFORE} / max(width - {room}, 80)")
    x_scale = alt.Scale(domainMin=-BEFORE, domainMax=end, nice=False)
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
        boxes.transform_filter(f"datum.at == {last}")
        .mark_text(align="left", dx=8, color=INK)
        .encode(
            x=alt.X("x2:Q", axis=axis, scale=x_scale, title=None),
            y=alt.Y("middle:Q", axis=None, scale=y_scale),
            text="told:N",
        )
    )
    rows = moves[moves["from_stage"] != moves["to_stage"]]
    top = rows[rows["from_stage"] != newcomers].sort_values("n", ascending=False).head(2)
    said = "; ".join(f"{r.from_stage} to {r.to_stage} {r.n:,}" for r in top.itertuples())
    return Figure(
        key="flow",
        title="Flows between stages",
        says="Follow a colour from left to right: ribbons that stay level stayed, and those that "
        "fall to a silent stage are what retention campaigns are for. Choose stages in the filter "
        "to follow them alone."
        + (
            " Pale blocks at the bottom are newcomers." if newcomers in set(blocks["stage"]) else ""
        ),
        alt=f"Ribbons of customers between stages at {len(dates)} dates. Largest moves: {said}.",
        chart=bands + rects + labels,
        data={"ribbons": ribbons, "blocks": blocks, "flows": moves},
        twin=Twin(
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
