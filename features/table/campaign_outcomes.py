"""What people did in a span of days that has passed: for measuring campaigns, not for features."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from features.aggregates import segments
from features.calendar import day_number
from features.config.config import Config
from features.contracts import MONEY_ROLES
from features.history.history import history
from features.history.windows import Window
from features.table.campaign_conditions import sent_subject
from features.table.feature_store import FOLDER, TALLIES, read_tallies
from features.table.product_margins import earned


def outcomes(output: Path, config: Config, entries: pd.DataFrame, *, margin: float) -> pd.DataFrame:
    """Response, orders, revenue and margin after each entry, from all that is known by now.

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
        response (0 or 1), orders (number), revenue and margin (money, refunds netted in unless the
        config keeps them apart; the margin by the products on the lines of those days); indexed
        like `entries`. Who did nothing has zeros.
    """
    known = history(read_tallies(output), config.role_types()).settled
    where = pd.Series(np.arange(len(known.customers)), index=known.customers.astype(object))
    found = pd.DataFrame(0.0, index=entries.index, columns=["response", "orders", "revenue"])
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
        if (events := known.roles.get("purchase")) is not None:
            found.loc[rows, "orders"] = Window(events, first, first + int(days)).count[at_place]
        for money in money_roles:
            if (events := known.roles.get(money)) is not None:
                spent = Window(events, first, first + int(days)).value[at_place]
                found.loc[rows, "revenue"] += spent / 10.0**config.minor_units
    known_by = data_through(output, config) + dt.timedelta(days=1)
    shares = earned(output, config, entries, day=known_by, otherwise=margin)
    return found.assign(margin=found["revenue"] * np.asarray(shares))


def messages_received(output: Path, config: Config, entries: pd.DataFrame) -> pd.Series[Any]:
    """Messages that each person got in the campaign's channel in the days after the entry.

    Parameters
    ----------
    output, config
        Where the tallies are, and what they mean.
    entries
        One row an entry: customer_id, entered_at, within_days, channel (null: any channel).

    Returns
    -------
    Series
        Events with the role ``sent``, indexed like `entries`; NaN where the data record none.
    """
    role_types = config.role_types()
    channels = entries["channel"].astype(object).where(entries["channel"].notna(), None)
    subjects = {name: sent_subject(name) for name in channels.drop_duplicates()}
    known = history(read_tallies(output), role_types, subjects.values(), choices=False).settled
    received = pd.Series(np.nan, index=entries.index)
    if known.roles.get("sent") is None:
        return received
    where = pd.Series(np.arange(len(known.customers)), index=known.customers.astype(object))
    for name, subject in subjects.items():
        rows = known.rows(subject)
        of_channel = entries[channels.isna() if name is None else channels == name]
        received[of_channel.index] = 0.0
        for (at, days), part in of_channel.groupby(["entered_at", "within_days"]):
            first = day_number(pd.Timestamp(at).date())
            place = where.reindex(part["customer_id"]).to_numpy(dtype=float, na_value=np.nan)
            there = ~np.isnan(place)
            if rows is not None:
                counts = Window(rows, first, first + int(days)).count
                received[part.index[there]] = counts[place[there].astype(np.int64)]
    return received


def data_through(output: Path, config: Config) -> dt.date:
    """Last day known in full."""
    if config.data_through is not None:
        return config.data_through
    files = segments.table_files(output / FOLDER / TALLIES, "daily")
    last = max(int(np.max(pq.read_table(f, columns=["day"])["day"].to_numpy())) for f in files)
    return dt.date(1970, 1, 1) + dt.timedelta(days=last)
