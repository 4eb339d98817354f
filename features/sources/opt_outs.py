"""Days on which customers withdrew a consent, from the history of consents."""

from __future__ import annotations

import numpy as np
import pandas as pd

from features.calendar import day_date
from features.config.config import Config
from features.config.customers import ALL
from features.sources.channels import MESSAGE_CHANNELS, channel_names
from features.sources.consent_words import consent_answers
from features.sources.typed_rows import TypedTable

_OF_MESSAGES = (*MESSAGE_CHANNELS, ALL)
_EPOCH = pd.Timestamp("1970-01-01")


def opt_out_days(config: Config, *, at: int) -> pd.DataFrame | None:
    """Withdrawals of a consent to messages before a date.

    Parameters
    ----------
    config
        The data set.
    at
        Day number of the date.

    Returns
    -------
    DataFrame or None
        customer_id, day (day number), one row a withdrawal: a refusal after a consent to the same
        channel. None without a table of consents that names customers by their id.
    """
    table = config.consents
    if table is None or table.columns.customer_id is None:
        return None
    names = table.columns
    source = TypedTable("consents", table.table, table.csv, config.timezone)
    rows, clocks = source.rows(
        [names.channel, names.granted], [names.changed_at], keys=[str(names.customer_id)]
    )
    changes = pd.DataFrame(
        {
            "customer_id": rows[names.customer_id].astype(object),
            "channel": channel_names(rows[names.channel], "consents", config.channels),
            "granted": consent_answers(
                rows[names.granted], "consents: columns.granted", table.words
            ).eq(True),
            "at": clocks[names.changed_at.column],
        }
    ).dropna(subset=["customer_id", "at"])
    changes = changes[changes["at"] < pd.Timestamp(day_date(at))]
    changes["channel"] = changes["channel"].fillna(ALL)
    changes = changes[changes["channel"].isin(_OF_MESSAGES)].sort_values("at", kind="stable")
    before = changes.groupby(["customer_id", "channel"])["granted"].shift()
    withdrawn = changes[~changes["granted"] & before.eq(True)]
    days = (withdrawn["at"] - _EPOCH).dt.days.to_numpy(dtype=np.int64)
    return pd.DataFrame({"customer_id": withdrawn["customer_id"].to_numpy(), "day": days})
