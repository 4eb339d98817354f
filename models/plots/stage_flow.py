"""The stage flow: moves of customers between stages, as a table and as a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Curve
from matplotlib.ticker import FuncFormatter

from models.plots.figure_style import COLOURS, TEXT_COLOUR, blank_figure

_NEW = "new"  # source of customers who did not exist at the earlier date


def flow_data(paths: pd.DataFrame) -> pd.DataFrame:
    """Number of customers by stage at two consecutive dates.

    Parameters
    ----------
    paths
        customer_id, snapshot_at (ascending), stage; one row a customer and date at which they
        existed.

    Returns
    -------
    DataFrame
        One row a pair of dates and stages that occurs: from_at, from_stage (``new``: did not exist
        before), to_at, to_stage, n.
    """
    stage_by_date = paths.pivot(index="customer_id", columns="snapshot_at", values="stage")
    dates = list(paths["snapshot_at"].unique())
    date_pairs = []
    for earlier_date, later_date in pairwise(dates):
        stage_pairs = stage_by_date.loc[
            stage_by_date[later_date].notna(), [earlier_date, later_date]
        ]
        stage_pairs = pd.DataFrame(
            {
                "from_stage": stage_pairs[earlier_date]
                .astype(object)
                .where(stage_pairs[earlier_date].notna(), _NEW),
                "to_stage": stage_pairs[later_date].astype(object),
            }
        )
        counts = stage_pairs.groupby(["from_stage", "to_stage"]).size().rename("n").reset_index()
        counts.insert(0, "from_at", earlier_date)
        counts.insert(2, "to_at", later_date)
        date_pairs.append(counts)
    if not date_pairs:
        raise ValueError("a stage flow needs at least two dates")
    return pd.concat(date_pairs, ignore_index=True)


def flow_figure(data: pd.DataFrame, names: Sequence[str], *, title: str = "Stage flow") -> Figure:
    """Draw `flow_data`: columns are dates, ribbons are the moves between them.

    Parameters
    ----------
    data
        From `flow_data`.
    names
        Stage names from bottom to top.
    title
        Heading.
    """
    dates = [data["from_at"].iloc[0], *data["to_at"].unique()]
    figure, axes = blank_figure(max(6.0, 1.5 * len(dates) + 1.5), 5.0, title)
    colours = {name: COLOURS[number % len(COLOURS)] for number, name in enumerate(names)}
    sizes = {date: _stock(data, date, names) for date in dates}
    gap = 0.015 * max(sum(customers.values()) for customers in sizes.values())
    half_width = 0.06
    for number, date in enumerate(dates):
        lower_edges = _bases(sizes[date], gap)
        for name, customers in sizes[date].items():
            axes.bar(
                number,
                customers,
                2 * half_width,
                bottom=lower_edges[name],
                color=colours[name],
                zorder=3,
            )
        if number + 1 < len(dates):
            _ribbons(axes, data[data["from_at"] == date], (number, half_width, gap), sizes, colours)
    last_edges = _bases(sizes[dates[-1]], gap)
    for name, customers in sizes[dates[-1]].items():
        if customers:
            axes.annotate(
                f"{name} {customers:,.0f}",
                (len(dates) - 1 + half_width, last_edges[name] + customers / 2),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                color=TEXT_COLOUR,
                fontsize=9,
            )
    axes.set_xticks(range(len(dates)), [str(date).removesuffix(" 00:00:00") for date in dates])
    axes.set_xlim(-0.25, len(dates) - 1 + 0.75)
    axes.set_ylabel("customers")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.grid(visible=False)
    return figure


def _stock(data: pd.DataFrame, date: Any, names: Sequence[str]) -> dict[str, float]:
    """Customers by stage at a date."""
    arriving = data[data["to_at"] == date]
    stage_column = "to_stage" if len(arriving) else "from_stage"
    rows = arriving if len(arriving) else data[data["from_at"] == date]
    counts = rows.groupby(stage_column)["n"].sum()
    return {name: float(counts.get(name, 0.0)) for name in names}


def _bases(sizes: Mapping[str, float], gap: float) -> dict[str, float]:
    """Lower edge of each block of a column."""
    edges, position = {}, 0.0
    for name, size in sizes.items():
        edges[name] = position
        position += size + (gap if size else 0.0)
    return edges


def _ribbons(
    axes: Axes,
    rows: pd.DataFrame,
    place: tuple[int, float, float],
    sizes: Mapping[Any, dict[str, float]],
    colours: Mapping[str, str],
) -> None:
    column, width, gap = place
    earlier_date, later_date = rows["from_at"].iloc[0], rows["to_at"].iloc[0]
    left_edges, right_edges = _bases(sizes[earlier_date], gap), _bases(sizes[later_date], gap)
    flows = {
        (source_stage, target_stage): float(customers)
        for source_stage, target_stage, customers in rows[
            ["from_stage", "to_stage", "n"]
        ].to_numpy()
    }
    for source in sizes[earlier_date]:
        for target in sizes[later_date]:
            customers = flows.get((source, target), 0.0)
            if customers:
                x_left, x_right = column + width, column + 1 - width
                opacity = 0.30 if source == target else 0.55
                ribbon = _ribbon(
                    x_left, left_edges[source], x_right, right_edges[target], customers
                )
                axes.add_patch(PathPatch(ribbon, facecolor=colours[source], alpha=opacity, lw=0))
            left_edges[source] += customers
            right_edges[target] += customers


def _ribbon(x0: float, y0: float, x1: float, y1: float, height: float) -> Curve:
    middle = (x0 + x1) / 2
    points = [(x0, y0), (middle, y0), (middle, y1), (x1, y1), (x1, y1 + height)]
    points += [(middle, y1 + height), (middle, y0 + height), (x0, y0 + height), (x0, y0)]
    codes = [Curve.MOVETO, *[Curve.CURVE4] * 3, Curve.LINETO, *[Curve.CURVE4] * 3, Curve.CLOSEPOLY]
    return Curve(points, codes)
