"""Lines -> orders: one purchase each, however many lines, days and files it comes in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ibis
from ibis.expr.types import Table

from features.aggregates.dictionary_encoding import Numbers, Texts
from features.aggregates.manifest import CannotExtend
from features.config.config import Config
from features.errors import UserError

# What an order with a negative total becomes; always of the role `refund`.
NEGATIVE = "negative_amount"
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


@dataclass(frozen=True)
class Seen:
    """What stored segments know of orders and event ids, for new files of the same sources.

    Attributes
    ----------
    orders, event_ids
        Parquet files.
    sources
        Position in the whole config of each source that is read now.
    """

    orders: tuple[str, ...] = ()
    event_ids: tuple[str, ...] = ()
    sources: tuple[int, ...] | None = None

    def number(self, source: int) -> int:
        """Position in the whole config."""
        return source if self.sources is None else self.sources[source]


NOTHING_SEEN = Seen()


def orders_of(events: Table) -> Table:
    """Lines that share customer, order and day are one purchase; other events stay single."""
    facts = ("value", "first_at", "last_at")
    moments = events.mutate(first_at=events["at"], last_at=events["at"])
    key = ["customer", "event_type", "order_id", "day", "known_day"]
    named = moments.filter(moments.order_id.notnull())
    together = named.group_by(key).agg(
        value=named.value.sum(), first_at=named.first_at.min(), last_at=named.last_at.max()
    )
    single = moments.filter(moments.order_id.isnull()).select(*key, *facts)
    return ibis.union(together.select(*key, *facts), single, distinct=False)


def signed(orders: Table, numbers: Numbers | Texts, config: Config) -> Table:
    """Negative purchase totals become refunds; refunds count against spend whatever their sign."""
    places, roles = numbers.places("event_type"), config.role_types()
    purchases, refunds = (
        orders.event_type.isin([places[t] for t in roles.get(role, ()) if t in places])
        for role in ("purchase", "refund")
    )
    negative, back = purchases & (orders.value < 0), refunds
    if config.refunds == "reject" and bool(negative.any().execute()):
        n = int(negative.sum().execute())
        raise UserError(
            "refunds",
            found=f"{n} purchases with a negative amount while the config says `reject`",
            expected="no negative amounts, or another setting",
            hint="set `refunds: net` (they reduce spend) or `separate` (kept apart from spend)",
        )
    value = back.ifelse(-orders.value.abs(), orders.value)
    return orders.mutate(
        event_type=negative.ifelse(
            ibis.literal(places[NEGATIVE], orders.event_type.type()), orders.event_type
        ),
        value=value,
    )


def counted_once(orders: Table, before: Table | None = None) -> Table:
    """Adds `count`: an order whose lines lie on several days is one purchase on its first day.

    What is known grows line by line. A later line adds its value to the day that holds the order;
    a line that turns up late but lies earlier moves the order there, with all of its value so
    far. Every such change carries the day it became known, so that any past day can be rebuilt.
    So what is stored of an order stands, and only the lines after it (`before`) make new rows.
    """
    one = ibis.literal(1, "int64")
    key = ["customer", "event_type", "order_id"]
    named = orders.filter(orders.order_id.notnull()).select(*ORDER_COLUMNS)
    named = named.mutate(stored=False)
    if before is not None:
        named = ibis.union(named, before.select(*ORDER_COLUMNS).mutate(stored=True))
    several = named.group_by(key).agg(n=named.count())
    several = several.filter(several.n > 1)
    if int(several.count().execute()) == 0:
        return orders.mutate(count=one)
    parts = named.semi_join(several, key)
    rest = orders.anti_join(several, key).mutate(count=one)
    earlier = ibis.window(
        group_by=[parts[k] for k in key],
        order_by=[parts.known_day, parts.day],
        preceding=(None, 1),
    )
    parts = parts.mutate(
        held=parts.day.min().over(earlier), so_far=parts.value.sum().over(earlier).fill_null(0)
    )
    parts = parts.filter(~parts.stored)
    moves = parts.held.notnull() & (parts.day < parts.held)
    starts = parts.held.isnull() | moves
    arrived = parts.mutate(
        count=starts.ifelse(1, 0).cast("int64"),
        day=starts.ifelse(parts.day, parts.held),
        value=moves.ifelse(parts.value + parts.so_far, parts.value),
    )
    moved = parts.filter(moves)
    withdrawn = moved.mutate(day=moved.held, value=-moved.so_far, count=-one)
    columns = list(rest.columns)
    return ibis.union(rest, arrived.select(columns), withdrawn.select(columns), distinct=False)


def stored_orders(connection: Any, events: Table, seen: Seen, source: int) -> Table | None:
    """What is stored of the orders that have new lines; None where of none."""
    if not seen.orders:
        return None
    kept = connection.read_parquet(list(seen.orders))
    kept = kept.filter(kept.source == seen.number(source)).drop("source")
    kept = kept.semi_join(events.filter(events.order_id.notnull()), "order_id")
    kept = connection.create_table(f"kept_{source}", kept, temp=True)
    return kept if int(kept.count().execute()) else None


def refuse_earlier(orders: Table, before: Table) -> None:
    """Stop where a line was known before, or with, what is stored of its order.

    Raises
    ------
    CannotExtend
        Since rows that are stored would change.
    """
    key = ["customer", "event_type", "order_id"]
    old = before.group_by(key).agg(
        last=ibis.struct({"known": before.known_day, "day": before.day}).max()
    )
    met = orders.inner_join(old, key)
    again = met.filter(ibis.struct({"known": met.known_day, "day": met.day}) <= met["last"])
    if int(again.count().execute()):
        raise CannotExtend("a line came earlier than what was stored of its order")
