"""Events -> tallies: one row a customer, day and event type, written once in Ibis."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
from ibis.expr.types import Table

from features.config import Config
from features.errors import UserError
from features.quarantine import ReadReport
from features.sessions import session_tally
from features.sources import ATTRIBUTE, connect, read_identities, read_source
from features.timeline import day_date

# What an order with a negative total becomes; always of the role `refund`.
NEGATIVE = "negative_amount"


@dataclass(frozen=True)
class Tallies:
    """Mergeable facts of all customers; the only input of features, stages and labels.

    Attributes
    ----------
    daily
        Sorted by customer_id, event_type, day: customer_id, event_type, day, known_day,
        count (purchases: orders), value (sum, integer minor units), largest (value of one
        event), latest (value of the last event), first_at, last_at. ``known_day > day`` marks
        what was learned late; an order learned in parts has its parts as events.
    attributes
        Sorted alike: customer_id, event_type, attribute, choice, day, known_day, count (lines).
    sessions
        See `features.sessions.session_tally`; nothing but traffic is measured by it.
    """

    daily: pa.Table
    attributes: pa.Table
    sessions: pa.Table | None = None


def _orders(events: Table) -> Table:
    """Lines that share customer, order and day are one purchase; other events stay single."""
    numbered = events.mutate(single=ibis.row_number())
    key = events.order_id.isnull().ifelse(numbered.single.cast("string"), "")
    keyed = numbered.mutate(single=key)
    return keyed.group_by(
        ["customer_id", "event_type", "order_id", "single", "day", "known_day"]
    ).agg(value=keyed.value.sum(), first_at=keyed["at"].min(), last_at=keyed["at"].max())


def _signed(orders: Table, config: Config, purchases: list[str], refunds: list[str]) -> Table:
    """Negative purchase totals become refunds; refunds count against spend whatever their sign."""
    negative = orders.event_type.isin(purchases) & (orders.value < 0)
    back = orders.event_type.isin(refunds)
    if config.refunds == "reject" and bool(negative.any().execute()):
        n = int(negative.sum().execute())
        raise UserError(
            "refunds",
            found=f"{n} purchases with a negative amount while the config says `reject`",
            expected="no negative amounts, or another setting",
            mend="set `refunds: net` (they reduce spend) or `separate` (kept apart from spend)",
        )
    value = back.ifelse(-orders.value.abs(), orders.value)
    return orders.mutate(event_type=negative.ifelse(NEGATIVE, orders.event_type), value=value)


def _counted(orders: Table) -> Table:
    """Adds `count`: an order whose lines lie on several days is one purchase on its first day.

    What is known grows line by line. A later line adds its value to the day that holds the order;
    a line that turns up late but lies earlier moves the order there, with all of its value so
    far. Every such change carries the day it became known, so that any past day can be rebuilt.
    """
    one = ibis.literal(1, "int64")
    key = ["customer_id", "event_type", "order_id"]
    named = orders.filter(orders.order_id.notnull())
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


def _last_value(rows: Table, value: Any) -> Any:
    """Value of the row of the last moment; of several at one moment the largest."""
    amount = value.fill_null(0)
    return amount.argmax(ibis.struct({"at": rows.last_at, "amount": amount}))


def daily_tally(events: Table, config: Config) -> Table:
    """Tally of standard events by customer, event type, day and the day they became known."""
    roles = config.role_types()
    orders = _signed(
        _orders(events), config, list(roles.get("purchase", ())), list(roles.get("refund", ()))
    )
    counted = _counted(orders)
    return counted.group_by(["customer_id", "event_type", "day", "known_day"]).agg(
        count=counted["count"].sum(),
        value=counted.value.sum().fill_null(0).cast("int64"),
        largest=counted.value.max().fill_null(0).cast("int64"),
        latest=_last_value(counted, counted.value).fill_null(0).cast("int64"),
        first_at=counted.first_at.min(),
        last_at=counted.last_at.max(),
    )


def attribute_tally(events: Table, attributes: list[str]) -> Table | None:
    """Tally of each declared attribute's choices; null where the source declares none."""
    declared = [a for a in attributes if f"{ATTRIBUTE}{a}" in events.columns]
    if not declared:
        return None
    parts = []
    for attribute in declared:
        column = f"{ATTRIBUTE}{attribute}"
        filled = events.filter(events[column].notnull())
        chosen = filled.mutate(choice=filled[column])
        keys = ["customer_id", "event_type", "choice", "day", "known_day"]
        counted = chosen.group_by(keys).agg(count=chosen.count())
        parts.append(counted.mutate(attribute=ibis.literal(attribute)))
    return reduce(lambda a, b: a.union(b), parts)


def tally(
    config: Config, *, latest: int, quarantine: Path, temporary: Path | None = None
) -> tuple[Tallies, list[ReadReport]]:
    """Read every source of a config and tally it.

    Parameters
    ----------
    config
        The data set.
    latest
        Day number after which no event can be genuine.
    quarantine
        Folder for the rows set aside.
    temporary
        Folder to spill to.

    Returns
    -------
    Tallies
        Of all sources together.
    list of ReadReport
        Of the identities where there are any, and one a source.

    Raises
    ------
    UserError
        As `read_source`, for negative amounts under ``refunds: reject``, for a ``data_through``
        in the future, and where no event is left to tally.
    """
    _refuse_future(config, latest)
    connection = connect(temporary)
    links, reports = read_identities(connection, config, latest=latest, quarantine=quarantine)
    daily, chosen = [], []
    names = [*config.attributes(), "channel"]
    for number in range(len(config.sources)):
        events, report = read_source(
            connection, number, config, latest=latest, quarantine=quarantine, links=links
        )
        daily.append(daily_tally(events, config))
        attributes = attribute_tally(events, names)
        if attributes is not None:
            chosen.append(attributes.select(list(_ATTRIBUTE_SCHEMA.names)))
        reports.append(report)
    sessions = session_tally(connection, config)
    tallies = Tallies(_merged(daily), _attributes(chosen), sessions)
    if tallies.daily.num_rows == 0:
        ignored = "; ".join(f"{r.source}: {reason}: {n}" for r in reports
                            for reason, n in {**r.quarantined, **r.ignored}.items())  # fmt: skip
        raise UserError(
            "sources",
            found=f"no usable events ({ignored})",
            expected="at least one event that counts",
            mend="check `data_through`, `ignored_event_types` and the machine flag",
        )
    return tallies, reports


def _refuse_future(config: Config, latest: int) -> None:
    if config.data_through is not None and config.data_through > day_date(latest):
        raise UserError(
            "data_through",
            found=str(config.data_through),
            expected=f"at most {day_date(latest)}: no later day can be known in full",
        )


_DAILY_KEYS = ["customer_id", "event_type", "day", "known_day"]
_ATTRIBUTE_SCHEMA = pa.schema(
    [
        ("customer_id", pa.string()),
        ("event_type", pa.string()),
        ("attribute", pa.string()),
        ("choice", pa.string()),
        ("day", pa.int32()),
        ("known_day", pa.int32()),
        ("count", pa.int64()),
    ]
)


def _merged(parts: list[Table]) -> pa.Table:
    """One tally of several sources: the facts merge, that is what makes them tallies."""
    together = ibis.union(*parts, distinct=False) if len(parts) > 1 else parts[0]
    merged = together.group_by(_DAILY_KEYS).agg(
        count=together["count"].sum(),
        value=together.value.sum().cast("int64"),
        largest=together.largest.max(),
        latest=_last_value(together, together.latest),
        first_at=together.first_at.min(),
        last_at=together.last_at.max(),
    )
    return merged.order_by(_DAILY_KEYS).to_pyarrow()


def _attributes(parts: list[Table]) -> pa.Table:
    if not parts:
        return _ATTRIBUTE_SCHEMA.empty_table()
    keys: list[Any] = [n for n in _ATTRIBUTE_SCHEMA.names if n != "count"]
    together = ibis.union(*parts, distinct=False) if len(parts) > 1 else parts[0]
    merged = together.group_by(keys).agg(count=together["count"].sum().cast("int64"))
    return merged.order_by(keys).to_pyarrow().cast(_ATTRIBUTE_SCHEMA)
