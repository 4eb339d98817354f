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
    where, columns = f"identities: {describe(block.table)}: columns", block.columns
    instant, wall = as_moment(table, columns.linked_at, config.timezone, f"{where}.linked_at")
    rows = table.select(
        anonymous_id=key_column(require(table, columns.anonymous_id, f"{where}.anonymous_id")),
        customer_id=key_column(require(table, columns.customer_id, f"{where}.customer_id")),
        linked_at=instant,
        link_day=wall.date().epoch_days().cast("int32"),
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
    found = chained.min().execute()
    if found is not None and found == found:  # an empty column's minimum may be NaN
        raise UserError(
            f"identities: {name}",
            found=f"{found!r} both as an anonymous_id and as the customer_id of another link",
            expected="links that lead to a customer at once, not to another anonymous id",
            hint="write the last customer_id of the chain into each of its rows; where the same "
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
    once = links.group_by(["anonymous_id", "linked_at"]).agg(
        linked_to=links.customer_id.min(), link_day=links.link_day.min()
    )
    order = ibis.window(group_by=once.anonymous_id, order_by=once.linked_at)
    numbered = once.mutate(
        number=ibis.row_number().over(order), to_at=once.linked_at.lead().over(order)
    )
    kind = once.linked_at.type()
    first, last = (ibis.literal(moment).cast(kind) for moment in (ALWAYS, FOREVER))
    # No nulls and plain comparisons: else the engine compares every event with every link.
    return numbered.mutate(
        from_at=(numbered.number == 0).ifelse(first, numbered.linked_at),
        to_at=numbered.to_at.fill_null(last),
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
    wanted = events.mutate(visitor=events.customer_id.isnull().ifelse(events.anonymous_id, None))
    right = links.rename(visitor="anonymous_id")
    joined: Any = wanted.left_join(
        right,
        [
            wanted.visitor == right.visitor,
            wanted["at"] >= right.from_at,
            wanted["at"] < right.to_at,
        ],
    )
    delayed = (joined.link_day > joined.known_day).fill_null(False)
    # An unreadable moment belongs to no span: the row stays without a customer, and is set aside.
    return joined.mutate(
        customer_id=joined.customer_id.coalesce(joined.linked_to),
        known_day=delayed.ifelse(joined.link_day, joined.known_day),
        link_day=delayed.ifelse(joined.link_day, ibis.null("int32")),
    ).select([*events.columns, "link_day"])


def link_events(events: Table) -> Table:
    """One event for each earlier event that a link made known, on the day of the link.

    They let the rule engine tell a stage change by such news from one by behaviour; no role holds
    them.
    """
    made = events.filter(events.link_day.notnull())
    nothing: dict[str, Any] = {
        name: ibis.null(kind)
        for name, kind in {**events.schema(), "value": "int64"}.items()
        if name not in ("customer_id", "event_type", "at", "day", "known_day")
    }
    return made.select(
        "customer_id",
        "at",
        event_type=ibis.literal(LINK),
        day=made.link_day,
        known_day=made.link_day,
        **nothing,
    )
