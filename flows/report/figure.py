"""A figure of the report: a chart, its caption, and a table of the numbers it draws."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import altair as alt
import numpy as np
import pandas as pd

from flows.report.chart_theme import chart_config

CellKind = Literal["text", "int", "money", "percent", "decimal", "date"]


@dataclass(frozen=True)
class Column:
    """A column of a figure's table."""

    name: str
    label: str
    kind: CellKind = "text"


@dataclass(frozen=True)
class DataTable:
    """The numbers that a chart draws, as a table.

    Attributes
    ----------
    data
        Name of the data set that the table shows.
    keys, sums
        Columns to group by, and columns to add up. Without sums the rows stay as they are.
    """

    data: str
    keys: tuple[Column, ...]
    sums: tuple[Column, ...] = ()

    def frame(self, data: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """Return the table of all rows, unfiltered."""
        data_set = data[self.data]
        key_names = [column.name for column in self.keys]
        if not self.sums:
            return data_set[key_names]
        sum_names = [column.name for column in self.sums]
        return data_set.groupby(key_names, sort=False, observed=True)[sum_names].sum().reset_index()


@dataclass(frozen=True)
class Figure:
    """A figure of the page.

    Attributes
    ----------
    key
        Identifier in the page.
    title
        Heading.
    caption
        How to read the chart and how to act on it.
    alt
        Text alternative: what the chart shows, in a sentence with numbers.
    chart
        The Altair chart; its data sets are named as in `data`.
    data
        Data sets of the chart by name.
    table
        The numbers as a table.
    filtered
        Data sets that the page's filter restricts to the chosen stages and segments.
    dimmed
        Data sets whose rows fade (column ``on`` is 0) unless they belong to a chosen stage.
    choice
        A column and the label of a list to choose one of its values; initially the last one.
    """

    key: str
    title: str
    caption: str
    alt: str
    chart: Any
    data: Mapping[str, pd.DataFrame]
    table: DataTable
    filtered: tuple[str, ...] = ()
    dimmed: tuple[str, ...] = ()
    choice: tuple[str, str] | None = None
    height: int = 320
    wide: bool = False
    notes: Sequence[str] = field(default=())

    def spec(self) -> dict[str, Any]:
        """Return the Vega-Lite specification without its data."""
        chart = self.chart.properties(
            width="container", height=self.height, autosize=alt.AutoSizeParams(
                type="fit-x", contains="padding", resize=True)
        )  # fmt: skip
        specification: dict[str, Any] = chart.to_dict()
        specification.pop("$schema", None)
        specification["config"] = chart_config()
        return specification

    def choices(self) -> list[str]:
        """Return the values to choose from, in the order of the data."""
        if self.choice is None:
            return []
        return list(dict.fromkeys(self.data[self.table.data][self.choice[0]].astype(str)))


def json_columns(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """Return the columns of a table as lists of JSON values."""
    return {str(column): [json_value(value) for value in frame[column]] for column in frame.columns}


def json_value(value: Any) -> Any:
    """Convert a cell for JSON: floats to six significant digits, dates to text, NaN to null."""
    if value is None or value is pd.NaT:
        return None
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    if isinstance(value, dt.datetime):
        return value.date().isoformat()
    if isinstance(value, dt.date):
        return value.isoformat()
    return str(value)


def date_text(day: dt.date) -> str:
    """Format a date, such as 1 Dec 2017."""
    return f"{day.day} {day:%b %Y}"


def cell_text(value: Any, kind: CellKind, currency: str = "") -> str:
    """Format a cell for the page; null is a dash."""
    value = json_value(value)
    if value is None:
        return "–"
    if kind == "int":
        return f"{value:,.0f}"
    if kind == "money":
        digits = 0 if abs(value) >= 100 else 2
        return f"{value:,.{digits}f} {currency}".strip()
    if kind == "percent":
        return f"{value:.1%}"
    if kind == "decimal":
        return f"{value:,.2f}"
    return str(value)
