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
        # What is ignored needs no amount.
        (e.event_type.isin(config.ignored_event_types), ibis.null("string")),
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


def with_positions(events: Table, source: EventSource) -> Table:
    """Add each row's place in its files (`position`) if the source declares an event id.

    DuckDB numbers the rows of one pipeline in the order of the files, with one thread.
    """
    if source.event_id is None:
        return events
    return events.mutate(position=ibis.row_number())


def mark_duplicates(events: Table) -> Table:
    """Mark every usable row but one of its event id: a bad row, or replaced by a later one.

    The rows known first count, and of those the last in the order of the files: an edit replaces
    what stood before. Rows of the same customer, type and known day are `replaced`; all others
    are bad rows. Rows without a customer come last; otherwise a future link would decide which row
    counts today.
    """
    ties = ["at", "customer_id", "event_type", "amount", "order_id"]
    later_first = (
        [events.position.desc()]
        if "position" in events.columns
        else [events[column_name] for column_name in ties]
    )
    order = [
        events.reason.notnull(), events.customer_id.isnull(), events.known_day, *later_first
    ]  # fmt: skip
    same_id = ibis.window(group_by=events.event_key, order_by=order)
    marked = events.mutate(
        copy=ibis.row_number().over(same_id),
        is_edit=(events.customer_id == events.customer_id.first().over(same_id))
        & (events.event_type == events.event_type.first().over(same_id))
        & (events.known_day == events.known_day.first().over(same_id)),
    )
    is_repeated = marked.event_key.notnull() & (marked.copy > 0)
    is_edit = marked.is_edit.fill_null(False)
    is_duplicate = is_repeated & ~is_edit
    return marked.mutate(
        reason=marked.reason.coalesce(
            is_duplicate.ifelse("duplicate event_id", ibis.null("string"))
        ),
        replaced=is_repeated & is_edit & marked.reason.isnull(),
    ).drop("copy", "is_edit")


def left_out_reason(events: Table, config: Config) -> Value:
    """Return why a good row is left out on purpose; null if it counts."""
    branches: list[tuple[Any, Any]] = [
        (events.reason.notnull(), ibis.null("string")),
        (events.is_machine, "machine event"),
    ]
    if "replaced" in events.columns:
        branches.append((events.replaced, "replaced by a later row of its event_id"))
    ignored_types = [*config.ignored_event_types, LEFT_OUT]
    branches.append((events.event_type.isin(ignored_types), "ignored event type"))
    if config.placeholder_ids:
        branches.append((events.customer_id.isin(config.placeholder_ids), "placeholder id"))
    if config.data_through is not None:
        branches.append((events.day > day_number(config.data_through), "after data_through"))
    branches.append((events.customer_id.isnull(), UNLINKED))
    return ibis.cases(*branches, else_=ibis.null("string"))
