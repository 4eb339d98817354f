"""Identity resolution: apply links from anonymous visitors to customers, point in time."""

from __future__ import annotations

import datetime as dt
from typing import Any

import ibis
from ibis.expr.types import Table

from features.calendar import day_date
from features.config.config import Config
from features.config.sources import Identities
from features.contracts import IDENTITY_LINK
from features.errors import UserError
from features.sources.column_parsing import parse_moment
from features.sources.files import require_column
from features.sources.key_columns import key_column
from features.sources.locations import describe_location

# Reason why an event without a customer is not aggregated; it counts as traffic.
UNLINKED = "visitor of no known customer"
# Before and after every instant that a source can hold.
ALWAYS, FOREVER = dt.datetime(1, 1, 2, tzinfo=dt.UTC), dt.datetime(9999, 12, 30, tzinfo=dt.UTC)


def link_rows(table: Table, block: Identities, config: Config, latest: int) -> Table:
    """Read the links of the table, each with the reason why it is bad (null: usable).

    Returns
    -------
    Table
        anonymous_id, customer_id, linked_at (instant), link_day (local day number), reason,
        ignored (null); one row per row of the table.
    """
    config_place, columns = f"identities: {describe_location(block.table)}: columns", block.columns
    instant, wall_clock = parse_moment(
        table, columns.linked_at, config.timezone, f"{config_place}.linked_at"
    )
    rows = table.select(
        anonymous_id=key_column(
            require_column(table, columns.anonymous_id, f"{config_place}.anonymous_id")
        ),
        customer_id=key_column(
            require_column(table, columns.customer_id, f"{config_place}.customer_id")
        ),
        linked_at=instant,
        link_day=wall_clock.date().epoch_days().cast("int32"),
    )
    reason = ibis.cases(
        (rows.anonymous_id.isnull(), "anonymous_id is empty"),
        (rows.customer_id.isnull(), "customer_id is empty"),
        (rows.link_day.isnull(), "linked_at is not a readable date or time"),
        (rows.link_day > latest, f"linked_at after {day_date(latest)}"),
        (rows.anonymous_id == rows.customer_id, "an anonymous_id linked to itself"),
        else_=ibis.null("string"),
    )
    return rows.mutate(reason=reason, ignored=ibis.null("string"))


def refuse_chains(links: Table, name: str) -> None:
    """Stop if a link leads to an id that is itself anonymous: the customer is ambiguous.

    Raises
    ------
    UserError
        Naming such an id.
    """
    chained = links.semi_join(
        links.select(customer_id="anonymous_id").distinct(), "customer_id"
    ).customer_id
    chained_id = chained.min().execute()
    if chained_id is not None and chained_id == chained_id:  # an empty column's minimum may be NaN
        raise UserError(
            f"identities: {name}",
            found=f"{chained_id!r} both as an anonymous_id and as the customer_id of another link",
            expected="links that lead directly to a customer, not to another anonymous id",
            hint="write the last customer_id of the chain into each of its rows; where the same "
            "number names a visitor and a customer by chance, put a letter before one of them",
        )


def link_spans(links: Table) -> Table:
    """Return the time spans in which a visitor's events belong to a customer.

    The first link also covers everything before it; each later link starts at its own moment, so
    that no event ever moves between customers. Of links at the same moment the smallest
    customer_id counts.

    Returns
    -------
    Table
        anonymous_id, linked_to, link_day, from_at, to_at (half-open; `ALWAYS` and `FOREVER`
        where unbounded).
    """
    distinct_links = links.group_by(["anonymous_id", "linked_at"]).agg(
        linked_to=links.customer_id.min(), link_day=links.link_day.min()
    )
    link_order = ibis.window(
        group_by=distinct_links.anonymous_id, order_by=distinct_links.linked_at
    )
    numbered = distinct_links.mutate(
        number=ibis.row_number().over(link_order),
        to_at=distinct_links.linked_at.lead().over(link_order),
    )
    moment_type = distinct_links.linked_at.type()
    beginning, end_of_time = (
        ibis.literal(moment).cast(moment_type) for moment in (ALWAYS, FOREVER)
    )
    # No nulls and plain comparisons: else the engine compares every event with every link.
    return numbered.mutate(
        from_at=(numbered.number == 0).ifelse(beginning, numbered.linked_at),
        to_at=numbered.to_at.fill_null(end_of_time),
    ).select("anonymous_id", "linked_to", "link_day", "from_at", "to_at")


def apply_links(events: Table, links: Table | None) -> Table:
    """Fill in the customers of linked visitors; their events are known from the link on.

    Returns
    -------
    Table
        The events with `customer_id` filled by links, `known_day` not before the link's day, and
        `link_day`: that day if the link made an earlier event known, else null.
    """
    if links is None:
        return events.mutate(link_day=ibis.null("int32"))
    visitor_events = events.mutate(
        visitor=events.customer_id.isnull().ifelse(events.anonymous_id, None)
    )
    visitor_links = links.rename(visitor="anonymous_id")
    joined: Any = visitor_events.left_join(
        visitor_links,
        [
            visitor_events.visitor == visitor_links.visitor,
            visitor_events["at"] >= visitor_links.from_at,
            visitor_events["at"] < visitor_links.to_at,
        ],
    )
    known_later = (joined.link_day > joined.known_day).fill_null(False)
    # An unreadable moment matches no span: the row keeps no customer and is quarantined.
    return joined.mutate(
        customer_id=joined.customer_id.coalesce(joined.linked_to),
        known_day=known_later.ifelse(joined.link_day, joined.known_day),
        link_day=known_later.ifelse(joined.link_day, ibis.null("int32")),
    ).select([*events.columns, "link_day"])


def link_events(events: Table) -> Table:
    """Return one event per earlier event that a link made known, dated on the link's day.

    They let the rule engine separate stage changes caused by links from those caused by
    behaviour. No role contains their event type.
    """
    revealed_events = events.filter(events.link_day.notnull())
    empty_columns: dict[str, Any] = {
        column_name: ibis.null(column_type)
        for column_name, column_type in {**events.schema(), "value": "int64"}.items()
        if column_name not in ("customer_id", "event_type", "at", "day", "known_day")
    }
    return revealed_events.select(
        "customer_id",
        "at",
        event_type=ibis.literal(IDENTITY_LINK),
        day=revealed_events.link_day,
        known_day=revealed_events.link_day,
        **empty_columns,
    )
