"""Plots of the back-test over its origins, each with a function that returns its table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from models.plots.figure_style import COLOURS, TEXT_COLOUR

_Record = Mapping[str, Any]
_METRIC_TITLES = {
    "auc": "AUC",
    "log_loss": "log loss",
    "ece": "calibration error (ECE)",
    "brier": "Brier score",
    "integrated_brier": "integrated Brier",
    "top1_movers": "top-1 of movers",
    "median_time_mae": "median time, error in periods",
    "macro_f1": "macro F1",
    "rmse": "RMSE",
    "tweedie": "Tweedie deviance",
    "gini": "normalised Gini",
    "bias_pct": "bias of the total, %",
    "coverage": "coverage of the 80 % interval",
    "lift_10": "lift among the top 10 %",
    "top10": "share of the top 10 % identified",
}
_MODEL_NAMES = {"clv": "CLV", "lead": "leads"}
# Bands of acceptable values.
_GOOD_BANDS = {"bias_pct": (-15.0, 15.0), "coverage": (0.70, 0.90)}


def over_origins_data(
    records: Iterable[_Record], model: str, metrics: Sequence[str]
) -> pd.DataFrame:
    """Figures of a model and its baselines at each origin, on the whole population.

    Returns
    -------
    DataFrame
        One row a metric, method and origin: metric, method, snapshot_at, value, low, high (null
        without draws); the champion first.
    """
    rows = [
        {name: record[name] for name in ("metric", "method", "snapshot_at", "value", "low", "high")}
        for record in records
        if record["model"] == model and record["subset"] == "all" and record["metric"] in metrics
        if record["value"] is not None
    ]
    columns = ["metric", "method", "snapshot_at", "value", "low", "high"]
    frame = pd.DataFrame(rows, columns=columns)
    frame["snapshot_at"] = pd.to_datetime(frame["snapshot_at"])
    frame[["low", "high"]] = frame[["low", "high"]].astype(np.float64)
    is_baseline = (frame["method"] != "champion").astype(int)
    metric_order = frame["metric"].map({name: number for number, name in enumerate(metrics)})
    return frame.iloc[
        np.lexsort((frame["snapshot_at"], frame["method"], is_baseline, metric_order))
    ]


def plot_over_origins(records: Iterable[_Record], model: str, metrics: Sequence[str]) -> Figure:
    """Draw `over_origins_data`, one panel a metric; the band is the champion's 95 % interval."""
    plot_data = over_origins_data(records, model, metrics)
    shown = [name for name in metrics if name in set(plot_data["metric"])]
    figure, panels = _panels(len(shown), f"{_MODEL_NAMES.get(model, model)}: every origin")
    methods = list(dict.fromkeys(plot_data["method"]))
    for axes, metric in zip(panels, shown, strict=True):
        metric_rows = plot_data[plot_data["metric"] == metric]
        if metric in _GOOD_BANDS:
            axes.axhspan(*_GOOD_BANDS[metric], color="#EFEFEF", zorder=0)
        for number, method in enumerate(methods):
            method_rows = metric_rows[metric_rows["method"] == method]
            if len(method_rows):
                _line(
                    axes,
                    method_rows,
                    method,
                    COLOURS[number % len(COLOURS)],
                    main=method == "champion",
                )
        axes.set_title(
            _METRIC_TITLES.get(metric, metric), loc="left", color=TEXT_COLOUR, fontsize=10
        )
    _finish(figure, panels)
    return figure


def base_rate_data(records: Iterable[_Record], model: str) -> pd.DataFrame:
    """Base rates at each origin: actual rate, rate of the known labels, predicted rate.

    Returns
    -------
    DataFrame
        One row a line and origin: metric (``rates``), method (``came``, ``known by then``,
        ``predicted``), snapshot_at, value, low, high (``came``: 95 % interval; ``known by then``:
        lowest and highest rate of the training snapshots).
    """
    records_by_date: dict[str, dict[str, _Record]] = {}
    for record in records:
        if (record["model"], record["method"], record["subset"]) == (model, "champion", "all"):
            records_by_date.setdefault(str(record["snapshot_at"]), {})[str(record["metric"])] = (
                record
            )
    rows = []
    for date, metrics in sorted(records_by_date.items()):
        if not {"actual_rate", "known_rate", "rate"} <= set(metrics):
            continue
        actual_rate, known_rate, model_rate = (
            metrics[name] for name in ("actual_rate", "known_rate", "rate")
        )
        least_rate, highest_rate = (
            metrics[f"known_rate_{end}"]["value"] for end in ("least", "most")
        )
        rows += [
            ("rates", "came", date, actual_rate["value"], actual_rate["low"], actual_rate["high"]),
            ("rates", "known by then", date, known_rate["value"], least_rate, highest_rate),
            ("rates", "predicted", date, model_rate["value"], None, None),
        ]
    frame = pd.DataFrame(rows, columns=["metric", "method", "snapshot_at", "value", "low", "high"])
    frame["snapshot_at"] = pd.to_datetime(frame["snapshot_at"])
    frame[["low", "high"]] = frame[["low", "high"]].astype(np.float64)
    return frame


def base_rate_table(records: Sequence[_Record], models: Sequence[str]) -> pd.DataFrame:
    """`base_rate_data` of several models, with a first column ``model``."""
    model_tables = [base_rate_data(records, model).assign(model=model) for model in models]
    frame = pd.concat(model_tables, ignore_index=True)
    return frame[["model", *(name for name in frame.columns if name != "model")]]


def plot_base_rates(records: Sequence[_Record], models: Sequence[str]) -> Figure:
    """Draw `base_rate_table`; predicted totals are biased where known and actual rate differ."""
    plot_data = {model: base_rate_data(records, model) for model in models}
    shown = [model for model in models if len(plot_data[model])]
    titles = {"churn": "churn: share that leaves", "clv": "CLV: spend a customer"}
    figure, panels = _panels(len(shown), "Base rates")
    for axes, model in zip(panels, shown, strict=True):
        for colour, (method, method_rows) in zip(
            COLOURS, plot_data[model].groupby("method"), strict=False
        ):
            _line(axes, method_rows, str(method), colour, main=method != "predicted")
        axes.set_title(
            titles.get(model, f"{model}: share that moves"),
            loc="left",
            color=TEXT_COLOUR,
            fontsize=10,
        )
        axes.set_ylim(bottom=0)
    _finish(figure, panels)
    return figure


def _panels(count: int, title: str) -> tuple[Figure, list[Axes]]:
    """Return a figure with `count` panels, at most three in a row."""
    column_count = min(max(count, 1), 3)
    row_count = -(-max(count, 1) // column_count)
    figure = Figure(
        figsize=(4.2 * column_count + 0.4, 3.1 * row_count + 0.9), dpi=120, layout="constrained"
    )
    figure.suptitle(title, x=0.01, ha="left", color=TEXT_COLOUR, fontsize=12, fontweight="bold")
    panel_axes = figure.subplots(row_count, column_count, squeeze=False).ravel()
    for unused_axes in panel_axes[count:]:
        unused_axes.set_visible(False)
    for axes in panel_axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(visible=True, color="#E5E5E5", lw=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(colors=TEXT_COLOUR, labelsize=8)
    return figure, list(panel_axes[:count])


def _line(axes: Axes, rows: pd.DataFrame, label: str, colour: str, *, main: bool) -> None:
    snapshot_at, value = rows["snapshot_at"].to_numpy(), rows["value"].to_numpy(dtype=np.float64)
    style = {"lw": 2.0, "ms": 5} if main else {"lw": 1.1, "ms": 3.5, "ls": "--"}
    axes.plot(
        snapshot_at, value, color=colour, marker="o", label=label, zorder=3 if main else 2, **style
    )
    low, high = rows["low"].to_numpy(), rows["high"].to_numpy()
    if not main or not np.isfinite(low).all():
        return
    if len(rows) > 1:
        axes.fill_between(snapshot_at, low, high, color=colour, alpha=0.15, lw=0)
    else:
        axes.vlines(snapshot_at, low, high, color=colour, lw=1.5, alpha=0.6)


def _finish(figure: Figure, panels: Sequence[Axes]) -> None:
    for axes in panels:
        locator = AutoDateLocator(minticks=2, maxticks=6)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        formatter = ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_formatter(formatter)
    if panels:
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower left", ncols=6, frameon=False, fontsize=9)
