"""The scores store in PostgreSQL: the same tables, replaced in one transaction.

Two tables hold the rows of all runs; readers see views of them, which a publication switches
through one row of ``runs``. So readers never wait, grants persist, and a broken connection or a
killed run changes nothing.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from features.config.database_url import shown, taken_apart
from features.config.secret_values import hidden
from features.errors import UnavailableError, UserError
from features.storage import runs as records
from features.storage.postgres_results import replace_result_rows
from features.storage.postgres_rows import (
    add_missing_columns,
    columns_of,
    copy_rows_in,
    copy_rows_out,
    data_columns,
)
from features.storage.postgres_schema import RUN_COLUMNS, VIEWS, migrate, refresh_views
from features.storage.postgres_sync import refresh_sync_rows
from features.storage.runs import PublishedRun
from features.storage.sync_tables import SYNC_TABLES

if TYPE_CHECKING:
    from psycopg import Connection
    from sqlalchemy import URL

_DEFAULT_SCHEMA = "stagecast"
LOCK_WAIT = "10s"  # a writer waits this long for another one
_NAME = re.compile(r"^[a-z_][a-z0-9_]{0,62}$")


@dataclass(frozen=True)
class PostgresStore:
    """A schema of a PostgreSQL database.

    Attributes
    ----------
    output
        The output folder whose runs it holds.
    url
        Parts of the URL without ``?schema=``; may hold a password and is never shown.
    schema
        The schema: ``stagecast``, or ``?schema=NAME`` of the URL.
    writer
        The open transaction within `alone`; all reads and writes use it.
    """

    output: Path
    url: URL = field(repr=False)
    schema: str = _DEFAULT_SCHEMA
    writer: Connection[Any] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, output: Path, url: str | URL) -> PostgresStore:
        """Return the store behind a URL (percent-encoded if text), in the schema that it names.

        Raises
        ------
        UserError
            If the URL cannot be parsed, or the schema's name is not plain.
        """
        url_parts = taken_apart(url, where="store") if isinstance(url, str) else url
        schema = url_parts.query.get("schema", _DEFAULT_SCHEMA)
        if not isinstance(schema, str) or not _NAME.fullmatch(schema):
            raise UserError(
                "store: schema", found=repr(schema), expected="small letters, digits, underscores"
            )
        return cls(output, url_parts.difference_update_query(["schema"]), schema)

    @property
    def name(self) -> str:
        """Address without user and password."""
        return f"{shown(self.url)} (schema {self.schema})"

    @property
    def parameters(self) -> dict[str, Any]:
        """Connection parameters for libpq, one by one: a password may hold any character."""
        url_parts = self.url
        connection_options = {
            "host": url_parts.host,
            "port": url_parts.port,
            "user": url_parts.username,
            "password": None if url_parts.password is None else str(url_parts.password),
            "dbname": url_parts.database,
            **url_parts.query,
        }
        return {
            option: value for option, value in connection_options.items() if value not in (None, "")
        }

    def there(self) -> bool:
        """Return True if any run has been published."""
        with self._session() as connection:
            return self._has_tables(connection) and bool(self._stored(connection))

    def runs(self) -> list[PublishedRun]:
        """Return all runs in order of publication."""
        with self._session() as connection:
            return self._stored(connection) if self._has_tables(connection) else []

    def current(self) -> tuple[PublishedRun, pd.DataFrame, pd.DataFrame]:
        """Return the current run with its scores and audience, in one transaction."""
        with self._session() as connection:
            run = next(run for run in self._stored(connection) if run.is_current)
            scores = copy_rows_out(connection, self.schema, "customer_scores", ["customer_id"])
            order = ["campaign_id", "rank", "customer_id"]
            audience = copy_rows_out(connection, self.schema, "audience_members", order)
        return run, _frame(scores), _frame(audience)

    def arranged(self, runs: Sequence[PublishedRun]) -> list[PublishedRun]:
        """Return the runs with current status; stored rows count, not files."""
        with self._session() as connection:
            stored_sequences = (
                set(self._held(connection, "score_rows")) if self._has_tables(connection) else set()
            )
        return records.arrange_runs(self.output, runs, stored_sequences=stored_sequences)

    def publish(self, runs: Sequence[PublishedRun], run_id: str) -> None:
        """Publish these runs in one transaction, after migrating older layouts."""
        kept_sequences = {
            published_run.sequence
            for published_run in runs
            if published_run.status == "published" or published_run.is_current
        }
        with self._session(writes=True) as connection:
            migrate(connection, self.schema)
            for table in ("score_rows", "audience_rows"):
                outdated = set(self._held(connection, table)) - kept_sequences
                if outdated:
                    connection.execute(
                        self._sql("DELETE FROM {}.{} WHERE publication = ANY(%s)", table),
                        [sorted(outdated)],
                    )
            new_run = next(run for run in runs if run.run_id == run_id)
            self._add(connection, new_run, "score_rows", new_run.score_files)
            records.boundary("scores written")
            self._add(connection, new_run, "audience_rows", (new_run.audience_file,))
            records.boundary("audience written")
            self._replace_runs(connection, runs)
            refresh_views(connection, self.schema)
            refresh_sync_rows(connection, self.schema)
            replace_result_rows(connection, self.schema, self.output)
            records.boundary("before commit")

    def publish_results(self) -> None:
        """Replace the tables of results by the output folder's files, in one transaction."""
        with self._session(writes=True) as connection:
            if self._has_tables(connection):
                migrate(connection, self.schema)
                replace_result_rows(connection, self.schema, self.output)

    @contextmanager
    def alone(self, who: str) -> Iterator[PostgresStore]:
        """Open the store for one writer in one transaction that holds the lock.

        Raises
        ------
        UserError
            If another writer on any machine holds the store too long.
        """
        with self._session(writes=True) as connection:
            yield replace(self, writer=connection)

    def remove_unfinished(self) -> list[str]:
        """Return nothing: uncommitted work is rolled back."""
        return []

    def members_before(self, day: dt.date) -> pd.DataFrame | None:
        """Return the last row per campaign and customer before a date; None without runs."""
        with self._session() as connection:
            if not self._has_tables(connection) or not self._published_before(connection, day):
                return None
            members = copy_rows_out(
                connection,
                self.schema,
                "audience_members_history",
                ("campaign_id", "customer_id"),
                latest_before=day,
            )
        return _frame(members)

    def entrants_before(self, day: dt.date) -> dict[dt.date, dict[str, int]]:
        """Count the customers added, by snapshot and campaign."""
        with self._session() as connection:
            if not self._has_tables(connection):
                return {}
            entrants: dict[dt.date, dict[str, int]] = {
                run.snapshot_at: {} for run in self._published_before(connection, day)
            }
            added_counts = connection.execute(
                self._sql(
                    "SELECT snapshot_at::date, campaign_id, "
                    "count(*) FILTER (WHERE change = 'added') FROM {}.{} "
                    "WHERE snapshot_at < %s GROUP BY 1, 2",
                    "audience_members_history",
                ),
                [day],
            )
            for snapshot_at, campaign, count in added_counts:
                entrants[snapshot_at][campaign] = count
        return entrants

    def forget(self, customer: str) -> int:
        """Delete every row of a customer in one transaction; return their number."""
        deleted_rows = 0
        with self._session(writes=True) as connection:
            if not self._has_tables(connection):
                return 0
            migrate(connection, self.schema)
            for table in ("score_rows", "audience_rows", *SYNC_TABLES):
                query = self._sql("DELETE FROM {}.{} WHERE customer_id = %s", table)
                deleted_rows += connection.execute(query, [customer]).rowcount
        return deleted_rows

    def rows_of(self, customer: str) -> dict[str, list[dict[str, Any]]]:
        """Return every row of a customer, by view."""
        from psycopg.rows import dict_row

        view_rows = {}
        with self._session() as connection:
            if not self._has_tables(connection):
                return {}
            for view in (*VIEWS, *SYNC_TABLES):
                if not columns_of(connection, self.schema, view):
                    continue  # a store of an earlier layout
                cursor = connection.cursor(row_factory=dict_row)
                cursor.execute(
                    self._sql("SELECT * FROM {}.{} WHERE customer_id = %s", view), [customer]
                )
                view_rows[view] = cursor.fetchall()
        return view_rows

    def drop_runs(self, runs: Sequence[PublishedRun]) -> None:
        """Delete runs with all their rows in one transaction."""
        sequences = [run.sequence for run in runs]
        with self._session(writes=True) as connection:
            for table in ("score_rows", "audience_rows"):
                query = self._sql("DELETE FROM {}.{} WHERE publication = ANY(%s)", table)
                connection.execute(query, [sequences])
            query = self._sql("DELETE FROM {}.{} WHERE sequence = ANY(%s)", "runs")
            connection.execute(query, [sequences])

    def _sql(self, text: str, table: str) -> Any:
        """Format a statement about a table of this schema; the driver quotes names."""
        from psycopg import sql

        return sql.SQL(text).format(sql.Identifier(self.schema), sql.Identifier(table))

    def _has_tables(self, connection: Connection[Any]) -> bool:
        runs_table = connection.execute(
            "SELECT to_regclass(format('%%I.%%I', %s::text, 'runs'))", [self.schema]
        ).fetchone()
        return runs_table is not None and runs_table[0] is not None

    def _stored(self, connection: Connection[Any]) -> list[PublishedRun]:
        rows = connection.execute(self._sql("SELECT * FROM {}.{} ORDER BY sequence", "runs"))
        assert rows.description is not None
        column_names = [column.name for column in rows.description]
        return [
            PublishedRun.model_validate(dict(zip(column_names, row, strict=True))) for row in rows
        ]

    def _held(self, connection: Connection[Any], table: str) -> list[int]:
        rows = connection.execute(self._sql("SELECT DISTINCT publication FROM {}.{}", table))
        return [row[0] for row in rows]

    def _published_before(self, connection: Connection[Any], day: dt.date) -> list[PublishedRun]:
        return [
            run
            for run in self._stored(connection)
            if run.status == "published" and run.snapshot_at < day
        ]

    def _lock(self, connection: Connection[Any]) -> None:
        """Take the lock for one writer on any machine; it ends with the transaction."""
        import psycopg

        connection.execute(psycopg.sql.SQL("SET LOCAL lock_timeout = {}").format(LOCK_WAIT))
        try:
            connection.execute(
                "SELECT pg_advisory_xact_lock(hashtext(%s))", [f"stagecast {self.schema}"]
            )
        except psycopg.errors.LockNotAvailable as error:
            raise UserError(
                self.name,
                found="another run that is publishing there",
                expected="one publication at a time",
                hint="wait until it has ended, and run again; nothing was changed",
            ) from error
        connection.execute("SET LOCAL lock_timeout = DEFAULT")

    def _add(
        self, connection: Connection[Any], run: PublishedRun, table: str, files: Sequence[str]
    ) -> None:
        import pyarrow.parquet as pq

        connection.execute(
            self._sql("DELETE FROM {}.{} WHERE publication = %s", table), [run.sequence]
        )
        for file in files:
            parquet_file = pq.ParquetFile(self.output / file)
            add_missing_columns(
                connection, self.schema, table, data_columns(parquet_file.schema_arrow)
            )
            copy_rows_in(connection, self.schema, table, parquet_file, run.sequence)

    def _replace_runs(self, connection: Connection[Any], runs: Sequence[PublishedRun]) -> None:
        from psycopg import sql

        connection.execute(self._sql("DELETE FROM {}.{}", "runs"))
        column_names = list(RUN_COLUMNS)
        insert = sql.SQL("INSERT INTO {}.{} ({}) VALUES ({})").format(
            sql.Identifier(self.schema),
            sql.Identifier("runs"),
            sql.SQL(", ").join(map(sql.Identifier, column_names)),
            sql.SQL(", ").join([sql.Placeholder()] * len(column_names)),
        )
        run_rows = [run.model_dump() for run in runs]
        values = [[_value(row[name]) for name in column_names] for row in run_rows]
        connection.cursor().executemany(insert, values)

    @contextmanager
    def _session(self, *, writes: bool = False) -> Iterator[Connection[Any]]:
        """Open a transaction: a consistent one for a reader, or the single one of a writer.

        Raises
        ------
        UserError
            If the driver is missing, or the server is unreachable, refuses, or disconnects.
        """
        if self.writer is not None:
            yield self.writer  # committed by the caller that opened it
            return
        try:
            import psycopg
        except ImportError as error:
            raise UserError(
                self.name,
                found="no driver for PostgreSQL",
                expected="the package psycopg",
                hint="pip install 'stagecast[postgres]'",
            ) from error
        try:
            with psycopg.connect(
                **{"connect_timeout": 10, "application_name": "stagecast", **self.parameters}
            ) as connection:
                # A writer's first statement waits for the lock; each later statement must see what
                # was committed by then.
                isolation = psycopg.IsolationLevel
                connection.isolation_level = (
                    isolation.READ_COMMITTED if writes else isolation.REPEATABLE_READ
                )
                connection.execute("SET TIME ZONE 'UTC'")
                if writes:
                    self._lock(connection)
                yield connection
        except psycopg.Error as error:
            raise self._told(error) from error

    def _told(self, error: Exception) -> UserError:
        """Convert the driver's error, without secrets and customer data."""
        import psycopg

        description = type(error).__name__  # messages about data quote the data
        if not isinstance(error, psycopg.DataError | psycopg.IntegrityError):
            # Keep the first line; the details in later lines quote rows.
            description += f": {hidden((str(error).splitlines() or [''])[0])}"
        kind = UnavailableError if isinstance(error, psycopg.OperationalError) else UserError
        return kind(
            self.name,
            found=description,
            expected="a PostgreSQL server that can be reached, and a user who may write there",
            hint="check the server, the URL and the user's rights; what was published before is "
            "unchanged, and running again is safe",
        )


def _value(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _frame(rows: pa.Table) -> pd.DataFrame:
    """Rows as pandas: dates as midnights, text as str."""
    frame: pd.DataFrame = rows.to_pandas(date_as_object=False)
    return frame
