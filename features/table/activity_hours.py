"""Hours and weekdays at which customers are active: what a good send time is learned from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features.aggregates.tallies import Tallies
from features.arrays import Array
from features.config.config import Config
from features.contracts import CUSTOMER
from features.table.customer_partitions import of_each

HOURS, WEEKDAYS = 24, 7
HABIT_DAYS = 365  # habits change: older activity does not count
LATER_DAYS = 28  # four of each weekday, kept for the test
_MONDAY = 3  # 1970-01-01 was a Thursday


@dataclass(frozen=True)
class Activity:
    """Days with activity of each customer, by hour and by weekday of the first sign of the day.

    Attributes
    ----------
    customers
        Customer ids: those with activity in the last year.
    hours, later_hours
        Days by local hour, shape (customers, 24): before the last four weeks, and in them.
    weekdays, later_weekdays
        The same by weekday from Monday, shape (customers, 7).
    """

    customers: pd.Index[str]
    hours: Array
    later_hours: Array
    weekdays: Array
    later_weekdays: Array


def activity_hours(output: Path, config: Config, *, at: int) -> Activity:
    """Count the active days of the year before a date by hour and weekday.

    A day counts once, at its first open, click or visit (role ``touch``). Customers without any
    count by their orders. Hours are local in the zone of the business.

    Parameters
    ----------
    output
        The output folder, where the features step stored tallies.
    config
        The data set.
    at
        Day number; only what happened and was known before it counts.
    """
    roles = config.role_types()
    question = _Question(
        tuple(roles.get("touch", ())), tuple(roles.get("purchase", ())), config.timezone, at
    )
    parts = of_each(output, config, question)
    return Activity(
        parts[0].customers.append([part.customers for part in parts[1:]]),
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("hours", "later_hours", "weekdays", "later_weekdays")
        ),
    )


@dataclass(frozen=True)
class _Question:
    """What is asked of the tallies of some customers."""

    touches: Sequence[str]
    orders: Sequence[str]
    timezone: str
    at: int

    def __call__(self, tallies: Tallies) -> Activity:
        touched, ordered = (
            self._first_signs(tallies.daily, types) for types in (self.touches, self.orders)
        )
        only_orders = ordered[~ordered[CUSTOMER].isin(touched[CUSTOMER].unique())]
        signs = pd.concat([touched, only_orders], ignore_index=True)
        codes, customers = pd.factorize(signs[CUSTOMER], sort=True)
        later = signs["day"].to_numpy() >= self.at - LATER_DAYS
        weekday = (signs["day"].to_numpy() + _MONDAY) % WEEKDAYS

        def counts(of: Array, kinds: int, rows: Array) -> Array:
            cells = codes[rows] * kinds + of[rows]
            return np.bincount(cells, minlength=len(customers) * kinds).reshape(-1, kinds)

        hour = signs["hour"].to_numpy()
        return Activity(
            pd.Index(customers, dtype=object),
            counts(hour, HOURS, ~later),
            counts(hour, HOURS, later),
            counts(weekday, WEEKDAYS, ~later),
            counts(weekday, WEEKDAYS, later),
        )

    def _first_signs(self, daily: pa.Table, types: Sequence[str]) -> pd.DataFrame:
        """Customer, day and local hour of the first event of some types on each day."""
        is_type = pc.is_in(pc.cast(daily["event_type"], pa.string()), pa.array(types, pa.string()))
        in_year = pc.and_(
            pc.less(daily["day"], self.at), pc.greater_equal(daily["day"], self.at - HABIT_DAYS)
        )
        known = pc.less(daily["known_day"], self.at)
        rows = daily.filter(pc.and_(is_type, pc.and_(in_year, known)))
        local = pc.cast(rows["first_at"], pa.timestamp("us", self.timezone))
        signs = pd.DataFrame(
            {
                CUSTOMER: pc.cast(rows["customer_id"], pa.string()).to_pandas().astype(object),
                "day": rows["day"].to_numpy().astype(np.int64),
                "first_at": pc.cast(rows["first_at"], pa.int64()).to_numpy(),
                "hour": pc.hour(local).to_numpy(),
            }
        )
        signs = signs.sort_values("first_at", kind="stable")
        return signs.drop_duplicates([CUSTOMER, "day"])[[CUSTOMER, "day", "hour"]]
