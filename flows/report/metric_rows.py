"""Stage metrics as table rows: the latest value, the previous one, and a sparkline."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from flows.report.figure import cell_text

_PLAIN_NAMES = {
    "historic_clv": "spent so far, per customer",
    "predicted_clv": "expected spend, per customer",
}
_WIDTH, SPARKLINE_HEIGHT = 120.0, 26.0


@dataclass(frozen=True)
class MetricRow:
    """A metric of a stage.

    Attributes
    ----------
    metric
        Name in the stage model, or plainer words; metrics added by stagecast have a star.
    latest, before, n, period
        The latest value, the previous one, the count it is based on, and its month.
    line
        Points of the sparkline, oldest first; empty if there are fewer than two values.
    """

    metric: str
    latest: str
    before: str
    n: str
    period: str
    line: str


@dataclass(frozen=True)
class MetricBlock:
    """Metrics of a stage (empty name: all customers), and why others are missing."""

    stage: str
    rows: tuple[MetricRow, ...]
    missing: tuple[str, ...]


def metric_blocks(table: pd.DataFrame, currency: str) -> list[MetricBlock]:
    """Split a `features.metrics.metric_table` into blocks: all customers, then each stage."""
    if table.empty:
        return []
    stages = [stage for stage in dict.fromkeys(table["stage"]) if isinstance(stage, str)]
    blocks = [_block("", table[table["stage"].isna()], currency)]
    blocks += [_block(stage, table[table["stage"] == stage], currency) for stage in stages]
    return [block for block in blocks if block.rows or block.missing]


def _block(stage: str, table: pd.DataFrame, currency: str) -> MetricBlock:
    metric_rows, missing = [], []
    for _, periods in table.groupby(["metric", "key", "source"], sort=False, dropna=False):
        measured = periods[periods["value"].notna()]
        metric_name = _name(periods.iloc[0])
        if measured.empty:
            reasons = sorted(set(periods["note"].astype(str)))
            missing.append(
                f"{metric_name}: {reasons[0]}" if reasons and reasons[0] else metric_name
            )
            continue
        latest = measured.iloc[-1]
        before = _metric_text(measured.iloc[-2], currency) if len(measured) > 1 else "–"
        metric_rows.append(
            MetricRow(
                metric=metric_name,
                latest=_metric_text(latest, currency),
                before=before,
                n=f"{int(latest['n']):,}",
                period=f"{latest['period_start']:%b %Y}",
                line=sparkline_points([float(value) for value in measured["value"]]),
            )
        )
    return MetricBlock(stage, tuple(metric_rows), tuple(missing))


def _name(row: pd.Series) -> str:
    # Spend of some weeks is no lifetime value, whatever the stage model calls it.
    label = _PLAIN_NAMES.get(str(row["key"]), str(row["metric"]))
    if isinstance(row["source"], str):
        label += f", {row['source']}"
    return f"{label} *" if row["ours"] else label


def _metric_text(row: pd.Series, currency: str) -> str:
    """Format a metric's value with its unit."""
    value, unit = float(row["value"]), row["unit"]
    if unit == "share":
        return cell_text(value, "percent")
    if unit == "money":
        return cell_text(value, "money", currency)
    if unit == "points":
        return f"{value:+.0f}"
    if unit == "days":
        return f"{value:.1f} days"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def sparkline_points(values: list[float]) -> str:
    """Return SVG points of a sparkline in a box of `_WIDTH` by `SPARKLINE_HEIGHT`."""
    if len(values) < 2:
        return ""
    lowest, highest = min(values), max(values)
    value_range = (highest - lowest) or 1.0
    return " ".join(
        f"{2 + (_WIDTH - 4) * position / (len(values) - 1):.1f},"
        f"{SPARKLINE_HEIGHT - 3 - (SPARKLINE_HEIGHT - 6) * (value - lowest) / value_range:.1f}"
        for position, value in enumerate(values)
    )
