"""Orders, customers and revenue that a run has read, to compare with one's own books."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.calendar import day_date
from features.history.history import History
from flows.report.figure import cell_text, date_text


@dataclass(frozen=True)
class DataTotals:
    """Purchases known before the date of the scores.

    Attributes
    ----------
    orders, customers
        Orders, and who made them.
    revenue
        Net spend in major units: purchases less refunds.
    first, last
        Day numbers of the first and the last purchase; None without purchases.
    """

    orders: int
    customers: int
    revenue: float
    first: int | None
    last: int | None


def data_totals(history: History, at: int, *, minor_units: int) -> DataTotals:
    """Totals of all purchases that had happened and were known before a day."""
    orders, revenue = 0, 0
    customers: set[int] = set()
    days: list[int] = []
    for role in ("purchase", "refund"):
        rows = history.roles.get(role)
        if rows is None:
            continue
        rows = rows.known_before(at)
        is_past = rows.day < at
        revenue += int(rows.value[is_past].sum())
        if role == "purchase":
            bought = is_past & (rows.count > 0)
            orders = int(rows.count[bought].sum())
            customers = set(np.unique(rows.customer[bought]).tolist())
            days = rows.day[bought].tolist()
    return DataTotals(
        orders,
        len(customers),
        revenue / 10**minor_units,
        min(days, default=None),
        max(days, default=None),
    )


def totals_sentence(totals: DataTotals, currency: str) -> str:
    """Say the totals in one sentence."""
    if totals.first is None or totals.last is None:
        return "the data hold no purchases."
    return (
        f"{cell_text(totals.orders, 'int')} orders of {cell_text(totals.customers, 'int')} "
        f"customers, {cell_text(totals.revenue, 'money', currency)} less refunds, from "
        f"{date_text(day_date(totals.first))} to {date_text(day_date(totals.last))}. If your books "
        "say something else, look at the sources first."
    )
