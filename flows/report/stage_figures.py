"""Figures of the stages: how large they are, how they grew, who moved, and who will."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import pandas as pd

from flows.report.chart_theme import INK, numbers_axis
from flows.report.figure import Column, Figure, Twin, short, shown

CELL = [Column("stage", "Stage"), Column("segment", "Segment")]
N = Column("n", "Customers", "int")


def _scale(colours: Mapping[str, str]) -> alt.Scale:
    return alt.Scale(domain=list(colours), range=list(colours.values()))


def room_for_labels(base: alt.Chart, column: str, factor: float) -> alt.Chart:
    """An unseen mark that makes the axis longer than the longest bar, for the label beside it."""
    longer = base.transform_calculate(room=f"datum.{column} * {factor}")
    return longer.mark_point(opacity=0, size=1).encode(x="room:Q", tooltip=alt.value(None))


def sizes_data(scores: pd.DataFrame) -> pd.DataFrame:
    """Customers by stage and segment: stage, segment, n."""
    groups = scores.groupby(["stage", "segment"], observed=True)
    return groups.size().rename("n").reset_index()


def sizes(scores: pd.DataFrame, colours: Mapping[str, str], order: Sequence[str]) -> Figure:
    """Draw `sizes_data` as one bar a stage."""
    data = sizes_data(scores)
    base = (
        alt.Chart(alt.NamedData("cells"))
        .transform_aggregate(n="sum(n)", groupby=["stage"])
        .transform_joinaggregate(whole="sum(n)")
        .transform_calculate(
            told="format(datum.n, ',') + '  (' + format(datum.n / datum.whole, '.0%') + ')'"
        )
        .encode(
            y=alt.Y("stage:N", sort=list(order), title=None),
            x=alt.X("n:Q", title="customers", axis=numbers_axis(tickCount=5)),
        )
    )
    bars = base.mark_bar(height={"band": 0.62}).encode(
        color=alt.Color("stage:N", scale=_scale(colours), legend=None),
        tooltip=[alt.Tooltip("stage:N"), alt.Tooltip("n:Q", title="customers", format=",")],
    )
    texts = base.mark_text(align="left", dx=6, color=INK).encode(text="told:N")
    room = room_for_labels(base, "n", 1.35)
    totals = data.groupby("stage", observed=True)["n"].sum().sort_values(ascending=False)
    largest = ", ".join(f"{name} {n:,}" for name, n in totals.head(3).items())
    return Figure(
        key="sizes",
        title="Where customers are now",
        says="The stage is a fact: rules put every customer in exactly one. Plan messages stage by "
        "stage, and mind how many people each would reach.",
        alt=f"Bars of the number of customers in each stage. Largest: {largest}.",
        chart=bars + texts + room,
        data={"cells": data},
        twin=Twin("cells", (CELL[0],), (N,)),
        filtered=("cells",),
        height=300,
    )


def trend(sizes_by_date: pd.DataFrame, colours: Mapping[str, str], order: Sequence[str]) -> Figure:
    """Draw `flows.report.stage_transitions.stage_sizes` as stacked areas over time."""
    data = sizes_by_date.copy()
    data["place"] = data["stage"].map({name: at for at, name in enumerate(order)})
    chart = (
        alt.Chart(alt.NamedData("sizes"))
        .mark_area(interpolate="monotone", opacity=0.92, line=False)
        .encode(
            x=alt.X(
                "at:T",
                title=None,
                scale=alt.Scale(type="utc"),
                axis=alt.Axis(format="%b %y", tickCount=6, grid=False, labelOverlap=True),
            ),
            y=alt.Y("n:Q", stack="zero", title="customers", axis=numbers_axis()),
            color=alt.Color(
                "stage:N",
                scale=_scale(colours),
                sort=list(order),
                legend=alt.Legend(title=None),
            ),
            order=alt.Order("place:Q", sort="descending"),
            tooltip=[
                alt.Tooltip("stage:N"),
                alt.Tooltip("at:N", title="at"),
                alt.Tooltip("n:Q", title="customers", format=","),
                alt.Tooltip("share:Q", format=".1%"),
            ],
        )
    )
    dates = list(dict.fromkeys(data["at"]))
    first, last = (data[data["at"] == d].set_index("stage")["n"] for d in (dates[0], dates[-1]))
    grown = (last - first).sort_values()
    said = f"{grown.index[-1]} {grown.iloc[-1]:+,}, {grown.index[0]} {grown.iloc[0]:+,}"
    return Figure(
        key="trend",
        title="How the stages grew",
        says="A stage that swells at the bottom while the upper ones shrink is the earliest sign "
        "of trouble. Of a young business, the growth of all stages is mostly newcomers.",
        alt=f"Stacked areas of customers by stage from {dates[0]} to {dates[-1]}. Largest changes: "
        f"{said}.",
        chart=chart,
        data={"sizes": data},
        twin=Twin(
            "sizes",
            (Column("at", "Date", "date"), CELL[0], N, Column("share", "Share", "percent")),
        ),
        filtered=("sizes",),
        height=300,
    )


def migration(
    moves: pd.DataFrame, order: Sequence[str], newcomers: str, *, months: int = 12
) -> Figure:
    """Draw `flows.report.stage_transitions.stage_moves` month by month as a matrix."""
    data = moves.copy()
    starts = list(dict.fromkeys(data["from_at"]))[-months:]
    data = data[data["from_at"].isin(starts)]
    data["month"] = [f"{short(a)} to {short(b)}" for a, b in data[["from_at", "to_at"]].values]
    rows = [*order, newcomers]
    base = alt.Chart(alt.NamedData("moves")).encode(
        y=alt.Y("from_stage:N", sort=rows, title="stage at the start"),
        x=alt.X(
            "to_stage:N",
            sort=list(order),
            title="stage at the end",
            axis=alt.Axis(orient="top", labelAngle=-25),
        ),
    )
    cells = base.mark_rect(cornerRadius=3).encode(
        color=alt.Color(
            "share:Q",
            scale=alt.Scale(domain=[0, 1], range=["#DCE8F4", "#1D5A94"]),
            legend=None,
        ),
        tooltip=[
            alt.Tooltip("from_stage:N", title="from"),
            alt.Tooltip("to_stage:N", title="to"),
            alt.Tooltip("n:Q", title="customers", format=","),
            alt.Tooltip("share:Q", title="of that stage", format=".1%"),
        ],
    )
    texts = base.mark_text().encode(
        text=alt.Text("share:Q", format=".0%"),
        color=alt.condition("datum.share > 0.5", alt.value("white"), alt.value("#14324E")),
    )
    last = data[data["to_at"] == data["to_at"].max()]
    movers = last[(last["from_stage"] != last["to_stage"]) & (last["from_stage"] != newcomers)]
    kept = last[last["from_stage"] != newcomers]["n"].sum()
    share = movers["n"].sum() / max(int(kept), 1)
    return Figure(
        key="migration",
        title="Monthly stage migration",
        says="Each row is a stage at the start and adds up to 100 %; the diagonal stayed. A row "
        "whose share into a silent stage rises from month to month leaks: look there first.",
        alt=f"A matrix of moves between stages. In the latest period {shown(share, 'percent')} of "
        f"customers ended in another stage than they began in.",
        chart=cells + texts,
        data={"moves": data[["month", "from_stage", "to_stage", "n", "share"]]},
        twin=Twin(
            "moves",
            (
                Column("month", "Period"),
                Column("from_stage", "From"),
                Column("to_stage", "To"),
                N,
                Column("share", "Share of the stage", "percent"),
            ),
        ),
        choice=("month", "Period"),
        height=56 * len(rows),
    )


def movers(expected: pd.DataFrame, colours: Mapping[str, str], *, days: int) -> Figure:
    """Draw the expected moves (stage, segment, to_stage, expected) as bars, the largest first."""
    data = expected.assign(move=expected["stage"].astype(str) + "  →  " + expected["to_stage"])
    base = (
        alt.Chart(alt.NamedData("expected"))
        .transform_aggregate(expected="sum(expected)", groupby=["move", "to_stage"])
        .transform_window(rank="rank()", sort=[alt.SortField("expected", order="descending")])
        .transform_filter("datum.rank <= 12 && datum.expected >= 0.5")
        .encode(
            y=alt.Y(
                "move:N",
                sort=alt.EncodingSortField("expected", op="max", order="descending"),
                title=None,
            ),
            x=alt.X("expected:Q", title="expected customers",
                    axis=alt.Axis(tickCount=5)),
        )
    )  # fmt: skip
    bars = base.mark_bar(height={"band": 0.7}).encode(
        color=alt.Color("to_stage:N", scale=_scale(colours), legend=alt.Legend(title="moves to")),
        tooltip=[
            alt.Tooltip("move:N"),
            alt.Tooltip("expected:Q", title="expected customers", format=",.0f"),
        ],
    )
    texts = base.mark_text(align="left", dx=6, color=INK).encode(
        text=alt.Text("expected:Q", format=",.0f")
    )
    top = data.groupby("move")["expected"].sum().sort_values(ascending=False).head(3)
    said = ", ".join(f"{move} {n:,.0f}" for move, n in top.items())
    return Figure(
        key="movers",
        title=f"Expected movers in the next {days} days",
        says="Sums of every customer's chance, so they are right on average though nobody knows "
        "which customers it will be. Compare with what came next month to see how far to trust it.",
        alt=f"Bars of expected moves between stages. Most: {said}.",
        chart=bars + texts + room_for_labels(base, "expected", 1.12),
        data={"expected": data},
        twin=Twin(
            "expected",
            (Column("stage", "From"), Column("to_stage", "To")),
            (Column("expected", "Expected customers", "decimal"),),
        ),
        filtered=("expected",),
        height=360,
    )
