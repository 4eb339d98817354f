"""What tallies are made of, as expressions of the engine: days, choices, and sources together."""

from __future__ import annotations

from typing import Any

import ibis
import pyarrow as pa
from ibis.expr.types import Table

from features.numbers import Numbers, Texts
from features.sources import ATTRIBUTE

EVENT_KEYS = ["customer", "event_type", "day", "known_day"]
DAILY_KEYS = EVENT_KEYS
ATTRIBUTE_KEYS = ["customer", "event_type", "attribute", "choice", "day", "known_day"]
TEXT = pa.dictionary(pa.int32(), pa.string())
ATTRIBUTE_SCHEMA = pa.schema(
    [
        ("customer_id", TEXT),
        ("event_type", TEXT),
        ("attribute", TEXT),
        ("choice", TEXT),
        ("day", pa.int32()),
        ("known_day", pa.int32()),
        ("count", pa.int64()),
    ]
)


def _last_value(rows: Table, value: Any) -> Any:
    """Value of the row of the last moment; of several at one moment the largest."""
    amount = value.fill_null(0)
    return amount.argmax(ibis.struct({"at": rows.last_at, "amount": amount}))


def daily_tally(counted: Table) -> Table:
    """Tally of counted orders by customer, event type, day and the day they became known."""
    return counted.group_by(DAILY_KEYS).agg(
        count=counted["count"].sum(),
        value=counted.value.sum().fill_null(0).cast("int64"),
        largest=counted.value.max().fill_null(0).cast("int64"),
        latest=_last_value(counted, counted.value).fill_null(0).cast("int64"),
        first_at=counted.first_at.min(),
        last_at=counted.last_at.max(),
    )


def attribute_tally(events: Table, numbers: Numbers | Texts, attributes: list[str]) -> Table | None:
    """Tally of each declared attribute's choices; null where the source declares none."""
    declared = [a for a in attributes if f"{ATTRIBUTE}{a}" in events.columns]
    if not declared:
        return None
    # One GROUP BY over all attributes, on numbers: texts would be hashed and copied ten times.
    places, columns = numbers.places("attribute"), [f"{ATTRIBUTE}{a}" for a in declared]
    parts = []
    for attribute, column in zip(declared, columns, strict=True):
        place = ibis.literal(places[attribute], numbers.kind)
        lines = events.select(*EVENT_KEYS, attribute=place, choice=events[column])
        parts.append(lines.filter(lines.choice.notnull()))
    lines = ibis.union(*parts, distinct=False) if len(parts) > 1 else parts[0]
    lines = numbers.put(lines, "choice")
    return lines.group_by(ATTRIBUTE_KEYS).agg(count=lines.count().cast("int64"))


def merged(parts: list[Table]) -> Table:
    """One tally of several sources: the facts merge, that is what makes them tallies."""
    if len(parts) == 1:
        return parts[0]
    together = ibis.union(*parts, distinct=False)
    return together.group_by(DAILY_KEYS).agg(
        count=together["count"].sum(),
        value=together.value.sum().cast("int64"),
        largest=together.largest.max(),
        latest=_last_value(together, together.latest),
        first_at=together.first_at.min(),
        last_at=together.last_at.max(),
    )


def merged_attributes(parts: list[Table]) -> Table:
    """Likewise one attribute tally of several sources."""
    if len(parts) == 1:
        return parts[0]
    together = ibis.union(*parts, distinct=False)
    return together.group_by(ATTRIBUTE_KEYS).agg(count=together["count"].sum().cast("int64"))
