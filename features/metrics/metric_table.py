"""Stage metrics as a table: every stage with the metrics its taxonomy names, period by period."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import pandas as pd

from features.arrays import Array
from features.calendar import day_date, day_number
from features.errors import UserError
from features.metrics.metric_catalog import Metric, all_metrics, named
from features.metrics.metric_inputs import Inputs, Period
from features.metrics.stage_metrics import Figure, missing

COLUMNS = (
    "period_start",
    "period_end",
    "stage",
    "metric",
    "key",
    "source",
    "value",
    "unit",
    "n",
    "note",
    "ours",
)
LONGEST_PERIOD = 3650  # days
MONTHS_BACK = 12


def periods(
    first: dt.date | None, to: dt.date, every: int | None, *, begin: dt.date
) -> list[Period]:
    """Periods ``[start, end)`` of so many days, or calendar months (None), whole ones only.

    Parameters
    ----------
    first
        First day; None: as many periods as the data fill, at most twelve.
    to
        The day after the last one.
    every
        Days of a period; None: calendar months.
    begin
        First day of the data.

    Raises
    ------
    UserError
        Where not one period fits.
    """
    start = first or begin
    if every is None:
        edges = [_month(start, 0 if start.day == 1 else 1)]
        while _month(edges[-1], 1) <= to:
            edges.append(_month(edges[-1], 1))
    elif first is None:
        count = (to - begin).days // every
        edges = [to - dt.timedelta(days=every * k) for k in range(count, -1, -1)]
    else:
        count = (to - start).days // every
        edges = [start + dt.timedelta(days=every * k) for k in range(count + 1)]
    if first is None:
        edges = edges[-MONTHS_BACK - 1 :]
    days = [day_number(edge) for edge in edges]
    if len(days) < 2:
        period_words = "calendar month" if every is None else f"period of {every} days"
        raise UserError(
            "--from, --to, --every",
            found=f"{start} to {to}",
            expected=f"room for one whole {period_words} (the day of --to is not within)",
            hint="give an earlier --from, a later --to, or shorter periods: --every 7",
        )
    return [Period(a, b) for a, b in pairwise(days)]


def _month(day: dt.date, months_ahead: int) -> dt.date:
    months = day.year * 12 + day.month - 1 + months_ahead
    return dt.date(months // 12, months % 12 + 1, 1)


def metric_table(inputs: Inputs, periods: Sequence[Period]) -> pd.DataFrame:
    """All metrics of all stages in some periods.

    Returns
    -------
    DataFrame
        period_start, period_end (dates, half-open), stage (null: everyone together, with every
        metric there is), metric (as the taxonomy calls it), key (its name here; null where it is
        unknown), source (channel, of lead quality; else null), value (null where hidden or
        missing), unit, n, note (why there is no value; else empty), ours (named by us, not by the
        article that the taxonomy follows). One row a period, stage, metric and source.
    """
    rows = [row for period in periods for row in _rows(inputs, period)]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame["value"] = frame["value"].astype(float)
    return frame


def _rows(inputs: Inputs, period: Period) -> Iterator[tuple[object, ...]]:
    everyone = np.ones(inputs.customers, dtype=bool)

    @cache
    def site(key: str) -> list[Figure]:
        return next(m for m in all_metrics() if m.key == key).compute(inputs, period, everyone)

    def figures(metric: Metric, stage: int | None) -> list[Figure]:
        if metric.when == "site" or stage is None:
            return site(metric.key)
        return metric.compute(inputs, period, _within(inputs, period, metric, stage))

    dates = (day_date(period.start), day_date(period.end))
    for metric in all_metrics():
        for figure in figures(metric, None):
            yield (*dates, None, metric.names[0], *_cells(metric, figure), False)
    for code, stage in enumerate(inputs.builder.taxonomy.stages):
        wanted = [(name, False) for name in stage.advice.metrics]
        wanted += [(name, True) for name in stage.advice.our_metrics]
        for name, is_ours in wanted:
            for metric in named(name):
                for figure in figures(metric, code):
                    yield (*dates, stage.name, name, *_cells(metric, figure), is_ours)
            if not named(name):
                unknown = missing("a definition: no metric of ours has this name")
                cells = (None, None, None, None, 0, unknown.reason)
                yield (*dates, stage.name, name, *cells, is_ours)


def _within(inputs: Inputs, period: Period, metric: Metric, stage: int) -> Array:
    return inputs.code(period.start if metric.when == "start" else period.end) == stage


def _cells(metric: Metric, figure: Figure) -> tuple[object, ...]:
    source = figure.source or None
    return metric.key, source, figure.value, metric.unit, figure.n, figure.reason
