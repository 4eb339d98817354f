"""What tallies are made of, as expressions of the engine: days, choices, and sources together."""

from __future__ import annotations

import ibis
import pyarrow as pa
from ibis.expr.types import Table

from features.aggregates.dictionary_encoding import Numbers, Texts
from features.sources.events import ATTRIBUTE

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


def daily_tally(counted: list[Table]) -> Table:
    """Tally of the counted orders of all sources by customer, type, day and day they became known.

    Of several values at the last moment of a day the largest is the latest.
    """
    columns = [*DAILY_KEYS, "count", "value", "first_at", "last_at"]
    rows = together([each.select(columns) for each in counted])
    amount = rows.value.fill_null(0)
    return rows.group_by(DAILY_KEYS).agg(
        count=rows["count"].sum(),
        value=amount.sum().cast("int64"),
        largest=rows.value.max().fill_null(0).cast("int64"),
        latest=amount.argmax(ibis.struct({"at": rows.last_at, "amount": amount})).cast("int64"),
        first_at=rows.first_at.min(),
        last_at=rows.last_at.max(),
    )


def attribute_tally(
    sources: list[Table], numbers: Numbers | Texts, attributes: list[str]
) -> Table | None:
    """Tally of each declared attribute's choices; None where no source declares any."""
    found = [
        (events, name)
        for events in sources
        for name in attributes
        if f"{ATTRIBUTE}{name}" in events.columns
    ]
    if not found:
        return None
    # One GROUP BY over all attributes, on numbers: texts would be hashed and copied ten times.
    places, parts = numbers.places("attribute"), []
    for events, name in found:
        place = ibis.literal(places[name], numbers.kind)
        lines = events.select(*EVENT_KEYS, attribute=place, choice=events[f"{ATTRIBUTE}{name}"])
        parts.append(lines.filter(lines.choice.notnull()))
    lines = numbers.put(together(parts), "choice")
    return lines.group_by(ATTRIBUTE_KEYS).agg(count=lines.count().cast("int64"))


def together(parts: list[Table]) -> Table:
    """Rows of several tables with the same columns."""
    return ibis.union(*parts, distinct=False) if len(parts) > 1 else parts[0]
