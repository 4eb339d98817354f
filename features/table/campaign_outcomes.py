"""What people did in a span of days that has passed: for measuring campaigns, not for features."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from features.aggregates import segments
from features.calendar import day_number
from features.config.config import Config
from features.contracts import MONEY_ROLES
from features.history.day_rows import Window
from features.history.history import history
from features.table.feature_store import FOLDER, TALLIES, read_tallies
from features.table.product_margins import earned


def outcomes(output: Path, config: Config, entries: pd.DataFrame, *, margin: float) -> pd.DataFrame:
    """Response, revenue and margin after each entry, from all that is known by now.

    Parameters
    ----------
    output, config
        Where the tallies are, and what they mean.
    entries
        One row an entry: customer_id, entered_at (first day that counts), within_days, role (whose
        event is a response).
    margin
        Share of the revenue that is earned where no product says.

    Returns
    -------
    DataFrame
        response (0 or 1), revenue and margin (money, refunds netted in unless the config keeps
        them apart; the margin by the products on the lines of those days); indexed like
        `entries`. Who did nothing has zeros.
    """
    known = history(read_tallies(output), config.role_types()).settled
    where = pd.Series(np.arange(len(known.customers)), index=known.customers.astype(object))
    found = pd.DataFrame(0.0, index=entries.index, columns=["response", "revenue"])
    money_roles = MONEY_ROLES if config.refunds == "net" else ("purchase",)
    for (at, days, role), part in entries.groupby(["entered_at", "within_days", "role"]):
        first = day_number(pd.Timestamp(at).date())
        place = where.reindex(part["customer_id"]).to_numpy(dtype=float, na_value=np.nan)
        there = ~np.isnan(place)
        rows = part.index[there]
        at_place = place[there].astype(np.int64)
        if (events := known.roles.get(str(role))) is not None:
            counted = Window(events, first, first + int(days)).count[at_place]
            found.loc[rows, "response"] = (counted > 0).astype(float)
        for money in money_roles:
            if (events := known.roles.get(money)) is not None:
                spent = Window(events, first, first + int(days)).value[at_place]
                found.loc[rows, "revenue"] += spent / 10.0**config.minor_units
    known_by = data_through(output, config) + dt.timedelta(days=1)
    shares = earned(output, config, entries, day=known_by, otherwise=margin)
    return found.assign(margin=found["revenue"] * np.asarray(shares))


def data_through(output: Path, config: Config) -> dt.date:
    """Last day known in full."""
    if config.data_through is not None:
        return config.data_through
    files = segments.table_files(output / FOLDER / TALLIES, "daily")
    last = max(int(np.max(pq.read_table(f, columns=["day"])["day"].to_numpy())) for f in files)
    return dt.date(1970, 1, 1) + dt.timedelta(days=last)
