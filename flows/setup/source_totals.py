"""Orders, customers and revenue of each source, to compare with one's own books."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from features.aggregates.tallies import NEGATIVE_AMOUNT
from features.calendar import day_date
from features.config.config import Config


@dataclass(frozen=True)
class SourceTotals:
    """What one source holds.

    Attributes
    ----------
    source
        Name of its table.
    orders, customers
        Purchases, and who made them; of a source without purchases both are 0.
    revenue
        Net spend in major units: purchases less refunds.
    events
        Events of other roles.
    first_day, last_day
        Of all events; None where there are none.
    """

    source: str
    orders: int
    customers: int
    revenue: float
    events: int
    first_day: dt.date | None
    last_day: dt.date | None

    def content(self) -> dict[str, Any]:
        """For JSON."""
        days = {"first_day": str(self.first_day or ""), "last_day": str(self.last_day or "")}
        return {**asdict(self), **days}


def totals_of_days(source: str, daily: pa.Table, config: Config) -> SourceTotals:
    """Totals of a source's daily aggregates (`features.aggregates.daily_aggregates.Tallies`)."""
    rows = daily.to_pandas()
    roles = config.role_types()
    bought = rows["event_type"].isin(roles.get("purchase", ()))
    refunded = rows["event_type"].isin([*roles.get("refund", ()), NEGATIVE_AMOUNT])
    orders = rows[bought].groupby("customer_id")["count"].sum()
    return SourceTotals(
        source,
        int(orders.sum()),
        int((orders > 0).sum()),
        float(rows["value"][bought | refunded].sum()) / 10**config.minor_units,
        int(rows["count"][~bought].sum()),
        day_date(int(rows["day"].min())) if len(rows) else None,
        day_date(int(rows["day"].max())) if len(rows) else None,
    )
