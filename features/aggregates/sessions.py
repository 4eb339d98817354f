"""Visits: sessions by day, also those of visitors without a name, for the metrics of traffic."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from ibis.expr.types import Table

from features.aggregates.expressions import together
from features.config.config import Config
from features.sources.events import staged_table_name
from features.sources.identity_resolution import UNLINKED

SCHEMA = pa.schema(
    [
        ("day", pa.int32()),
        ("named", pa.bool_()),
        ("sessions", pa.int64()),
        ("one_page", pa.int64()),
        ("pages", pa.int64()),
    ]
)


def session_pages(staged: Table, config: Config) -> Table:
    """Pages of every session in the checked rows of one source.

    A page is a touch that carries a session_id; a session is a visitor's (or customer's) pages
    of one session_id.

    Returns
    -------
    Table
        visitor, session_id, day (local day number of its first page), named (0 or 1: some of it
        is a known customer's), pages; one row a session.
    """
    counts = staged.reason.isnull() & staged.ignored.fill_null(UNLINKED).isin([UNLINKED])
    touches = staged.event_type.isin(config.role_types().get("touch", ()))
    pages = staged.filter(counts & touches & staged.session_id.notnull())
    keyed = pages.mutate(visitor=pages.customer_id.coalesce(pages.anonymous_id))
    return keyed.group_by(["visitor", "session_id"]).agg(
        day=keyed.day.min(),
        named=keyed.customer_id.notnull().cast("int64").max(),
        pages=keyed.count(),
    )


def session_tally(connection: Any, config: Config) -> pa.Table | None:
    """Sessions of all sources by the day on which they began; null where none maps session_id.

    To be called once `features.sources.events.read_source` has read every source into the
    connection: a
    session that began before its visitor gave a name may lie in two of them.

    Returns
    -------
    Table or None
        day, named (whether the visitor is a known customer by now), sessions, one_page (sessions
        of one page), pages; one row a day and kind of visitor, sorted by both.
    """
    parts = staged_pages(connection, config)
    return as_stored(by_day(parts)) if parts else None


def staged_pages(connection: Any, config: Config) -> list[Table]:
    """Pages of the sessions of each source that was read and maps session_id."""
    return [
        session_pages(connection.table(staged_table_name(number)), config)
        for number, source in enumerate(config.sources)
        if source.columns.session_id is not None and source.events != ()
    ]


def by_day(parts: list[Table]) -> Table:
    """Sessions by the day on which they began, from their pages in several sources."""
    pages = together(parts)
    sessions = pages.group_by(["visitor", "session_id"]).agg(
        day=pages.day.min(), named=pages.named.max(), pages=pages.pages.sum()
    )
    named = sessions.mutate(named=sessions.named > 0, single=(sessions.pages == 1).cast("int64"))
    return named.group_by(["day", "named"]).agg(
        sessions=named.count(), one_page=named.single.sum(), pages=named.pages.sum()
    )


def as_stored(days: Table) -> pa.Table:
    """The rows in order, with the columns of `SCHEMA`."""
    return days.order_by(["day", "named"]).to_pyarrow().select(SCHEMA.names).cast(SCHEMA)
