"""Stage metrics as rows of the page: the latest figure, the one before, and a small line."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from flows.report.figure import shown

WIDE, HIGH = 120.0, 26.0


@dataclass(frozen=True)
class MetricRow:
    """A metric of a stage.

    Attributes
    ----------
    metric
        As the taxonomy calls it; ours are marked with a star.
    latest, before, n, period
        The latest figure, that of the period before, what it counts, and its month.
    line
        Points of the small line, oldest first; empty under two figures.
    """

    metric: str
    latest: str
    before: str
    n: str
    period: str
    line: str


@dataclass(frozen=True)
class MetricBlock:
    """The metrics of a stage (everyone: an empty name), and what the others lack."""

    stage: str
    rows: tuple[MetricRow, ...]
    missing: tuple[str, ...]


def metric_blocks(table: pd.DataFrame, currency: str) -> list[MetricBlock]:
    """Blocks of `features.metrics.metric_table`: everyone first, then stage by stage."""
    if table.empty:
        return []
    names = [name for name in dict.fromkeys(table["stage"]) if isinstance(name, str)]
    blocks = [_block("", table[table["stage"].isna()], currency)]
    blocks += [_block(name, table[table["stage"] == name], currency) for name in names]
    return [block for block in blocks if block.rows or block.missing]


def _block(stage: str, table: pd.DataFrame, currency: str) -> MetricBlock:
    rows, missing = [], []
    for _, line in table.groupby(["metric", "key", "source"], sort=False, dropna=False):
        there = line[line["value"].notna()]
        name = _name(line.iloc[0])
        if there.empty:
            notes = sorted(set(line["note"].astype(str)))
            missing.append(f"{name}: {notes[0]}" if notes and notes[0] else name)
            continue
        last = there.iloc[-1]
        before = shown_metric(there.iloc[-2], currency) if len(there) > 1 else "–"
        rows.append(
            MetricRow(
                metric=name,
                latest=shown_metric(last, currency),
                before=before,
                n=f"{int(last['n']):,}",
                period=f"{last['period_start']:%b %Y}",
                line=spark([float(v) for v in there["value"]]),
            )
        )
    return MetricBlock(stage, tuple(rows), tuple(missing))


def _name(row: pd.Series) -> str:
    label = str(row["metric"])
    if row["key"] in ("historic_clv", "predicted_clv"):
        label += f", {str(row['key']).split('_')[0]}"
    if isinstance(row["source"], str):
        label += f", {row['source']}"
    return f"{label} *" if row["ours"] else label


def shown_metric(row: pd.Series, currency: str) -> str:
    """A metric's value as people read it."""
    value, unit = float(row["value"]), row["unit"]
    if unit == "share":
        return shown(value, "percent")
    if unit == "money":
        return shown(value, "money", currency)
    if unit == "points":
        return f"{value:+.0f}"
    if unit == "days":
        return f"{value:.1f} days"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def spark(values: list[float]) -> str:
    """Points of a small line in a box of `WIDE` by `HIGH`."""
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    reach = (high - low) or 1.0
    return " ".join(
        f"{2 + (WIDE - 4) * at / (len(values) - 1):.1f},"
        f"{HIGH - 3 - (HIGH - 6) * (value - low) / reach:.1f}"
        for at, value in enumerate(values)
    )
