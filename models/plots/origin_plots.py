"""Figures of the back-test over its origins, each drawn from what its data twin returns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from models.plots.figure_style import COLOURS, INK

Record = Mapping[str, Any]
WORDS = {
    "auc": "AUC",
    "log_loss": "log loss",
    "ece": "calibration error (ECE)",
    "brier": "Brier score",
    "integrated_brier": "integrated Brier",
    "top1_movers": "top-1 of movers",
    "median_time_mae": "median time, error in periods",
    "macro_f1": "macro F1",
    "rmse": "RMSE",
    "gini": "normalised Gini",
    "bias_pct": "bias of the total, %",
    "coverage": "coverage of the 80 % interval",
    "lift_10": "lift among the top 10 %",
    "top10": "share of the top 10 % that is found",
}
NAMES = {"clv": "CLV", "lead": "leads"}
# Zero is right for a bias, and this band for a coverage.
RIGHT = {"bias_pct": (-15.0, 15.0), "coverage": (0.70, 0.90)}


def over_origins_data(
    records: Iterable[Record], model: str, metrics: Sequence[str]
) -> pd.DataFrame:
    """A model and its baselines at every origin, on the whole population.

    Returns
    -------
    DataFrame
        One row a metric, method and origin: metric, method, snapshot_at, value, low, high (null
        where nothing was drawn); the champion first.
    """
    rows = [
        {name: one[name] for name in ("metric", "method", "snapshot_at", "value", "low", "high")}
        for one in records
        if one["model"] == model and one["subset"] == "all" and one["metric"] in metrics
        if one["value"] is not None
    ]
    columns = ["metric", "method", "snapshot_at", "value", "low", "high"]
    frame = pd.DataFrame(rows, columns=columns)
    frame["snapshot_at"] = pd.to_datetime(frame["snapshot_at"])
    frame[["low", "high"]] = frame[["low", "high"]].astype(np.float64)
    first = (frame["method"] != "champion").astype(int)
    place = frame["metric"].map({name: number for number, name in enumerate(metrics)})
    return frame.iloc[np.lexsort((frame["snapshot_at"], frame["method"], first, place))]


def over_origins(records: Iterable[Record], model: str, metrics: Sequence[str]) -> Figure:
    """Draw `over_origins_data`, a panel a metric; the band is the champion's 95 % interval."""
    data = over_origins_data(records, model, metrics)
    shown = [name for name in metrics if name in set(data["metric"])]
    figure, panels = _panels(len(shown), f"{NAMES.get(model, model)}: every origin")
    methods = list(dict.fromkeys(data["method"]))
    for axes, metric in zip(panels, shown, strict=True):
        mine = data[data["metric"] == metric]
        if metric in RIGHT:
            axes.axhspan(*RIGHT[metric], color="#EFEFEF", zorder=0)
        for at, method in enumerate(methods):
            rows = mine[mine["method"] == method]
            if len(rows):
                _line(axes, rows, method, COLOURS[at % len(COLOURS)], main=method == "champion")
        axes.set_title(WORDS.get(metric, metric), loc="left", color=INK, fontsize=10)
    _finish(figure, panels)
    return figure


def drift_data(records: Iterable[Record], model: str) -> pd.DataFrame:
    """Base rates at every origin: what came, what labels said by then, what the model said.

    Returns
    -------
    DataFrame
        One row a line and origin: metric (``rates``), method (``came``, ``known by then``,
        ``predicted``), snapshot_at, value, low, high (of what came: 95 % interval; of what was
        known: least and most of the training snapshots).
    """
    found: dict[str, dict[str, Record]] = {}
    for one in records:
        if (one["model"], one["method"], one["subset"]) == (model, "champion", "all"):
            found.setdefault(str(one["snapshot_at"]), {})[str(one["metric"])] = one
    rows = []
    for date, metrics in sorted(found.items()):
        if not {"actual_rate", "known_rate", "rate"} <= set(metrics):
            continue
        came, known, said = (metrics[n] for n in ("actual_rate", "known_rate", "rate"))
        least, most = (metrics[f"known_rate_{end}"]["value"] for end in ("least", "most"))
        rows += [
            ("rates", "came", date, came["value"], came["low"], came["high"]),
            ("rates", "known by then", date, known["value"], least, most),
            ("rates", "predicted", date, said["value"], None, None),
        ]
    frame = pd.DataFrame(rows, columns=["metric", "method", "snapshot_at", "value", "low", "high"])
    frame["snapshot_at"] = pd.to_datetime(frame["snapshot_at"])
    frame[["low", "high"]] = frame[["low", "high"]].astype(np.float64)
    return frame


def drift_tables(records: Sequence[Record], models: Sequence[str]) -> pd.DataFrame:
    """`drift_data` of several models, with a column ``model`` before it."""
    parts = [drift_data(records, model).assign(model=model) for model in models]
    frame = pd.concat(parts, ignore_index=True)
    return frame[["model", *(name for name in frame.columns if name != "model")]]


def drift(records: Sequence[Record], models: Sequence[str]) -> Figure:
    """Draw `drift_tables`: where known and came part, totals are off."""
    data = {model: drift_data(records, model) for model in models}
    shown = [model for model in models if len(data[model])]
    titles = {"churn": "churn: share that leaves", "clv": "CLV: spend a head"}
    figure, panels = _panels(len(shown), "Base rates")
    for axes, model in zip(panels, shown, strict=True):
        for colour, (method, rows) in zip(COLOURS, data[model].groupby("method"), strict=False):
            _line(axes, rows, str(method), colour, main=method != "predicted")
        axes.set_title(
            titles.get(model, f"{model}: share that moves"), loc="left", color=INK, fontsize=10
        )
        axes.set_ylim(bottom=0)
    _finish(figure, panels)
    return figure


def _panels(count: int, title: str) -> tuple[Figure, list[Axes]]:
    """A figure of its own with so many panels side by side, at most three in a row."""
    columns = min(max(count, 1), 3)
    rows = -(-max(count, 1) // columns)
    figure = Figure(figsize=(4.2 * columns + 0.4, 3.1 * rows + 0.9), dpi=120, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", color=INK, fontsize=12, fontweight="bold")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for unused in grid[count:]:
        unused.set_visible(False)
    for axes in grid:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(visible=True, color="#E5E5E5", lw=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(colors=INK, labelsize=8)
    return figure, list(grid[:count])


def _line(axes: Axes, rows: pd.DataFrame, label: str, colour: str, *, main: bool) -> None:
    at, value = rows["snapshot_at"].to_numpy(), rows["value"].to_numpy(dtype=np.float64)
    style = {"lw": 2.0, "ms": 5} if main else {"lw": 1.1, "ms": 3.5, "ls": "--"}
    axes.plot(at, value, color=colour, marker="o", label=label, zorder=3 if main else 2, **style)
    low, high = rows["low"].to_numpy(), rows["high"].to_numpy()
    if not main or not np.isfinite(low).all():
        return
    if len(rows) > 1:
        axes.fill_between(at, low, high, color=colour, alpha=0.15, lw=0)
    else:
        axes.vlines(at, low, high, color=colour, lw=1.5, alpha=0.6)


def _finish(figure: Figure, panels: Sequence[Axes]) -> None:
    for axes in panels:
        locator = AutoDateLocator(minticks=2, maxticks=6)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        form = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_formatter(form)
    if panels:
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=6, frameon=False, fontsize=9)
