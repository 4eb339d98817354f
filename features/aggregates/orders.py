"""Combine order lines into orders: one purchase each, over lines, days and files."""

from __future__ import annotations

from typing import Any

import ibis
from ibis.expr.types import Table

from features.aggregates.dictionary_encoding import PlainTexts, TextNumbers
from features.aggregates.manifest import CannotExtend
from features.aggregates.tallies import NEGATIVE_AMOUNT, StoredOrders
from features.config.config import Config
from features.errors import UserError

ORDER_COLUMNS = (
    "customer",
    "event_type",
    "order_id",
    "day",
    "known_day",
    "value",
    "first_at",
    "last_at",
)


def combine_order_lines(events: Table) -> Table:
    """Sum lines of the same customer, order and day into one purchase; keep other events."""
    facts = ("value", "first_at", "last_at")
    timed_events = events.mutate(first_at=events["at"], last_at=events["at"])
    order_key = ["customer", "event_type", "order_id", "day", "known_day"]
    order_lines = timed_events.filter(timed_events.order_id.notnull())
    grouped = order_lines.group_by(order_key).agg(
        value=order_lines.value.sum(),
        first_at=order_lines.first_at.min(),
        last_at=order_lines.last_at.max(),
    )
    single_events = timed_events.filter(timed_events.order_id.isnull()).select(*order_key, *facts)
    return ibis.union(grouped.select(*order_key, *facts), single_events, distinct=False)


def sign_amounts(orders: Table, numbers: TextNumbers | PlainTexts, config: Config) -> Table:
    """Turn negative purchase totals into refunds, and let refunds reduce spend.

    With `refund_amounts` a refund of the other sign was taken back: it adds to spend.
    """
    type_numbers, roles = numbers.places("event_type"), config.role_types()
    purchases, refunds = (
        orders.event_type.isin(
            [
                type_numbers[event_type]
                for event_type in roles.get(role, ())
                if event_type in type_numbers
            ]
        )
        for role in ("purchase", "refund")
    )
    is_negative, is_refund = purchases & (orders.value < 0), refunds
    if config.refunds == "reject" and bool(is_negative.any().execute()):
        negative_count = int(is_negative.sum().execute())
        raise UserError(
            "refunds",
            found=f"{negative_count} purchases with a negative amount while the config says "
            "`reject`",
            expected="no negative amounts, or another setting",
            hint="set `refunds: net` (they reduce spend) or `separate` (kept apart from spend)",
        )
    reduction = {
        "either": -orders.value.abs(), "negative": orders.value, "positive": -orders.value
    }[config.refund_amounts]  # fmt: skip
    signed_value = is_refund.ifelse(reduction, orders.value)
    return orders.mutate(
        event_type=is_negative.ifelse(
            ibis.literal(type_numbers[NEGATIVE_AMOUNT], orders.event_type.type()), orders.event_type
        ),
        value=signed_value,
    )


def count_orders(orders: Table, stored: Table | None = None) -> Table:
    """Add `count`: an order with lines on several days is one purchase on its first day.

    Lines become known one after the other. A later line adds its value to the order's day; a
    late-known line with an earlier day moves the order there, with its whole value so far. Every
    change carries its known day, so that any past state can be rebuilt. Rows already stored of an
    order (`stored`) never change; only newer lines add rows.
    """
    one_count = ibis.literal(1, "int64")
    order_key = ["customer", "event_type", "order_id"]
    order_lines = orders.filter(orders.order_id.notnull()).select(*ORDER_COLUMNS)
    order_lines = order_lines.mutate(stored=False)
    if stored is not None:
        order_lines = ibis.union(order_lines, stored.select(*ORDER_COLUMNS).mutate(stored=True))
    split_orders = order_lines.group_by(order_key).agg(n=order_lines.count())
    split_orders = split_orders.filter(split_orders.n > 1)
    if int(split_orders.count().execute()) == 0:
        return orders.mutate(count=one_count)
    order_parts = order_lines.semi_join(split_orders, order_key)
    whole_orders = orders.anti_join(split_orders, order_key).mutate(count=one_count)
    earlier_parts = ibis.window(
        group_by=[order_parts[column] for column in order_key],
        order_by=[order_parts.known_day, order_parts.day],
        preceding=(None, 1),
    )
    order_parts = order_parts.mutate(
        held=order_parts.day.min().over(earlier_parts),
        so_far=order_parts.value.sum().over(earlier_parts).fill_null(0),
    )
    order_parts = order_parts.filter(~order_parts.stored)
    moves_earlier = order_parts.held.notnull() & (order_parts.day < order_parts.held)
    starts_order = order_parts.held.isnull() | moves_earlier
    arrived = order_parts.mutate(
        count=starts_order.ifelse(1, 0).cast("int64"),
        day=starts_order.ifelse(order_parts.day, order_parts.held),
        value=moves_earlier.ifelse(order_parts.value + order_parts.so_far, order_parts.value),
    )
    moved_parts = order_parts.filter(moves_earlier)
    withdrawn = moved_parts.mutate(
        day=moved_parts.held, value=-moved_parts.so_far, count=-one_count
    )
    columns = list(whole_orders.columns)
    return ibis.union(
        whole_orders, arrived.select(columns), withdrawn.select(columns), distinct=False
    )


def stored_orders(
    connection: Any, events: Table, previous: StoredOrders, source: int
) -> Table | None:
    """Return the stored rows of orders that have new lines; None if there are none."""
    if not previous.orders:
        return None
    stored = connection.read_parquet(list(previous.orders))
    stored = stored.filter(stored.source == previous.number(source)).drop("source")
    stored = stored.semi_join(events.filter(events.order_id.notnull()), "order_id")
    stored = connection.create_table(f"kept_{source}", stored, temp=True)
    return stored if int(stored.count().execute()) else None


def refuse_earlier(orders: Table, before: Table) -> None:
    """Stop if a line was known no later than the stored rows of its order.

    Raises
    ------
    CannotExtend
        Because stored rows would change.
    """
    order_key = ["customer", "event_type", "order_id"]
    last_stored = before.group_by(order_key).agg(
        last=ibis.struct({"known": before.known_day, "day": before.day}).max()
    )
    matched = orders.inner_join(last_stored, order_key)
    too_early = matched.filter(
        ibis.struct({"known": matched.known_day, "day": matched.day}) <= matched["last"]
    )
    if int(too_early.count().execute()):
        raise CannotExtend("a line came earlier than what was stored of its order")
