"""Read single rows of the PostgreSQL store, over connections that stay open."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from features.errors import UserError
from features.storage.postgres_store import PostgresStore
from features.storage.row_reader import Row

if TYPE_CHECKING:
    from psycopg import Connection

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
        with self._transaction() as connection:
            return self._run_id(connection)

    def scored_row(self, customer: str) -> Row | None:
        """Return the current scored row of a customer; None if there is none."""
        from psycopg import sql

        view = sql.Identifier(self.store.schema, "customer_scores")
        query = sql.SQL("SELECT * FROM {} WHERE customer_id = %s").format(view)
        with self._transaction() as connection:
            rows = self._rows(connection, query, [customer])
        return rows[0] if rows else None

    def audience(self, campaign: str, *, offset: int, limit: int) -> tuple[str, list[Row]]:
        """Return the current run's id, and rows of its audience, in their order."""
        from psycopg import sql

        query = sql.SQL(
            "SELECT * FROM {} WHERE campaign_id = %s AND change <> 'removed' "
            'ORDER BY rank NULLS LAST, customer_id COLLATE "C" LIMIT %s OFFSET %s'
        ).format(sql.Identifier(self.store.schema, "audience_members"))
        with self._transaction() as connection:
            run_id = self._run_id(connection)
            return run_id, self._rows(connection, query, [campaign, limit, offset])

    def _run_id(self, connection: Connection[Any]) -> str:
        from psycopg import sql

        runs = sql.Identifier(self.store.schema, "runs")
        query = sql.SQL("SELECT run_id FROM {} WHERE is_current").format(runs)
        rows = self._rows(connection, query, [])
        if not rows:
            raise UserError(
                self.store.name,
                found="no current run",
                expected="the store that a scoring run publishes",
                hint="run `stagecast run`, or `stagecast score`, with this store",
            )
        return str(rows[0]["run_id"])

    def _rows(self, connection: Connection[Any], query: Any, values: list[Any]) -> list[Row]:
        cursor = connection.execute(query, values)
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    @contextmanager
    def _transaction(self) -> Iterator[Connection[Any]]:
        """One consistent transaction; a broken connection is opened anew by the next one."""
        import psycopg

        try:
            connection = self._connection()
            with connection.transaction():
                yield connection
        except psycopg.Error as error:
            self._close()
            raise UserError(
                self.store.name,
                found=type(error).__name__,
                expected="a PostgreSQL server that answers, with a published run",
                hint="check the server, the URL and the user's rights",
            ) from error

    def _connection(self) -> Connection[Any]:
        import psycopg

        connection: Connection[Any] | None = getattr(self._of_thread, "connection", None)
        if connection is None or connection.closed or connection.broken:
            parameters = {"application_name": "stagecast serve", **self.store.parameters}
            parameters["options"] = f"{parameters.get('options', '')} {_LIMITS}"
            connection = psycopg.connect(**{"connect_timeout": _SECONDS, **parameters})
            connection.autocommit = True
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            self._of_thread.connection = connection
        return connection

    def _close(self) -> None:
        connection: Connection[Any] | None = getattr(self._of_thread, "connection", None)
        self._of_thread.connection = None
        if connection is not None:
            connection.close()
