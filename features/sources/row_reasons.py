"""Reasons why a row of a source does not count: bad, or left out on purpose."""

from __future__ import annotations

from typing import Any

import ibis
from ibis.expr.types import Table, Value

from features.calendar import day_date, day_number
from features.config.config import Config
from features.config.sources import EventSource
from features.contracts import LEFT_OUT
from features.sources.identity_resolution import UNLINKED
from features.sources.quarantine import NO_CUSTOMER, ROUNDED

# Largest amount in minor units; sums over a long history stay within int64.
_LARGEST_MINOR = 10**14


def bad_row_reason(events: Table, source: EventSource, config: Config, latest: int) -> Value:
    """Return the first reason why a row is bad; null if it is usable or no event at all."""
    money_types = [
        event_type
        for role in ("purchase", "refund")
        for event_type in config.role_types().get(role, ())
    ]
    e, minor_per_major = events, 10**config.minor_units
    finite = e.amount.isnull() | ~(e.amount.isnan() | e.amount.isinf())
    branches: list[tuple[Any, Any]] = [
        (e.event_type == LEFT_OUT, ibis.null("string")),
        (e.rounded.notnull(), ROUNDED + e.rounded),
        (e.customer_id.isnull() & e.anonymous_id.isnull(), NO_CUSTOMER),
        (e.event_type.isnull(), "event_type is empty"),
        (e.day.isnull(), "occurred_at is not a readable date or time"),
        (e.known_missing, "known_at is not a readable date or time"),
        (e.day < day_number(config.earliest), f"occurred_at before {config.earliest}"),
        (e.day > latest, f"occurred_at after {day_date(latest)}"),
        (e.known_day > latest, f"known_at after {day_date(latest)}"),
        (~finite, "amount is not finite"),
        (e.amount_given & e.amount.isnull(), "amount is not a number"),
        ((e.amount.abs() * minor_per_major) > _LARGEST_MINOR, "amount is out of range"),
    ]
    if source.columns.value is not None:
        branches.append(
            (e.event_type.isin(money_types) & e.amount.isnull(), "purchase without an amount")
        )
    if source.event_id is not None:
        branches.append((e.event_key.isnull(), "event_id is empty"))
    return ibis.cases(*branches, else_=ibis.null("string"))


def mark_duplicates(events: Table) -> Table:
    """Add the reason "duplicate event_id" to every usable row but the first known of its id.

    Rows without a customer come last; otherwise a future link would decide which row counts today.
    """
    first_known_order = [
        events.reason.notnull(),
        events.customer_id.isnull(),
        events.known_day,
        *(
            events[column_name]
            for column_name in ("at", "customer_id", "event_type", "amount", "order_id")
        ),
    ]
    copy_number = ibis.row_number().over(
        ibis.window(group_by=events.event_key, order_by=first_known_order)
    )
    marked = events.mutate(copy=copy_number)
    is_duplicate = marked.event_key.notnull() & (marked.copy > 0)
    duplicate_reason = is_duplicate.ifelse("duplicate event_id", ibis.null("string"))
    return marked.mutate(reason=marked.reason.coalesce(duplicate_reason)).drop("copy")


def left_out_reason(events: Table, config: Config) -> Value:
    """Return why a good row is left out on purpose; null if it counts."""
    branches: list[tuple[Any, Any]] = [
        (events.reason.notnull(), ibis.null("string")),
        (events.is_machine, "machine event"),
    ]
    ignored_types = [*config.ignored_event_types, LEFT_OUT]
    branches.append((events.event_type.isin(ignored_types), "ignored event type"))
    if config.data_through is not None:
        branches.append((events.day > day_number(config.data_through), "after data_through"))
    branches.append((events.customer_id.isnull(), UNLINKED))
    return ibis.cases(*branches, else_=ibis.null("string"))
