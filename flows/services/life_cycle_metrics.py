"""Metrics of the life cycle from what an output folder stores: stage by stage, by period."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pandas as pd

from features.calendar import day_date
from features.errors import UserError
from features.metrics.metric_inputs import Inputs, lead_sources, published_scores
from features.metrics.metric_table import metric_table, periods
from features.sources.acquisition_spend import read_spend
from features.table.feature_store import open_archive, read_tallies
from flows.services.workspace import Workspace


def stage_metrics(
    output: Path, *, first: dt.date | None, to: dt.date | None, every: int | None
) -> pd.DataFrame:
    """Return the metrics of every stage, by period.

    Parameters
    ----------
    output
        Output folder of a run, or of `stagecast features`.
    first
        First day; None: twelve periods back, or the first day of the data.
    to
        Day after the last one; None: the day after the data end.
    every
        Days of a period; None: calendar months.

    Returns
    -------
    DataFrame
        As `features.metrics.metric_table.metric_table`.

    Raises
    ------
    UserError
        If nothing is stored, `to` is after the data, or no whole period fits.
    """
    space = Workspace(output.absolute())
    config = space.config()
    builder, tallies = open_archive(space.output, config).builder, read_tallies(space.output)
    last = day_date(builder.span.last_snapshot)
    if to is not None and to > last:
        raise UserError("--to", found=str(to), expected=f"{last} at the latest: no later day "
                        "is known in full")  # fmt: skip
    over = periods(first, to or last, every, begin=day_date(builder.span.first))
    inputs = Inputs(
        builder,
        sessions=None if tallies.sessions is None else tallies.sessions.to_pandas(),
        spend=read_spend(config),
        scores=published_scores(space.output, over),
        sources=lead_sources(builder, tallies.attributes),
    )
    return metric_table(inputs, over)
