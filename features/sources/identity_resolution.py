"""Who an unknown visitor turned out to be: links in time, and what each made known."""

from __future__ import annotations

import datetime as dt
from typing import Any

import ibis
from ibis.expr.types import Table

from features.calendar import day_date
from features.config.config import Config
from features.config.sources import Identities
from features.errors import UserError
from features.sources.column_parsing import as_moment
from features.sources.files import describe, require
from features.sources.keys import key_column

# Why an event of nobody known is not tallied; it counts in traffic.
UNLINKED = "visitor of no known customer"
# An event type of our own: on this day a link made earlier events of the customer known.
LINK = "identity_link"
# Before and after every moment that can be read.
ALWAYS, FOREVER = dt.datetime(1, 1, 2, tzinfo=dt.UTC), dt.datetime(9999, 12, 30, tzinfo=dt.UTC)


def link_rows(table: Table, block: Identities, config: Config, latest: int) -> Table:
    """Links as the table has them, each with the reason why it cannot be used (null: it can).

    Returns
    -------
    Table
        anonymous_id, customer_id, linked_at (instant), link_day (local day number), reason,
        ignored (null); one row a row of the table.
    """
    config_place, columns = f"identities: {describe(block.table)}: columns", block.columns
    instant, wall_clock = as_moment(
        table, columns.linked_at, config.timezone, f"{config_place}.linked_at"
    )
    rows = table.select(
        anonymous_id=key_column(
            require(table, columns.anonymous_id, f"{config_place}.anonymous_id")
        ),
        customer_id=key_column(require(table, columns.customer_id, f"{config_place}.customer_id")),
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
    """Stop where a link leads to an id that is itself anonymous: nobody could say to whom.

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
            expected="links that lead to a customer at once, not to another anonymous id",
            mend="write the last customer_id of the chain into each of its rows; where the same "
            "number names a visitor and a customer by chance, put a letter before one of them",
        )


def spans(links: Table) -> Table:
    """Whose a visitor's events are, by the moment they occurred.

    The first link also takes what happened before it; each later one takes what happens from its
    own moment on, so that nothing ever moves from one customer to another. Of links at the same
    moment the first customer_id in order counts.

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


def linked(events: Table, links: Table | None) -> Table:
    """Standard events with the customers of linked visitors, known no earlier than the link.

    Returns
    -------
    Table
        `customer_id` filled where a link says whose the event is; `known_day` at least the day of
        the link; `link_day` that day where the link made an earlier event known, else null.
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
    # An unreadable moment belongs to no span: the row stays without a customer, and is set aside.
    return joined.mutate(
        customer_id=joined.customer_id.coalesce(joined.linked_to),
        known_day=known_later.ifelse(joined.link_day, joined.known_day),
        link_day=known_later.ifelse(joined.link_day, ibis.null("int32")),
    ).select([*events.columns, "link_day"])


def link_events(events: Table) -> Table:
    """One event for each earlier event that a link made known, on the day of the link.

    They let the rule engine tell a stage change by such news from one by behaviour; no role holds
    them.
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
        event_type=ibis.literal(LINK),
        day=revealed_events.link_day,
        known_day=revealed_events.link_day,
        **empty_columns,
    )
