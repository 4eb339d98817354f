"""The monitor's page: one self-contained HTML file with findings and plots."""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from models.monitoring.findings import Finding
from models.monitoring.monitor import Observed, Reference, summary
from models.plots import monitoring_plots

_STYLE = """
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
_COLUMNS = (
    "Check",
    "Subject",
    "Measure",
    "Value",
    "Usual value",
    "Limit",
    "Probability by chance",
    "Note",
)


def render_monitor_page(
    title: str,
    findings: Sequence[Finding],
    observed: Observed,
    reference: Reference,
) -> str:
    """Return the page as HTML without scripts and without external files."""
    alarms = [finding for finding in findings if finding.alarm]
    quiet = [finding for finding in findings if not finding.alarm]
    status = "alarm" if alarms else "quiet"
    sections = [
        f"<h1>{html.escape(title)}</h1>",
        f'<p class="state {status}">{html.escape(summary(observed.at, findings))}</p>',
        *(["<h2>Alarms</h2>", _table(alarms)] if alarms else []),
        "<h2>Features and scores</h2>",
        _plots(
            [monitoring_plots.psi_figure(findings, check=check) for check in ("input", "score")]
        ),
        _plots(_shifted(alarms, observed, reference)),
        "<h2>Events</h2>",
        _plots(
            [
                monitoring_plots.volume_figure(observed.counts, event_type, observed.through)
                for event_type in _types(observed)
            ]
        ),
        *_performance(observed),
        f"<details><summary>All {len(findings)} findings</summary>{_table(quiet)}</details>",
    ]
    head_html = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{_STYLE}</style>'
    head = f"<!doctype html><html lang=en><head>{head_html}</head>"
    return f"{head}<body>{''.join(sections)}</body></html>\n"


def write_monitor_page(path: Path, text: str) -> None:
    """Write the page atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".tmp")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _types(observed: Observed) -> list[str]:
    """Return the 20 most frequent event types, most frequent first."""
    totals = observed.counts.groupby("event_type", observed=True)["count"].sum()
    return [
        str(event_type)
        for event_type in totals.sort_values(ascending=False, kind="stable").index[:20]
    ]


def _shifted(alarms: Sequence[Finding], observed: Observed, reference: Reference) -> list[Figure]:
    """Plot the shares of columns with alarms, before and now; without alarms the main scores."""
    frames = {"input": observed.inputs, "score": observed.scores}
    profiles = {
        "input": {profile.name: profile for profile in reference.inputs},
        "score": {profile.name: profile for profile in reference.scores},
    }
    wanted = [(alarm.check, alarm.subject) for alarm in alarms if alarm.check in frames][:8]
    if not wanted:
        wanted = [
            ("score", subject)
            for subject in ("stage", "p_churn", "clv")
            if subject in observed.scores
        ]
    return [
        monitoring_plots.shares_figure(profiles[check][subject], frames[check])
        for check, subject in wanted
        if subject in profiles[check]
    ]


def _performance(observed: Observed) -> list[str]:
    if not observed.matured:
        return [
            "<h2>Performance of earlier scores</h2>"
            "<p>The outcome of no earlier run is known yet.</p>"
        ]
    wanted = [
        ("churn", "auc"),
        ("churn", "bias_pct"),
        ("clv", "bias_pct"),
        ("clv", "coverage"),
        ("stage", "accuracy"),
        ("transition", "auc"),
        ("lead", "auc"),
    ]
    measured = {
        (figure.task, figure.metric) for figure in observed.matured if figure.value is not None
    }
    figures = [
        monitoring_plots.performance_figure(observed.matured, task=task, metric=metric)
        for task, metric in wanted
        if (task, metric) in measured
    ]
    return ["<h2>Performance of earlier scores</h2>", _plots(figures)]


def _plots(figures: Sequence[Figure]) -> str:
    return f'<div class="plots">{"".join(map(_svg, figures))}</div>' if figures else ""


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    # Omit the date, so that equal numbers give an equal file.
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    document = buffer.getvalue()
    return document[document.index("<svg") :]


def _table(findings: Sequence[Finding]) -> str:
    head_cells = "".join(f"<th>{heading}</th>" for heading in _COLUMNS)
    body_rows = "".join(_row(finding) for finding in findings)
    return f"<table><tr>{head_cells}</tr>{body_rows}</table>"


def _row(finding: Finding) -> str:
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
