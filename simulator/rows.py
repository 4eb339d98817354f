"""Event rows of a block of customers: collected as codes, sorted, converted to Arrow."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from features.arrays import Array

# Event types in code order; the config maps them to roles.
_EVENT_TYPES = (
    "page_view",
    "cart",
    "checkout",
    "sign_up",
    "form",
    "purchase",
    "refund",
    "redemption",
    "message_sent",
    "email_open",
    "message_click",
    "support_contact",
    "complaint",
    "nps",
    "csat",
    "review",
    "referral",
)
EVENT_CODES = {name: code for code, name in enumerate(_EVENT_TYPES)}
_TEXT = pa.dictionary(pa.int32(), pa.string())
_MOMENT = pa.timestamp("s", tz="UTC")
# Columns of choice codes; each is named after the attribute that lists the choices.
CHOICE_COLUMNS = (
    "channel",
    "product_type",
    "brand",
    "size",
    "colour",
    "payment_method",
    "point_of_sale",
    "delivery_method",
    "destination",
    "product_id",
    "campaign_id",
)
_EVENT_SCHEMA = pa.schema(
    [
        ("event_id", pa.int64()),
        ("customer_id", _TEXT),
        ("occurred_at", _MOMENT),
        ("known_at", _MOMENT),
        ("event_type", _TEXT),
        ("channel", _TEXT),
        ("value", pa.float64()),
        ("order_id", pa.int64()),
        ("session_id", pa.int64()),
        ("is_machine", pa.bool_()),
        ("product_id", _TEXT),
        ("product_type", _TEXT),
        ("brand", _TEXT),
        ("size", _TEXT),
        ("colour", _TEXT),
        ("quantity", pa.int8()),
        ("payment_method", _TEXT),
        ("point_of_sale", _TEXT),
        ("delivery_method", _TEXT),
        ("destination", _TEXT),
        ("campaign_id", _TEXT),
    ]
)
# Working columns: data type, and the value that represents null.
_WORKING_COLUMNS: dict[str, tuple[type, float]] = {
    "kind": (np.int8, -1),
    **{name: (np.int16, -1) for name in CHOICE_COLUMNS},
    "value": (np.float64, np.nan),
    "order_id": (np.int64, -1),
    "session_id": (np.int64, -1),
    "quantity": (np.int8, -1),
    "is_machine": (np.bool_, 0),
}


@dataclass
class EventRows:
    """Event rows collected so far.

    Attributes
    ----------
    parts
        One entry a call of `add`: customers, moments, other columns (array or constant; absent
        columns are null).
    """

    parts: list[tuple[Array, Array, dict[str, Array | int]]] = field(default_factory=list)

    def add(self, event_type: str, customer: Array, moment: Array, **columns: Array | int) -> None:
        """Add events of one type: customers (positions in the block) and moments (seconds)."""
        self.parts.append((customer, moment, {"kind": EVENT_CODES[event_type], **columns}))

    def sorted(self, *, before: int) -> dict[str, Array]:
        """Return all rows before a moment, sorted by customer and moment, one array a column."""
        customer = np.concatenate([part[0] for part in self.parts]).astype(np.int64)
        moment = np.concatenate([part[1] for part in self.parts]).astype(np.int64)
        # One combined key sorts faster than two; moments fit into 34 bits until the year 2500.
        order = np.argsort((customer << 34) | moment, kind="stable")
        order = order[moment[order] < before]
        table: dict[str, Array] = {"customer": customer[order], "at": moment[order]}
        for name, (dtype, null_value) in _WORKING_COLUMNS.items():
            column: Array = np.full(len(moment), null_value, dtype=dtype)
            first_row = 0
            for part_customer, _, columns in self.parts:
                end_row = first_row + len(part_customer)
                if name in columns:
                    column[first_row:end_row] = columns[name]
                first_row = end_row
            table[name] = column[order]
        return table


def add_reporting_delay(
    rng: np.random.Generator, occurred_at: Array, *, late_share: float, mean_days: float
) -> Array:
    """Moments at which events become known: equal to `occurred_at`, or days later for a share."""
    known_at = occurred_at.copy()
    late_rows = np.flatnonzero(rng.random(len(occurred_at), dtype=np.float32) < late_share)
    known_at[late_rows] += (rng.exponential(mean_days * 86_400, len(late_rows))).astype(
        np.int64
    ) + 3600
    return known_at


def coded(codes: Array, names: pa.Array) -> pa.DictionaryArray:
    """Dictionary column of codes; negative ones are null."""
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32), mask=codes < 0), names)


def _nullable(values: Array) -> pa.Array:
    """Integers whose negative values are null."""
    return pa.array(values, mask=values < 0)


def moments(seconds: Array) -> pa.Array:
    """Moments of seconds since 1970; negative ones are null."""
    return pa.array(seconds, mask=seconds < 0).cast(_MOMENT)


def dates(seconds: Array) -> pa.Array:
    """Calendar days of seconds since 1970; negative ones are null."""
    return pa.array((seconds // 86_400).astype(np.int32), mask=seconds < 0).cast(pa.date32())


def event_table(
    rows: dict[str, Array], names: dict[str, pa.Array], *, ids: pa.Array, first_id: int
) -> pa.Table:
    """Arrow table of events with `_EVENT_SCHEMA`, one row an event line.

    Parameters
    ----------
    rows
        From `EventRows.sorted`, with `known` (seconds) and `number` (row number in the block).
    names
        Choice names of each column in `CHOICE_COLUMNS`.
    ids
        Customer ids by position in the block.
    first_id
        Event id of row number 0.
    """
    columns: dict[str, pa.Array] = {
        "event_id": pa.array(first_id + rows["number"]),
        "customer_id": coded(rows["customer"], ids),
        "occurred_at": moments(rows["at"]),
        "known_at": moments(rows["known"]),
        "event_type": coded(rows["kind"], pa.array(_EVENT_TYPES)),
        "value": pa.array(rows["value"], mask=np.isnan(rows["value"])),
        "is_machine": pa.array(rows["is_machine"]),
        **{name: _nullable(rows[name]) for name in ("order_id", "session_id", "quantity")},
        **{name: coded(rows[name], names[name]) for name in CHOICE_COLUMNS},
    }
    return pa.table([columns[name] for name in _EVENT_SCHEMA.names], schema=_EVENT_SCHEMA)
