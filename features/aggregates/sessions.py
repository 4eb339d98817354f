"""Sessions by day, including those of anonymous visitors, for the traffic metrics."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from ibis.expr.types import Table

from features.aggregates.expressions import union_all
from features.config.config import Config
from features.sources.events import staged_table_name
from features.sources.identity_resolution import UNLINKED

SESSION_SCHEMA = pa.schema(
    [
        ("day", pa.int32()),
        ("named", pa.bool_()),
        ("sessions", pa.int64()),
        ("one_page", pa.int64()),
        ("pages", pa.int64()),
    ]
)


def session_pages(staged: Table, config: Config) -> Table:
    """Count the pages of every session in the checked rows of one source.

    A page is a touch that carries a session_id; a session is a visitor's (or customer's) pages
    of one session_id.

    Returns
    -------
    Table
        visitor, session_id, day (local day number of its first page), named (0 or 1: some of it
        belongs to a known customer), pages; one row per session.
    """
    is_usable = staged.reason.isnull() & staged.ignored.fill_null(UNLINKED).isin([UNLINKED])
    is_touch = staged.event_type.isin(config.role_types().get("touch", ()))
    page_events = staged.filter(is_usable & is_touch & staged.session_id.notnull())
    visitor_pages = page_events.mutate(
        visitor=page_events.customer_id.coalesce(page_events.anonymous_id)
    )
    return visitor_pages.group_by(["visitor", "session_id"]).agg(
        day=visitor_pages.day.min(),
        named=visitor_pages.customer_id.notnull().cast("int64").max(),
        pages=visitor_pages.count(),
    )


def session_tally(connection: Any, config: Config) -> pa.Table | None:
    """Count sessions of all sources by their first day; None if no source maps session_id.

    Call it after `features.sources.events.read_source` has read every source into the
    connection: a session that began anonymously may be spread over two sources.

    Returns
    -------
    Table or None
        day, named (True if the visitor is a known customer by now), sessions, one_page (sessions
        of one page), pages; one row per day and value of `named`, sorted by both.
    """
    session_parts = staged_pages(connection, config)
    return stored_session_rows(sessions_by_day(session_parts)) if session_parts else None


def staged_pages(connection: Any, config: Config) -> list[Table]:
    """Return the session pages of each source that was read and maps session_id."""
    return [
        session_pages(connection.table(staged_table_name(number)), config)
        for number, source in enumerate(config.sources)
        if source.columns.session_id is not None and source.events != ()
    ]


def sessions_by_day(parts: list[Table]) -> Table:
    """Count sessions by their first day, from their pages in several sources."""
    session_rows = union_all(parts)
    sessions = session_rows.group_by(["visitor", "session_id"]).agg(
        day=session_rows.day.min(), named=session_rows.named.max(), pages=session_rows.pages.sum()
    )
    named_sessions = sessions.mutate(
        named=sessions.named > 0, single=(sessions.pages == 1).cast("int64")
    )
    return named_sessions.group_by(["day", "named"]).agg(
        sessions=named_sessions.count(),
        one_page=named_sessions.single.sum(),
        pages=named_sessions.pages.sum(),
    )


def stored_session_rows(days: Table) -> pa.Table:
    """Return the rows sorted, with the columns of `SESSION_SCHEMA`."""
    return (
        days.order_by(["day", "named"])
        .to_pyarrow()
        .select(SESSION_SCHEMA.names)
        .cast(SESSION_SCHEMA)
    )
