"""The tallies: all that later steps know of the events."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

# Event type of an order with a negative total; always in the role `refund`.
NEGATIVE_AMOUNT = "negative_amount"
_TEXT = pa.dictionary(pa.int32(), pa.string())
ATTRIBUTE_SCHEMA = pa.schema(
    [
        ("customer_id", _TEXT),
        ("event_type", _TEXT),
        ("attribute", _TEXT),
        ("choice", _TEXT),
        ("day", pa.int32()),
        ("known_day", pa.int32()),
        ("count", pa.int64()),
    ]
)


@dataclass(frozen=True)
class Tallies:
    """Mergeable daily counts of all customers; the only input of features, stages and labels.

    Attributes
    ----------
    daily
        Sorted by customer_id, event_type, day: customer_id, event_type, day, known_day,
        count (purchases: orders), value (sum, integer minor units), largest (value of one
        event), latest (value of the last event), first_at, last_at. ``known_day > day`` marks
        late knowledge; an order that became known in parts has one row per part.
    attributes
        Same order: customer_id, event_type, attribute, choice, day, known_day, count (lines).
    sessions
        See `features.aggregates.sessions.session_tally`; used only by traffic metrics.
    orders
        Every order with an id from sources that grow by new files: source, and the columns of
        `ORDER_COLUMNS`; needed for later lines.
    event_ids
        Likewise source and event_key, if the source declares an event id.
    """

    daily: pa.Table
    attributes: pa.Table
    sessions: pa.Table | None = None
    orders: pa.Table | None = None
    event_ids: pa.Table | None = None


@dataclass(frozen=True)
class StoredOrders:
    """Stored orders and event ids, needed to add new files of the same sources.

    Attributes
    ----------
    orders, event_ids
        Parquet files.
    sources
        Position in the whole config of each source read now.
    """

    orders: tuple[str, ...] = ()
    event_ids: tuple[str, ...] = ()
    sources: tuple[int, ...] | None = None

    def number(self, source: int) -> int:
        """Return a source's position in the whole config."""
        return source if self.sources is None else self.sources[source]


NO_STORED_ORDERS = StoredOrders()
