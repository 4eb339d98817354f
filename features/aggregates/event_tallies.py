"""Tallies of a few events from a request, counted in plain Python instead of by an engine.

Starting the engine's two dozen queries takes half a second, however few events there are. What is
counted here is what `features.aggregates.daily_aggregates` counts, for events that are plainly
usable; for all others there is no result, and the engine decides (and says what is wrong with
them). Tests hold the two equal.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pyarrow as pa

from features.aggregates.tallies import ATTRIBUTE_SCHEMA, NEGATIVE_AMOUNT, Tallies
from features.calendar import day_number
from features.config.config import Config
from features.contracts import LEFT_OUT
from features.sources.api_events import readable_columns
from features.sources.keys import is_rounded, key_value

_NUMBER = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,6})?")  # others are read by the engine
_PLAIN_KEY = re.compile("[0-9A-Za-z_]+")  # neither a number with a point nor a UUID with dashes
_LARGEST_MINOR = 10**14
_MACHINE = ("true", "t", "1", "yes", "y")
_KEYS = ("order_id", "session_id", "event_id", "product_id")
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_INSTANT = pa.timestamp("us", "UTC")
CHOICE_SCHEMA = pa.schema(
    [
        (f.name, f.type.value_type if pa.types.is_dictionary(f.type) else f.type)
        for f in ATTRIBUTE_SCHEMA
    ]
)
DAILY_SCHEMA = pa.schema(
    [
        ("customer_id", pa.string()),
        ("event_type", pa.string()),
        ("day", pa.int32()),
        ("known_day", pa.int32()),
        ("count", pa.int64()),
        ("value", pa.int64()),
        ("largest", pa.int64()),
        ("latest", pa.int64()),
        ("first_at", _INSTANT),
        ("last_at", _INSTANT),
    ]
)


class _NotPlain(Exception):
    """An event that only the engine can read or refuse."""


class _Line(NamedTuple):
    """A usable event, or what is known of an order on one day: moments in microseconds.

    `value` is in integer minor units, None without an amount; `counts` is 0 for a later part of an
    order, and -1 where an order is withdrawn from a day.
    """

    customer: str
    event_type: str
    order: str | None
    day: int
    known_day: int
    value: int | None
    first_at: int
    last_at: int
    counts: int = 1
    is_stored: bool = False


def plain_tallies(
    events: Sequence[Mapping[str, str]],
    config: Config,
    *,
    latest: int,
    orders: pa.Table | None = None,
) -> Tallies | None:
    """Tallies of some customers' events, equal to those of the engine.

    Parameters
    ----------
    events
        From `features.sources.api_events.checked_events`; at least one.
    config
        Config of the data set.
    latest
        Day number after which no event can be genuine.
    orders
        Stored parts of orders (`features.aggregates.tallies.Tallies.orders`), which a line of the
        same order continues; they are not counted again.

    Returns
    -------
    Tallies or None
        The tables ``daily`` and ``attributes``; None if an event is not plainly usable (a bad
        row, an id to clean, an amount with other signs than digits), or if none counts.
    """
    try:
        usable = list(_usable(events, config, latest))
        signed = _signed(_orders(line for line, _ in usable), config)
        counted = list(_counted([*_stored_lines(orders), *signed]))
    except _NotPlain:
        return None
    if not counted:
        return None
    return Tallies(_daily(counted), _choices(usable))


def _stored_lines(orders: pa.Table | None) -> Iterator[_Line]:
    """Stored parts of orders, as they were known."""
    for row in [] if orders is None else orders.to_pylist():
        first_at, last_at = (
            (row[name] - _EPOCH) // _MICROSECOND for name in ("first_at", "last_at")
        )
        yield _Line(
            row["customer"], row["event_type"], row["order_id"], row["day"], row["known_day"],
            row["value"], first_at, last_at, is_stored=True,
        )  # fmt: skip


def _usable(
    events: Sequence[Mapping[str, str]], config: Config, latest: int
) -> Iterator[tuple[_Line, dict[str, str]]]:
    """Events that count, each with its attributes."""
    allowed = set(readable_columns(config))
    roles = config.role_types()
    known_types = {name for names in roles.values() for name in names}
    known_types |= {*config.ignored_event_types, LEFT_OUT}
    left_out_types = {*config.ignored_event_types, LEFT_OUT}
    money_types = {*roles.get("purchase", ()), *roles.get("refund", ())}
    columns = {column for event in events for column in event}
    attributes = [n for n in dict.fromkeys([*config.attributes(), "channel"]) if n in columns]
    key_names = [name for name in _KEYS if name in columns]
    earliest, scale, zone = day_number(config.earliest), 10**config.minor_units, config.zone
    has_ids = "event_id" in columns
    seen_ids: set[str] = set()
    for event in events:
        customer, event_type = _key(event["customer_id"]), event["event_type"]
        keys = {name: _key(event[name]) for name in key_names if event.get(name)}
        if has_ids:
            if keys.get("event_id", "") in ("", *seen_ids):
                raise _NotPlain
            seen_ids.add(keys["event_id"])
        at, day = _moment(event["occurred_at"], zone)
        known_day = max(day, _moment(event["known_at"], zone)[1])
        value = _minor_units(event.get("value"), scale)
        if (
            event_type not in known_types
            or not earliest <= day <= latest
            or known_day > latest
            or ("value" in allowed and value is None and event_type in money_types)
        ):
            raise _NotPlain
        if (
            event.get("is_machine", "").lower() in _MACHINE
            or event_type in left_out_types
            or customer in config.placeholder_ids
        ):
            continue
        chosen = {n: keys.get(n, event[n]) for n in attributes if event.get(n)}
        order = keys.get("order_id")
        yield _Line(customer, event_type, order, day, known_day, value, at, at), chosen


@lru_cache(maxsize=4096)  # the events of one request share most of their ids and moments
def _key(text: str) -> str:
    if _PLAIN_KEY.fullmatch(text):
        return text
    key = key_value(text)
    if key is None or is_rounded(key) or is_rounded(text):
        raise _NotPlain
    return key


@lru_cache(maxsize=4096)
def _moment(text: str, zone: ZoneInfo) -> tuple[int, int]:
    """Microseconds since 1970 and local day number of an instant in UTC as text."""
    instant = dt.datetime.fromisoformat(text)
    local = instant.astimezone(zone)
    return (instant - _EPOCH) // _MICROSECOND, day_number(local.date())


def _minor_units(text: str | None, scale: int) -> int | None:
    """Amount in integer minor units, halves away from zero as the engine rounds."""
    if not text:
        return None
    if not _NUMBER.fullmatch(text):
        raise _NotPlain
    amount = float(text)
    if abs(amount) * scale > _LARGEST_MINOR:
        raise _NotPlain
    whole = math.trunc(amount * scale)
    rest = amount * scale - whole
    return whole + (0 if abs(rest) < 0.5 else int(math.copysign(1, rest)))


def _orders(lines: Iterable[_Line]) -> Iterator[_Line]:
    """Lines of one order, day and known day as one (see `orders.combine_order_lines`)."""
    grouped: dict[tuple[Any, ...], list[_Line]] = {}
    for line in lines:
        if line.order is None:
            yield line
        else:
            key = (line.customer, line.event_type, line.order, line.day, line.known_day)
            grouped.setdefault(key, []).append(line)
    for same in grouped.values():
        if len(same) == 1:
            yield same[0]
            continue
        amounts = [line.value for line in same if line.value is not None]
        yield same[0]._replace(
            value=sum(amounts) if amounts else None,
            first_at=min(line.first_at for line in same),
            last_at=max(line.last_at for line in same),
        )


def _signed(lines: Iterable[_Line], config: Config) -> Iterator[_Line]:
    """Negative purchases as refunds, and refunds as reductions (see `orders.sign_amounts`)."""
    roles = config.role_types()
    purchases, refunds = set(roles.get("purchase", ())), set(roles.get("refund", ()))
    for line in lines:
        signed, value = line, line.value
        if value is not None and line.event_type in refunds:
            reduction = {"either": -abs(value), "negative": value, "positive": -value}
            signed = signed._replace(value=reduction[config.refund_amounts])
        if value is not None and value < 0 and line.event_type in purchases:
            if config.refunds == "reject":
                raise _NotPlain
            signed = signed._replace(event_type=NEGATIVE_AMOUNT)
        yield signed


def _counted(lines: Iterable[_Line]) -> Iterator[_Line]:
    """Orders of several days as one purchase of their first day (see `orders.count_orders`)."""
    parts_of: dict[tuple[str, str, str], list[_Line]] = {}
    for line in lines:
        if line.order is None:
            yield line
        else:
            parts_of.setdefault((line.customer, line.event_type, line.order), []).append(line)
    for parts in parts_of.values():
        if all(part.is_stored for part in parts):
            continue
        if len(parts) == 1:
            yield parts[0]
            continue
        if len({(part.known_day, part.day) for part in parts}) < len(parts):
            raise _NotPlain  # which part came first is undecided
        order_day, so_far = None, 0
        for part in sorted(parts, key=lambda part: (part.known_day, part.day)):
            if part.is_stored:
                pass
            elif order_day is None:
                yield part
            elif part.day < order_day:
                value = None if part.value is None else part.value + so_far
                yield part._replace(value=value)
                yield part._replace(day=order_day, value=-so_far, counts=-1)
            else:
                yield part._replace(day=order_day, counts=0)
            order_day = part.day if order_day is None else min(order_day, part.day)
            so_far += part.value or 0


def _daily(lines: Iterable[_Line]) -> pa.Table:
    """One row per customer, event type, day and known day (see `expressions.daily_tally`)."""
    days: dict[tuple[str, str, int, int], list[_Line]] = {}
    for line in lines:
        key = (line.customer, line.event_type, line.day, line.known_day)
        days.setdefault(key, []).append(line)
    rows = [
        (
            *key,
            sum(line.counts for line in days[key]),
            sum(line.value or 0 for line in days[key]),
            max((line.value for line in days[key] if line.value is not None), default=0),
            max((line.last_at, line.value or 0) for line in days[key])[1],
            min(line.first_at for line in days[key]),
            max(line.last_at for line in days[key]),
        )
        for key in sorted(days)
    ]
    return _table(rows, DAILY_SCHEMA)


def _choices(usable: Iterable[tuple[_Line, Mapping[str, str]]]) -> pa.Table:
    """Lines by choice of an attribute (see `expressions.attribute_tally`)."""
    counts: dict[tuple[Any, ...], int] = {}
    for line, chosen in usable:
        for attribute, choice in chosen.items():
            key = (line.customer, line.event_type, attribute, choice, line.day, line.known_day)
            counts[key] = counts.get(key, 0) + 1
    return _table([(*key, counts[key]) for key in sorted(counts)], CHOICE_SCHEMA)


def _table(rows: Sequence[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    arrays = []
    for field, values in zip(schema, columns, strict=True):
        kind = field.type
        if pa.types.is_timestamp(kind):
            arrays.append(pa.array(values, pa.int64()).cast(kind))
        else:
            arrays.append(pa.array(values, kind))
    return pa.table(arrays, schema=schema)
