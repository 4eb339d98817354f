"""Ibis expressions of the tallies: by day, and by choice of an attribute."""

from __future__ import annotations

import ibis
from ibis.expr.types import Table

from features.aggregates.dictionary_encoding import PlainTexts, TextNumbers
from features.sources.events import ATTRIBUTE

_EVENT_KEYS = ["customer", "event_type", "day", "known_day"]
DAILY_KEYS = _EVENT_KEYS
ATTRIBUTE_KEYS = ["customer", "event_type", "attribute", "choice", "day", "known_day"]


def daily_tally(counted: list[Table]) -> Table:
    """Aggregate counted orders by customer, event type, day and known day.

    If several events share the last moment of a day, `latest` is the largest value.
    """
    columns = [*DAILY_KEYS, "count", "value", "first_at", "last_at"]
    order_rows = union_all([orders.select(columns) for orders in counted])
    amount = order_rows.value.fill_null(0)
    return order_rows.group_by(DAILY_KEYS).agg(
        count=order_rows["count"].sum(),
        value=amount.sum().cast("int64"),
        largest=order_rows.value.max().fill_null(0).cast("int64"),
        latest=amount.argmax(ibis.struct({"at": order_rows.last_at, "amount": amount})).cast(
            "int64"
        ),
        first_at=order_rows.first_at.min(),
        last_at=order_rows.last_at.max(),
    )


def attribute_tally(
    sources: list[Table], numbers: TextNumbers | PlainTexts, attributes: list[str]
) -> Table | None:
    """Count each attribute's choices; None if no source declares an attribute."""
    declared = [
        (events, attribute)
        for events in sources
        for attribute in attributes
        if f"{ATTRIBUTE}{attribute}" in events.columns
    ]
    if not declared:
        return None
    # One GROUP BY over all attributes on integers: texts would be hashed and copied ten times.
    attribute_numbers, choice_tables = numbers.places("attribute"), []
    for events, attribute in declared:
        attribute_number = ibis.literal(attribute_numbers[attribute], numbers.kind)
        choices = events.select(
            *_EVENT_KEYS, attribute=attribute_number, choice=events[f"{ATTRIBUTE}{attribute}"]
        )
        choice_tables.append(choices.filter(choices.choice.notnull()))
    choices = numbers.put(union_all(choice_tables), "choice")
    return choices.group_by(ATTRIBUTE_KEYS).agg(count=choices.count().cast("int64"))


def union_all(parts: list[Table]) -> Table:
    """Concatenate tables with the same columns."""
    return ibis.union(*parts, distinct=False) if len(parts) > 1 else parts[0]
