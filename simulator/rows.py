"""Event rows of a block of customers: gathered as codes, sorted, written as Arrow tables."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from simulator.shared_settings import Array

# Event types in code order. Several roles can share a type; the config maps them.
TYPES = (
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
CODE = {name: code for code, name in enumerate(TYPES)}
TEXT = pa.dictionary(pa.int32(), pa.string())
MOMENT = pa.timestamp("s", tz="UTC")
# Columns that hold codes of a choice, with the attribute whose names they stand for.
CODED = (
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
EVENT_SCHEMA = pa.schema(
    [
        ("event_id", pa.int64()),
        ("customer_id", TEXT),
        ("occurred_at", MOMENT),
        ("known_at", MOMENT),
        ("event_type", TEXT),
        ("channel", TEXT),
        ("value", pa.float64()),
        ("order_id", pa.int64()),
        ("session_id", pa.int64()),
        ("is_machine", pa.bool_()),
        ("product_id", TEXT),
        ("product_type", TEXT),
        ("brand", TEXT),
        ("size", TEXT),
        ("colour", TEXT),
        ("quantity", pa.int8()),
        ("payment_method", TEXT),
        ("point_of_sale", TEXT),
        ("delivery_method", TEXT),
        ("destination", TEXT),
        ("campaign_id", TEXT),
    ]
)
# Working columns: type, and what stands for null.
WORKING: dict[str, tuple[type, float]] = {
    "kind": (np.int8, -1),
    **{name: (np.int16, -1) for name in CODED},
    "value": (np.float64, np.nan),
    "order_id": (np.int64, -1),
    "session_id": (np.int64, -1),
    "quantity": (np.int8, -1),
    "is_machine": (np.bool_, 0),
}


@dataclass
class Rows:
    """Rows gathered so far.

    Attributes
    ----------
    parts
        Column arrays or constants of each addition; absent columns are null.
    """

    parts: list[tuple[Array, Array, dict[str, Array | int]]] = field(default_factory=list)

    def add(self, kind: str, customer: Array, at: Array, **columns: Array | int) -> None:
        """Add events of one type: customer (position in the block) and moment of each."""
        self.parts.append((customer, at, {"kind": CODE[kind], **columns}))

    def sorted(self, *, before: int) -> dict[str, Array]:
        """All rows before a moment, by customer and moment, as one array a column."""
        customer = np.concatenate([part[0] for part in self.parts]).astype(np.int64)
        at = np.concatenate([part[1] for part in self.parts]).astype(np.int64)
        # One key sorts faster than two; moments fit into 34 bits until the year 2500.
        order = np.argsort((customer << 34) | at, kind="stable")
        order = order[at[order] < before]
        table: dict[str, Array] = {"customer": customer[order], "at": at[order]}
        for name, (dtype, null) in WORKING.items():
            column: Array = np.full(len(at), null, dtype=dtype)
            start = 0
            for part_customer, _, columns in self.parts:
                stop = start + len(part_customer)
                if name in columns:
                    column[start:stop] = columns[name]
                start = stop
            table[name] = column[order]
        return table


def known_at(rng: np.random.Generator, at: Array, *, share: float, days: float) -> Array:
    """When each event became known: at once, or for some a few days later."""
    known = at.copy()
    late = np.flatnonzero(rng.random(len(at), dtype=np.float32) < share)
    known[late] += (rng.exponential(days * 86_400, len(late))).astype(np.int64) + 3600
    return known


def coded(codes: Array, names: pa.Array) -> pa.DictionaryArray:
    """Dictionary column of codes; negative ones are null."""
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32), mask=codes < 0), names)


def nullable(values: Array) -> pa.Array:
    """Integers whose negative values are null."""
    return pa.array(values, mask=values < 0)


def moments(seconds: Array) -> pa.Array:
    """Moments of seconds since 1970; negative ones are null."""
    return pa.array(seconds, mask=seconds < 0).cast(MOMENT)


def dates(seconds: Array) -> pa.Array:
    """Calendar days of seconds since 1970; negative ones are null."""
    return pa.array((seconds // 86_400).astype(np.int32), mask=seconds < 0).cast(pa.date32())


def event_table(
    rows: dict[str, Array], names: dict[str, pa.Array], *, ids: pa.Array, first_id: int
) -> pa.Table:
    """Events as written: `EVENT_SCHEMA`, one row an event line.

    Parameters
    ----------
    rows
        From `Rows.sorted`, with `known` and `number` (running within the block) added.
    names
        Choice names of each coded column.
    ids
        Customer names by position in the block.
    first_id
        Event id of running number 0.
    """
    columns: dict[str, pa.Array] = {
        "event_id": pa.array(first_id + rows["number"]),
        "customer_id": coded(rows["customer"], ids),
        "occurred_at": moments(rows["at"]),
        "known_at": moments(rows["known"]),
        "event_type": coded(rows["kind"], pa.array(TYPES)),
        "value": pa.array(rows["value"], mask=np.isnan(rows["value"])),
        "is_machine": pa.array(rows["is_machine"]),
        **{name: nullable(rows[name]) for name in ("order_id", "session_id", "quantity")},
        **{name: coded(rows[name], names[name]) for name in CODED},
    }
    return pa.table([columns[name] for name in EVENT_SCHEMA.names], schema=EVENT_SCHEMA)
