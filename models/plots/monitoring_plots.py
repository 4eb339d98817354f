"""Plots of the monitor's page; each `*_figure` draws the table of the function `_*_data`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from features.calendar import day_date
from models.monitoring.drift import Distribution
from models.monitoring.findings import MonitorFinding
from models.monitoring.performance import MaturedFigure
from models.monitoring.volume import BASELINE_WEEKS, WEEK_DAYS, counts_by_age, window_totals
from models.plots.figure_style import COLOURS, TEXT_COLOUR, blank_figure

_MOST_COLUMNS = 15  # columns with the largest PSI
_DAYS_SHOWN = 42


def _psi_data(findings: Sequence[MonitorFinding], *, check: str) -> pd.DataFrame:
    """Columns with the largest PSI: subject, psi, limit, alarm; the largest first."""
    rows = [
        (finding.subject, finding.value, finding.limit, finding.alarm)
        for finding in findings
        if finding.check == check and finding.value is not None
    ]
    frame = pd.DataFrame(rows, columns=["subject", "psi", "limit", "alarm"])
    return frame.sort_values("psi", ascending=False, ignore_index=True).head(_MOST_COLUMNS)


def psi_figure(findings: Sequence[MonitorFinding], *, check: str) -> Figure:
    """Draw the largest PSI of a check as bars with limits; alarms have another colour."""
    plot_data = _psi_data(findings, check=check).iloc[::-1]
    title = {"input": "Features", "score": "Scores"}[check] + " against the training (PSI)"
    figure, axes = blank_figure(7.2, 1.1 + 0.27 * max(len(plot_data), 1), title)
    colours = [COLOURS[5] if alarm else COLOURS[0] for alarm in plot_data["alarm"]]
    axes.barh(plot_data["subject"], plot_data["psi"], color=colours, height=0.7)
    axes.plot(
        plot_data["limit"],
        plot_data["subject"],
        "|",
        color=TEXT_COLOUR,
        ms=11,
        mew=1.6,
        label="limit",
    )
    axes.set_xlim(0, max(0.3, 1.05 * float(plot_data[["psi", "limit"]].max().max() or 0)))
    axes.grid(visible=False, axis="y")
    axes.legend(frameon=False, loc="lower right", fontsize=8)
    return figure


def _shares_data(reference: Distribution, frame: pd.DataFrame) -> pd.DataFrame:
    """Bin shares of a column: bin, training, now."""
    training_counts = np.array(reference.counts, dtype=np.float64)
    current_counts = reference.count(frame[reference.name]).astype(np.float64)
    shares = {
        "training": training_counts / max(training_counts.sum(), 1),
        "now": current_counts / max(current_counts.sum(), 1),
    }
    return pd.DataFrame({"bin": reference.labels, **shares})


def shares_figure(reference: Distribution, frame: pd.DataFrame) -> Figure:
    """Draw the bin shares of a column at the training and now."""
    plot_data = _shares_data(reference, frame)
    figure, axes = blank_figure(4.6, 2.9, reference.name)
    axes.title.set_fontsize(9)
    position = np.arange(len(plot_data))
    axes.bar(position - 0.2, plot_data["training"], width=0.4, color=COLOURS[7], label="training")
    axes.bar(position + 0.2, plot_data["now"], width=0.4, color=COLOURS[0], label="now")
    axes.set_xticks(position, plot_data["bin"], rotation=40, ha="right", fontsize=7)
    axes.grid(visible=False, axis="x")
    axes.legend(frameon=False, fontsize=8)
    return figure


def _volume_data(counts: pd.DataFrame, event_type: str, through: int) -> pd.DataFrame:
    """Daily events of one type: day (date), count, usual (median of the same weekdays before)."""
    type_rows = counts[counts["event_type"] == event_type]
    first_day = max(int(counts["day"].min()), through - _DAYS_SHOWN - WEEK_DAYS * BASELINE_WEEKS)
    daily_counts = pd.Series(window_totals(counts_by_age(type_rows, first_day, through), 1))
    earlier_weeks = pd.concat(
        [daily_counts.shift(WEEK_DAYS * week) for week in range(1, BASELINE_WEEKS + 1)], axis=1
    )
    days = [day_date(first_day + offset) for offset in range(len(daily_counts))]
    data = pd.DataFrame(
        {"day": pd.to_datetime(days), "count": daily_counts, "usual": earlier_weeks.median(axis=1)}
    )
    return data.tail(_DAYS_SHOWN).reset_index(drop=True)


def volume_figure(counts: pd.DataFrame, event_type: str, through: int) -> Figure:
    """Draw daily events of one type and the usual count of the weekday."""
    plot_data = _volume_data(counts, event_type, through)
    figure, axes = blank_figure(4.6, 2.4, event_type)
    axes.title.set_fontsize(9)
    axes.plot(
        plot_data["day"], plot_data["usual"], color=COLOURS[7], lw=1.4, ls="--", label="usual"
    )
    axes.plot(plot_data["day"], plot_data["count"], color=COLOURS[0], lw=1.4, label="events a day")
    axes.set_ylim(bottom=0)
    figure.autofmt_xdate(rotation=30)
    axes.legend(frameon=False, fontsize=8)
    return figure


def _performance_data(figures: Sequence[MaturedFigure], *, task: str, metric: str) -> pd.DataFrame:
    """A figure over past runs: snapshot_at, version, value, error; sorted by version and date."""
    rows = [
        (pd.Timestamp(figure.snapshot_at), figure.version, figure.value, figure.error or 0.0)
        for figure in figures
        if figure.task == task and figure.metric == metric and figure.value is not None
    ]
    frame = pd.DataFrame(rows, columns=["snapshot_at", "version", "value", "error"])
    return frame.sort_values(["version", "snapshot_at"], ignore_index=True)


def performance_figure(figures: Sequence[MaturedFigure], *, task: str, metric: str) -> Figure:
    """Draw a figure over past runs, one line a scorer version, with 95 % intervals."""
    plot_data = _performance_data(figures, task=task, metric=metric)
    figure, axes = blank_figure(4.6, 2.6, f"{task}: {metric} of past runs")
    axes.title.set_fontsize(9)
    for number, (version, version_rows) in enumerate(plot_data.groupby("version", sort=True)):
        axes.errorbar(
            version_rows["snapshot_at"],
            version_rows["value"],
            yerr=1.96 * version_rows["error"],
            fmt="o-",
            ms=4,
            lw=1.2,
            capsize=2,
            color=COLOURS[number % len(COLOURS)],
            label=f"version {version}",
        )
    figure.autofmt_xdate(rotation=30)
    axes.legend(frameon=False, fontsize=8)
    return figure
