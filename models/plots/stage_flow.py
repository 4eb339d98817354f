"""The stage flow: how customers moved between stages, as numbers and as a picture."""

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

from models.plots.figure_style import COLOURS, INK, blank

NEW = "new"  # who did not exist at the date before


def flow_data(paths: pd.DataFrame) -> pd.DataFrame:
    """How many customers went from which stage to which between dates that follow each other.

    Parameters
    ----------
    paths
        customer_id, snapshot_at (rising), stage: one row a customer and date at which they existed.

    Returns
    -------
    DataFrame
        One row a pair of dates and stages that occurs: from_at, from_stage (``new``: who did not
        exist before), to_at, to_stage, n.
    """
    wide = paths.pivot(index="customer_id", columns="snapshot_at", values="stage")
    dates = list(paths["snapshot_at"].unique())
    frames = []
    for first, second in pairwise(dates):
        pair = wide.loc[wide[second].notna(), [first, second]]
        pair = pd.DataFrame(
            {
                "from_stage": pair[first].astype(object).where(pair[first].notna(), NEW),
                "to_stage": pair[second].astype(object),
            }
        )
        counts = pair.groupby(["from_stage", "to_stage"]).size().rename("n").reset_index()
        counts.insert(0, "from_at", first)
        counts.insert(2, "to_at", second)
        frames.append(counts)
    if not frames:
        raise ValueError("a stage flow needs at least two dates")
    return pd.concat(frames, ignore_index=True)


def flow_figure(data: pd.DataFrame, names: Sequence[str], *, title: str = "Stage flow") -> Figure:
    """Draw `flow_data`: columns are dates, ribbons the customers between them.

    Parameters
    ----------
    data
        From `flow_data`.
    names
        Stage names from the bottom to the top.
    title
        Heading.
    """
    dates = [data["from_at"].iloc[0], *data["to_at"].unique()]
    figure, axes = blank(max(6.0, 1.5 * len(dates) + 1.5), 5.0, title)
    colours = {name: COLOURS[at % len(COLOURS)] for at, name in enumerate(names)}
    sizes = {date: _stock(data, date, names) for date in dates}
    gap = 0.015 * max(sum(size.values()) for size in sizes.values())
    width = 0.06
    for at, date in enumerate(dates):
        base = _bases(sizes[date], gap)
        for name, size in sizes[date].items():
            axes.bar(at, size, 2 * width, bottom=base[name], color=colours[name], zorder=3)
        if at + 1 < len(dates):
            _ribbons(axes, data[data["from_at"] == date], (at, width, gap), sizes, colours)
    last = _bases(sizes[dates[-1]], gap)
    for name, size in sizes[dates[-1]].items():
        if size:
            axes.annotate(
                f"{name} {size:,.0f}",
                (len(dates) - 1 + width, last[name] + size / 2),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                color=INK,
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
    side = "to_stage" if len(arriving) else "from_stage"
    rows = arriving if len(arriving) else data[data["from_at"] == date]
    counts = rows.groupby(side)["n"].sum()
    return {name: float(counts.get(name, 0.0)) for name in names}


def _bases(sizes: Mapping[str, float], gap: float) -> dict[str, float]:
    """Lower edge of every block of a column."""
    edges, at = {}, 0.0
    for name, size in sizes.items():
        edges[name] = at
        at += size + (gap if size else 0.0)
    return edges


def _ribbons(
    axes: Axes,
    rows: pd.DataFrame,
    place: tuple[int, float, float],
    sizes: Mapping[Any, dict[str, float]],
    colours: Mapping[str, str],
) -> None:
    at, width, gap = place
    first, second = rows["from_at"].iloc[0], rows["to_at"].iloc[0]
    left, right = _bases(sizes[first], gap), _bases(sizes[second], gap)
    flows = {(a, b): float(n) for a, b, n in rows[["from_stage", "to_stage", "n"]].to_numpy()}
    for source in sizes[first]:
        for target in sizes[second]:
            n = flows.get((source, target), 0.0)
            if n:
                x0, x1 = at + width, at + 1 - width
                stay = 0.30 if source == target else 0.55
                shape = _ribbon(x0, left[source], x1, right[target], n)
                axes.add_patch(PathPatch(shape, facecolor=colours[source], alpha=stay, lw=0))
            left[source] += n
            right[target] += n


def _ribbon(x0: float, y0: float, x1: float, y1: float, n: float) -> Curve:
    middle = (x0 + x1) / 2
    points = [(x0, y0), (middle, y0), (middle, y1), (x1, y1), (x1, y1 + n)]
    points += [(middle, y1 + n), (middle, y0 + n), (x0, y0 + n), (x0, y0)]
    codes = [Curve.MOVETO, *[Curve.CURVE4] * 3, Curve.LINETO, *[Curve.CURVE4] * 3, Curve.CLOSEPOLY]
    return Curve(points, codes)
