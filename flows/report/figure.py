"""What a figure of the report is: a chart, the numbers it draws, and words around it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import altair as alt
import numpy as np
import pandas as pd

from flows.report.chart_theme import config

Kind = Literal["text", "int", "money", "percent", "decimal", "date"]


@dataclass(frozen=True)
class Column:
    """A column of the table beside a chart."""

    name: str
    label: str
    kind: Kind = "text"


@dataclass(frozen=True)
class Twin:
    """The table beside a chart: the numbers it draws.

    Attributes
    ----------
    data
        Name of the data set it is made of.
    keys, sums
        What rows are grouped by, and what is added up; no sums: the rows as they are.
    """

    data: str
    keys: tuple[Column, ...]
    sums: tuple[Column, ...] = ()

    def frame(self, data: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
        """The table of all rows, no filter set."""
        rows = data[self.data]
        names = [column.name for column in self.keys]
        if not self.sums:
            return rows[names]
        sums = [column.name for column in self.sums]
        return rows.groupby(names, sort=False, observed=True)[sums].sum().reset_index()


@dataclass(frozen=True)
class Figure:
    """A figure of the page.

    Attributes
    ----------
    key
        Its name in the page.
    title
        What it shows, as a heading.
    says
        How to read it, and what to do with it.
    alt
        What somebody who does not see it should know, in a sentence with numbers.
    chart
        The chart, whose data sets are named as in `data`.
    data
        Every data set it draws.
    twin
        The table beside it.
    filtered
        Data sets of which the page's filter leaves the rows of chosen stages and segments.
    dimmed
        Data sets whose rows fade (column ``on``) unless a chosen stage is among them.
    choice
        A column, and the name of a list that chooses one of its values (the last, at first).
    """

    key: str
    title: str
    says: str
    alt: str
    chart: Any
    data: Mapping[str, pd.DataFrame]
    twin: Twin
    filtered: tuple[str, ...] = ()
    dimmed: tuple[str, ...] = ()
    choice: tuple[str, str] | None = None
    height: int = 320
    wide: bool = False
    notes: Sequence[str] = field(default=())

    def spec(self) -> dict[str, Any]:
        """The Vega-Lite chart without its data."""
        chart = self.chart.properties(
            width="container", height=self.height, autosize=alt.AutoSizeParams(
                type="fit-x", contains="padding", resize=True)
        )  # fmt: skip
        drawn: dict[str, Any] = chart.to_dict()
        drawn.pop("$schema", None)
        drawn["config"] = config()
        return drawn

    def choices(self) -> list[str]:
        """Values to choose from, in the order of the data."""
        if self.choice is None:
            return []
        return list(dict.fromkeys(self.data[self.twin.data][self.choice[0]].astype(str)))


def columns(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """A table as lists by column that JSON can hold; null where empty, dates as text."""
    return {str(name): [plain(value) for value in frame[name]] for name in frame.columns}


def plain(value: Any) -> Any:
    """A cell as JSON holds it: numbers with six figures, dates as text, null where empty."""
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


def short(day: dt.date) -> str:
    """A date as people read it: 1 Dec 2017."""
    return f"{day.day} {day:%b %Y}"


def shown(value: Any, kind: Kind, currency: str = "") -> str:
    """A cell as people read it."""
    value = plain(value)
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
