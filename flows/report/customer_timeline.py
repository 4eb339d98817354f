"""Daily activity and stage history of individual customers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from features.arrays import Array
from features.contracts import MONEY_ROLES, ROLES
from features.lifecycle.stage_engine import stage_at
from features.table.snapshot_builder import Builder


def daily_activity(builder: Builder, positions: Array, *, first: int, at: int) -> pd.DataFrame:
    """Count the events of some customers in ``[first, at)`` that were known before `at`.

    Parameters
    ----------
    builder
        The data set.
    positions
        Positions of the customers in the history, ascending.
    first, at
        Day numbers.

    Returns
    -------
    DataFrame
        customer (index into `positions`), day (number), role, count (events; for purchases:
        orders), value (currency units; null for roles without money), sorted.
    """
    history = builder.history.take(positions).known_before(at)
    scale, role_frames = 10.0**builder.config.minor_units, []
    for role in (role for role in ROLES if role in history.roles):
        role_events = history.roles[role]
        inside = (role_events.day >= first) & (role_events.day < at) & (role_events.count > 0)
        value = role_events.value[inside] / scale
        role_frames.append(
            pd.DataFrame(
                {
                    "customer": role_events.customer[inside],
                    "day": role_events.day[inside],
                    "role": role,
                    "count": role_events.count[inside],
                    "value": value if role in MONEY_ROLES else np.full(len(value), np.nan),
                }
            )
        )
    columns = ["customer", "day", "role", "count", "value"]
    activity = (
        pd.concat(role_frames, ignore_index=True) if role_frames else pd.DataFrame(columns=columns)
    )
    return activity.sort_values(["customer", "day", "role"], kind="stable", ignore_index=True)


def stage_paths(builder: Builder, positions: Array, days: Sequence[int]) -> Array:
    """Return stage codes, customers x days; -1 before a customer's first event."""
    history = builder.history
    histories = history.only(builder.taxonomy.stage_subjects()).take(positions)
    first_days = history.exists_from[positions]
    codes = np.full((len(positions), len(days)), -1, dtype=np.int64)
    for column, day in enumerate(days):
        existing = first_days <= day
        codes[existing, column] = stage_at(builder.taxonomy, histories, day)[existing]
    return codes
