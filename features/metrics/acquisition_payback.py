"""How soon acquisition spend comes back, by source: what new leads spend, month by month."""

from __future__ import annotations

import numpy as np
import pandas as pd

from features.arrays import Array
from features.contracts import MONEY_ROLES
from features.history.day_rows import FAR_PAST
from features.history.windows import Window
from features.metrics.metric_inputs import Inputs

ALL_SOURCES = "all sources"
_MONTH_DAYS = 30
_MOST_MONTHS = 24
_FEWEST = 30  # leads that were watched for a whole month; months of fewer are left out
_COLUMNS = ["source", "months", "leads", "buyers", "cost", "cost_per_lead", "returned", "share"]


def acquisition_payback(inputs: Inputs, at: int, *, margin: float = 1.0) -> pd.DataFrame:
    """Net spend of new leads against what their acquisition cost, by months since the first lead.

    Parameters
    ----------
    inputs
        History, spend, and the channel of every customer's first lead event.
    at
        Day number of the report; only months that had ended before it count.
    margin
        Share of the spend that is kept.

    Returns
    -------
    DataFrame
        One row a source and month (of 30 days): source (channel of the first lead event and of the
        spend, or `ALL_SOURCES`), months, leads (with a first lead event since the first day of
        spend), buyers (of them, so far), cost (major units), cost_per_lead, returned (a lead, up to
        the end of the month: kept net spend; the mean of each month is over the leads who were
        watched for all of it), share (of the cost that has come back). Empty without spend, without
        leads, and for sources with fewer than 30 leads.
    """
    spend = inputs.spend
    if spend is None or not len(spend) or not inputs.has("lead"):
        return pd.DataFrame(columns=_COLUMNS)
    start = int(spend["day"].min())
    spend = spend[spend["day"] < at]
    first = inputs.first_day("lead")
    is_new = (first >= start) & (first < at)
    groups = [(ALL_SOURCES, is_new, float(spend["amount"].sum()))]
    if inputs.sources is not None:
        for source, amount in spend.groupby("channel")["amount"].sum().items():
            groups.append((str(source), is_new & (inputs.sources == source), float(amount)))
    rows = []
    for source, members, cost in groups:
        rows += _months(inputs, members, first, at, source=source, cost=cost, margin=margin)
    return pd.DataFrame(rows, columns=_COLUMNS)


def _months(
    inputs: Inputs,
    members: Array,
    first: Array,
    at: int,
    *,
    source: str,
    cost: float,
    margin: float,
) -> list[tuple[str, int, int, int, float, float, float, float]]:
    """Rows of one source; none if it cost nothing or had too few leads."""
    leads, rows, returned = int(members.sum()), [], 0.0
    if leads < _FEWEST or cost <= 0:
        return []
    bought = inputs.first_day("purchase") if inputs.has("purchase") else np.full(len(first), at)
    buyers = int((members & (bought != FAR_PAST) & (bought < at)).sum())
    for month in range(_MOST_MONTHS):
        watched = members & (first + (month + 1) * _MONTH_DAYS <= at)
        if watched.sum() < _FEWEST:
            break
        returned += margin * float(_net(inputs, first, month)[watched].mean())
        each = cost / leads
        rows.append((source, month + 1, leads, buyers, cost, each, returned, returned / each))
    return rows


def _net(inputs: Inputs, first: Array, month: int) -> Array:
    """Net spend of every customer in a month since the first lead, major units."""
    config = inputs.builder.config
    total = np.zeros(len(first), dtype=np.int64)
    for role in MONEY_ROLES if config.refunds == "net" else ("purchase",):
        if inputs.has(role):
            begin = first + month * _MONTH_DAYS
            total = total + Window(inputs.rows(role), begin, begin + _MONTH_DAYS).value
    return np.asarray(total / 10.0**config.minor_units)
