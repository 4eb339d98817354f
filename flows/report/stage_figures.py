"""Figures of the stages: sizes now and over time, moves of the past and expected moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair as alt
import pandas as pd

from flows.report.chart_theme import INK, numbers_axis
from flows.report.figure import Column, DataTable, Figure, cell_text, date_text

_CELL = [Column("stage", "Stage"), Column("segment", "Segment")]
_CUSTOMERS = Column("n", "Customers", "int")


def _scale(colours: Mapping[str, str]) -> alt.Scale:
    return alt.Scale(domain=list(colours), range=list(colours.values()))


def room_for_labels(base: alt.Chart, column: str, factor: float) -> alt.Chart:
    """Return an invisible mark that extends the axis beyond the longest bar, for its label."""
    longer = base.transform_calculate(room=f"datum.{column} * {factor}")
    return longer.mark_point(opacity=0, size=1).encode(x="room:Q", tooltip=alt.value(None))


def _sizes_data(scores: pd.DataFrame) -> pd.DataFrame:
    """Count customers by stage and segment: stage, segment, n."""
    groups = scores.groupby(["stage", "segment"], observed=True)
    return groups.size().rename("n").reset_index()


def sizes_figure(scores: pd.DataFrame, colours: Mapping[str, str], order: Sequence[str]) -> Figure:
    """Draw `sizes_data` as one bar a stage."""
    stage_counts = _sizes_data(scores)
    stage_bars = (
        alt.Chart(alt.NamedData("cells"))
        .transform_aggregate(n="sum(n)", groupby=["stage"])
        .transform_joinaggregate(whole="sum(n)")
        .transform_calculate(
            label="format(datum.n, ',') + '  (' + format(datum.n / datum.whole, '.0%') + ')'"
        )
        .encode(
            y=alt.Y("stage:N", sort=list(order), title=None),
            x=alt.X("n:Q", title="customers", axis=numbers_axis(tickCount=5)),
        )
    )
    bars = stage_bars.mark_bar(height={"band": 0.62}).encode(
        color=alt.Color("stage:N", scale=_scale(colours), legend=None),
        tooltip=[alt.Tooltip("stage:N"), alt.Tooltip("n:Q", title="customers", format=",")],
    )
    labels = stage_bars.mark_text(align="left", dx=6, color=INK).encode(text="label:N")
    room = room_for_labels(stage_bars, "n", 1.35)
    totals = stage_counts.groupby("stage", observed=True)["n"].sum().sort_values(ascending=False)
    largest = ", ".join(f"{stage} {customers:,}" for stage, customers in totals.head(3).items())
    return Figure(
        key="sizes",
        title="Where customers are now",
        caption="Rules put every customer in exactly one stage. Plan messages for each stage, and "
        "check how many people each message would reach.",
        alt=f"Bars of the number of customers in each stage. Largest: {largest}.",
        chart=bars + labels + room,
        data={"cells": stage_counts},
        table=DataTable("cells", (_CELL[0],), (_CUSTOMERS,)),
        filtered=("cells",),
        height=300,
    )


def trend_figure(
    sizes_by_date: pd.DataFrame, colours: Mapping[str, str], order: Sequence[str]
) -> Figure:
    """Draw `flows.report.stage_transitions.stage_sizes` as stacked areas over time."""
    stage_counts = sizes_by_date.copy()
    stage_counts["place"] = stage_counts["stage"].map(
        {stage: position for position, stage in enumerate(order)}
    )
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
                alt.Tooltip("at:N", title="date"),
                alt.Tooltip("n:Q", title="customers", format=","),
                alt.Tooltip("share:Q", title="share of all", format=".1%"),
            ],
        )
    )
    dates = list(dict.fromkeys(stage_counts["at"]))
    first, last = (
        stage_counts[stage_counts["at"] == date].set_index("stage")["n"]
        for date in (dates[0], dates[-1])
    )
    growth = (last - first).sort_values()
    largest_text = f"{growth.index[-1]} {growth.iloc[-1]:+,}, {growth.index[0]} {growth.iloc[0]:+,}"
    return Figure(
        key="trend",
        title="Stage sizes over time",
        caption="If a silent stage grows while the upper stages shrink, that is the earliest sign "
        "of trouble. In a young business most growth comes from new customers.",
        alt=f"Stacked areas of customers by stage from {dates[0]} to {dates[-1]}. "
        f"Largest changes: {largest_text}.",
        chart=chart,
        data={"sizes": stage_counts},
        table=DataTable(
            "sizes",
            (
                Column("at", "Date", "date"),
                _CELL[0],
                _CUSTOMERS,
                Column("share", "Share", "percent"),
            ),
        ),
        filtered=("sizes",),
        height=300,
    )


def migration_figure(
    moves: pd.DataFrame, order: Sequence[str], newcomers: str, *, months: int = 12
) -> Figure:
    """Draw `flows.report.stage_transitions.stage_moves` month by month as a matrix."""
    month_moves = moves.copy()
    starts = list(dict.fromkeys(month_moves["from_at"]))[-months:]
    month_moves = month_moves[month_moves["from_at"].isin(starts)]
    month_moves["month"] = [
        f"{date_text(from_date)} to {date_text(to_date)}"
        for from_date, to_date in month_moves[["from_at", "to_at"]].values
    ]
    row_order = [*order, newcomers]
    stage_pairs = alt.Chart(alt.NamedData("moves")).encode(
        y=alt.Y("from_stage:N", sort=row_order, title="stage at the start"),
        x=alt.X(
            "to_stage:N",
            sort=list(order),
            title="stage at the end",
            axis=alt.Axis(orient="top", labelAngle=-25),
        ),
    )
    cells = stage_pairs.mark_rect(cornerRadius=3).encode(
        color=alt.Color(
            "share:Q",
            scale=alt.Scale(domain=[0, 1], range=["#DCE8F4", "#1D5A94"]),
            legend=None,
        ),
        tooltip=[
            alt.Tooltip("from_stage:N", title="from"),
            alt.Tooltip("to_stage:N", title="to"),
            alt.Tooltip("n:Q", title="customers", format=","),
            alt.Tooltip("share:Q", title="share of that stage", format=".1%"),
        ],
    )
    labels = stage_pairs.mark_text().encode(
        text=alt.Text("share:Q", format=".0%"),
        color=alt.condition("datum.share > 0.5", alt.value("white"), alt.value("#14324E")),
    )
    latest = month_moves[month_moves["to_at"] == month_moves["to_at"].max()]
    movers = latest[
        (latest["from_stage"] != latest["to_stage"]) & (latest["from_stage"] != newcomers)
    ]
    customers = latest[latest["from_stage"] != newcomers]["n"].sum()
    share = movers["n"].sum() / max(int(customers), 1)
    return Figure(
        key="migration",
        title="Monthly stage changes",
        caption="Each row is a stage at the start of the month and adds up to 100 %; the diagonal "
        "shows customers who stayed. If the share that moves to a silent stage rises from month to "
        "month, look there first.",
        alt="A matrix of moves between stages. In the latest period "
        f"{cell_text(share, 'percent')} of customers ended in a different stage.",
        chart=cells + labels,
        data={"moves": month_moves[["month", "from_stage", "to_stage", "n", "share"]]},
        table=DataTable(
            "moves",
            (
                Column("month", "Period"),
                Column("from_stage", "From"),
                Column("to_stage", "To"),
                _CUSTOMERS,
                Column("share", "Share of the stage", "percent"),
            ),
        ),
        choice=("month", "Period"),
        height=56 * len(row_order),
    )


def expected_moves_figure(
    expected: pd.DataFrame, colours: Mapping[str, str], *, days: int
) -> Figure:
    """Draw the expected moves (stage, segment, to_stage, expected) as bars, the largest first."""
    expected_moves = expected.assign(
        move=expected["stage"].astype(str) + "  →  " + expected["to_stage"]
    )
    move_bars = (
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
    bars = move_bars.mark_bar(height={"band": 0.7}).encode(
        color=alt.Color("to_stage:N", scale=_scale(colours), legend=alt.Legend(title="moves to")),
        tooltip=[
            alt.Tooltip("move:N"),
            alt.Tooltip("expected:Q", title="expected customers", format=",.0f"),
        ],
    )
    labels = move_bars.mark_text(align="left", dx=6, color=INK).encode(
        text=alt.Text("expected:Q", format=",.0f")
    )
    largest = expected_moves.groupby("move")["expected"].sum().sort_values(ascending=False).head(3)
    largest_text = ", ".join(f"{move} {customers:,.0f}" for move, customers in largest.items())
    return Figure(
        key="movers",
        title=f"Expected stage changes in the next {days} days",
        caption="The sum of every customer's probability: reliable on average, although it does "
        "not say which customers will move. Compare it with the actual moves next month to see how "
        "well it works.",
        alt=f"Bars of expected moves between stages. Most: {largest_text}.",
        chart=bars + labels + room_for_labels(move_bars, "expected", 1.12),
        data={"expected": expected_moves},
        table=DataTable(
            "expected",
            (Column("stage", "From"), Column("to_stage", "To")),
            (Column("expected", "Expected customers", "decimal"),),
        ),
        filtered=("expected",),
        height=360,
    )
