"""The monitor's page: one HTML file with the table of findings and plots, to open anywhere."""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from models.monitoring.findings import MonitorFinding
from models.monitoring.monitor import DayObservation, Reference, summary_line
from models.plots import monitoring_plots

STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; margin: 0 auto; max-width: 1080px;
  padding: 1.5rem; }
h1 { font-size: 1.5rem; margin: 0 0 .3rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
.state { padding: .6rem .9rem; border-radius: 6px; font-weight: 600; }
.quiet { background: #e3f4ea; color: #14532d; } .alarm { background: #fde8e4; color: #8a1c0c; }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
th, td { text-align: left; padding: .3rem .5rem; border-bottom: 1px solid #e5e5e5; }
td.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.alarm td { background: #fde8e4; }
.plots { display: flex; flex-wrap: wrap; gap: 12px; } .plots svg { max-width: 100%; height: auto; }
details { margin-top: .7rem; } summary { cursor: pointer; }
"""
COLUMNS = ("check", "what", "measure", "value", "usual", "limit", "p", "")


def page(
    title: str,
    findings: Sequence[MonitorFinding],
    seen: DayObservation,
    reference: Reference,
) -> str:
    """The page as HTML without scripts and without anything from elsewhere."""
    alarms = [finding for finding in findings if finding.alarm]
    others = [finding for finding in findings if not finding.alarm]
    state = "alarm" if alarms else "quiet"
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f'<p class="state {state}">{html.escape(summary_line(seen.at, findings))}</p>',
        *(["<h2>Alarms</h2>", _table(alarms)] if alarms else []),
        "<h2>Features and scores</h2>",
        _plots([monitoring_plots.psi_figure(findings, check=c) for c in ("input", "score")]),
        _plots(_shifted(alarms, seen, reference)),
        "<h2>Events</h2>",
        _plots(
            [monitoring_plots.volume_figure(seen.counts, t, seen.through) for t in _types(seen)]
        ),
        *_performance(seen),
        f"<details><summary>All {len(findings)} findings</summary>{_table(others)}</details>",
    ]
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style>'
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>\n"


def write_page(path: Path, text: str) -> None:
    """Write it, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".tmp")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _types(seen: DayObservation) -> list[str]:
    """Event types by how many there are, the most frequent first."""
    totals = seen.counts.groupby("event_type", observed=True)["count"].sum()
    return [str(name) for name in totals.sort_values(ascending=False, kind="stable").index[:20]]


def _shifted(
    alarms: Sequence[MonitorFinding], seen: DayObservation, reference: Reference
) -> list[Figure]:
    """Shares then and now of what has shifted, else of the first scores."""
    frames = {"input": seen.inputs, "score": seen.scores}
    known = {
        "input": {each.name: each for each in reference.inputs},
        "score": {each.name: each for each in reference.scores},
    }
    wanted = [(a.check, a.subject) for a in alarms if a.check in frames][:8]
    if not wanted:
        wanted = [("score", name) for name in ("stage", "p_churn", "clv") if name in seen.scores]
    return [
        monitoring_plots.shares_figure(known[check][name], frames[check])
        for check, name in wanted
        if name in known[check]
    ]


def _performance(seen: DayObservation) -> list[str]:
    if not seen.matured:
        return ["<h2>Matured performance</h2><p>No earlier run has matured yet.</p>"]
    shown = [
        ("churn", "auc"),
        ("churn", "bias_pct"),
        ("clv", "bias_pct"),
        ("clv", "coverage"),
        ("stage", "accuracy"),
        ("transition", "auc"),
        ("lead", "auc"),
    ]
    there = {(figure.task, figure.metric) for figure in seen.matured if figure.value is not None}
    figures = [
        monitoring_plots.performance_figure(seen.matured, task=task, metric=metric)
        for task, metric in shown
        if (task, metric) in there
    ]
    return ["<h2>Matured performance</h2>", _plots(figures)]


def _plots(figures: Sequence[Figure]) -> str:
    return f'<div class="plots">{"".join(map(_svg, figures))}</div>' if figures else ""


def _svg(figure: Figure) -> str:
    out = io.StringIO()
    # Without a date and with one salt, the same numbers give the same file.
    figure.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def _table(findings: Sequence[MonitorFinding]) -> str:
    head = "".join(f"<th>{name}</th>" for name in COLUMNS)
    rows = "".join(_row(finding) for finding in findings)
    return f"<table><tr>{head}</tr>{rows}</table>"


def _row(finding: MonitorFinding) -> str:
    texts = [finding.check, finding.subject, finding.measure]
    numbers = [finding.value, finding.expected, finding.limit, finding.p_value]
    cells = "".join(f"<td>{html.escape(text)}</td>" for text in texts)
    cells += "".join(f'<td class="n">{_number(number)}</td>' for number in numbers)
    mark = ' class="alarm"' if finding.alarm else ""
    return f"<tr{mark}>{cells}<td>{html.escape(finding.note)}</td></tr>"


def _number(value: float | None) -> str:
    if value is None or value != value:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
