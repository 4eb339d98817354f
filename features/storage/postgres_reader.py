"""Read single rows of the PostgreSQL store, over connections that stay open."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from features.errors import UserError
from features.storage.customer_query import (
    CustomerFilter,
    CustomerQuery,
    Query,
    count_query,
    memberships_query,
    page_query,
)
from features.storage.postgres_store import PostgresStore
from features.storage.row_reader import Row

if TYPE_CHECKING:
    from psycopg import Connection

Answer = TypeVar("Answer")
# A visitor waits: a server that does not answer by then counts as away.
_SECONDS = 3
_LIMITS = f"-c statement_timeout={_SECONDS}s -c default_transaction_read_only=on -c TimeZone=UTC"


@dataclass
class PostgresReader:
    """Views of a schema, read over one connection per thread.

    Attributes
    ----------
    store
        The store.
    """

    store: PostgresStore
    _of_thread: threading.local = field(default_factory=threading.local, init=False, repr=False)

    def current_run_id(self) -> str:
        """Return the id of the current run."""
        return self._ask(self._run_id)

    def scored_row(self, customer: str) -> Row | None:
        """Return the current scored row of a customer; None if there is none."""
        from psycopg import sql

        view = sql.Identifier(self.store.schema, "customer_scores")
        query = sql.SQL("SELECT * FROM {} WHERE customer_id = %s").format(view)
        rows = self._ask(lambda connection: _rows(connection, query, [customer]))
        return rows[0] if rows else None

    def audience(self, campaign: str, *, offset: int, limit: int) -> tuple[str, list[Row]]:
        """Return the current run's id, and rows of its audience, in their order."""
        from psycopg import sql

        query = sql.SQL(
            "SELECT * FROM {} WHERE campaign_id = %s AND change <> 'removed' "
            'ORDER BY rank NULLS LAST, customer_id COLLATE "C" LIMIT %s OFFSET %s'
        ).format(sql.Identifier(self.store.schema, "audience_members"))

        def read(connection: Connection[Any]) -> tuple[str, list[Row]]:
            return self._run_id(connection), _rows(connection, query, [campaign, limit, offset])

        return self._ask(read)

    def customers(self, query: CustomerQuery) -> tuple[str, list[Row]]:
        """Return the current run's id, and the scored rows of a page of customers."""
        page = page_query(query, *self._names())

        def read(connection: Connection[Any]) -> tuple[str, list[Row]]:
            return self._run_id(connection), _query_rows(connection, page)

        run_id, rows = self._ask(read)
        return run_id, rows[::-1] if query.before is not None else rows

    def count_customers(self, chosen: CustomerFilter) -> int:
        """Return the number of customers of the current run that a filter chooses."""
        count = count_query(chosen, *self._names())
        return int(self._ask(lambda connection: _query_rows(connection, count))[0]["customers"])

    def memberships(self, customer: str) -> list[Row]:
        """Return a customer's rows in the audiences of the current run, also removed ones."""
        rows = memberships_query(customer, self._names()[1])
        return self._ask(lambda connection: _query_rows(connection, rows))

    def _names(self) -> tuple[str, str]:
        """Quoted names of the views of scores and of audiences; a schema's name is plain."""
        schema = self.store.schema
        return f'"{schema}"."customer_scores"', f'"{schema}"."audience_members"'

    def _run_id(self, connection: Connection[Any]) -> str:
        from psycopg import sql

        runs = sql.Identifier(self.store.schema, "runs")
        rows = _rows(connection, sql.SQL("SELECT run_id FROM {} WHERE is_current").format(runs), [])
        if not rows:
            raise UserError(
                self.store.name,
                found="no current run",
                expected="the store that a scoring run publishes",
                hint="run `stagecast run`, or `stagecast score`, with this store",
            )
        return str(rows[0]["run_id"])

    def _ask(self, read: Callable[[Connection[Any]], Answer]) -> Answer:
        """Result of reading in one consistent transaction.

        A connection that broke since the last request is replaced once.
        """
        import psycopg

        was_open = self._kept() is not None
        try:
            connection = self._connection()
            with connection.transaction():
                return read(connection)
        except psycopg.Error as error:
            self._close()
            if was_open and isinstance(error, psycopg.OperationalError):
                return self._ask(read)
            raise UserError(
                self.store.name,
                found=type(error).__name__,
                expected="a PostgreSQL server that answers, with a published run",
                hint="check the server, the URL and the user's rights",
            ) from error

    def _kept(self) -> Connection[Any] | None:
        """The open connection of this thread."""
        connection: Connection[Any] | None = getattr(self._of_thread, "connection", None)
        return None if connection is None or connection.closed else connection

    def _connection(self) -> Connection[Any]:
        import psycopg

        kept = self._kept()
        if kept is not None:
            return kept
        parameters = {"application_name": "stagecast serve", **self.store.parameters}
        parameters["options"] = f"{parameters.get('options', '')} {_LIMITS}"
        connection = psycopg.connect(**{"connect_timeout": _SECONDS, **parameters})
        connection.autocommit = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.prepare_threshold = None  # a publication may add columns to the views
        self._of_thread.connection = connection
        return connection

    def _close(self) -> None:
        kept, self._of_thread.connection = self._kept(), None
        if kept is not None:
            kept.close()


def _rows(connection: Connection[Any], query: Any, values: list[Any]) -> list[Row]:
    cursor = connection.execute(query, values)
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _query_rows(connection: Connection[Any], query: Query) -> list[Row]:
    """Rows of a query with question marks, which psycopg writes in another way."""
    return _rows(connection, query.text.replace("%", "%%").replace("?", "%s"), query.values)
