"""Counts of a source for the guards: copied rows, order ids, signs of refunds."""

from __future__ import annotations

from typing import Any

from ibis.expr.types import Table

from features.config.config import Config

_RESTART_DAYS = 180


def order_facts(events: Table) -> dict[str, int]:
    """Count order ids and lines that look wrong among the usable events of a source.

    Returns
    -------
    dict
        orders, order_lines; copied_rows (of orders all of whose lines repeat), repeated_lines (of
        other orders), shared_orders (several customers), restarted_orders (lines more than half a
        year apart).
    """
    rows = events.filter(events.order_id.notnull())
    same_line = [name for name in rows.columns if name != "event_key"]
    lines = rows.group_by(same_line).agg(copies=rows.count())
    orders = lines.group_by("order_id").agg(
        rows=lines.copies.sum(),
        fewest=lines.copies.min(),
        different=lines.count(),
        first_customer=lines.customer_id.min(),
        last_customer=lines.customer_id.max(),
        first_day=lines.day.min(),
        last_day=lines.day.max(),
    )
    surplus = orders.rows - orders.different
    counts: dict[str, Any] = dict(
        orders=orders.count(),
        order_lines=orders.rows.sum(),
        copied_rows=(orders.fewest > 1).ifelse(surplus, 0).sum(),
        repeated_lines=(orders.fewest > 1).ifelse(0, surplus).sum(),
        shared_orders=(orders.first_customer != orders.last_customer).sum(),
        restarted_orders=(orders.last_day - orders.first_day > _RESTART_DAYS).sum(),
    )
    (row,) = orders.aggregate(**counts).to_pyarrow().to_pylist()
    return {name: int(count or 0) for name, count in row.items() if count}


def refund_facts(events: Table, config: Config) -> dict[str, int]:
    """Count the refunds among the usable events of a source by the sign of their amounts.

    Returns
    -------
    dict
        negative_refunds, positive_refunds; without those that are 0.
    """
    types = config.role_types().get("refund", ())
    if not types:
        return {}
    refunds = events.filter(events.event_type.isin(list(types)))
    (row,) = (
        refunds.aggregate(
            negative_refunds=(refunds.value < 0).sum(), positive_refunds=(refunds.value > 0).sum()
        )
        .to_pyarrow()
        .to_pylist()
    )
    return {name: int(count) for name, count in row.items() if count}
