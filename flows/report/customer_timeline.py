"""What single customers did, day by day, and the stages they were in: to be looked at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from features.arrays import Array
from features.contracts import MONEY_ROLES, ROLES
from features.lifecycle.stage_engine import stage_at
from features.table.snapshot_builder import Builder


def timelines(builder: Builder, positions: Array, *, first: int, at: int) -> pd.DataFrame:
    """Events of some customers in ``[first, at)`` that were known before `at`.

    Parameters
    ----------
    builder
        The data set.
    positions
        Places of the customers in the history, rising.
    first, at
        Day numbers.

    Returns
    -------
    DataFrame
        customer (place within `positions`), day (number), role, count (events; purchases:
        orders), value (major units; null for roles without money); by customer, day and role.
    """
    known = builder.history.take(positions).known_before(at)
    scale, parts = 10.0**builder.config.minor_units, []
    for role in (role for role in ROLES if role in known.roles):
        rows = known.roles[role]
        inside = (rows.day >= first) & (rows.day < at) & (rows.count > 0)
        value = rows.value[inside] / scale
        parts.append(
            pd.DataFrame(
                {
                    "customer": rows.customer[inside],
                    "day": rows.day[inside],
                    "role": role,
                    "count": rows.count[inside],
                    "value": value if role in MONEY_ROLES else np.full(len(value), np.nan),
                }
            )
        )
    columns = ["customer", "day", "role", "count", "value"]
    found = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    return found.sort_values(["customer", "day", "role"], kind="stable", ignore_index=True)


def paths(builder: Builder, positions: Array, days: Sequence[int]) -> Array:
    """Stage codes of some customers, customers x dates; -1 for who did not exist yet."""
    history = builder.history
    some = history.only(builder.taxonomy.stage_subjects()).take(positions)
    exists = history.exists_from[positions]
    codes = np.full((len(positions), len(days)), -1, dtype=np.int64)
    for column, day in enumerate(days):
        there = exists <= day
        codes[there, column] = stage_at(builder.taxonomy, some, day)[there]
    return codes
