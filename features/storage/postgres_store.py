"""The scores store in PostgreSQL: the same tables, replaced in one transaction.

Rows of all runs stand in two tables; what readers see are views of them, which a publication turns
over by one row of ``runs``. So readers never wait, grants last, and a broken connection or a killed
run leaves everything as it was.
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
from features.errors import UserError
from features.storage import runs as records
from features.storage.postgres_rows import copied_in, copied_out, data_columns, fitted
from features.storage.postgres_schema import COLUMNS_OF_RUNS, VIEWS, migrated, refreshed_views
from features.storage.runs import PublishedRun

if TYPE_CHECKING:
    from psycopg import Connection
    from sqlalchemy import URL

SCHEMA = "stagecast"
LOCK_WAIT = "10s"  # how long a writer waits for another one
_NAME = re.compile(r"^[a-z_][a-z0-9_]{0,62}$")


@dataclass(frozen=True)
class PostgresStore:
    """A schema of a PostgreSQL database.

    Attributes
    ----------
    output
        The output folder whose runs it holds.
    url
        Parts of the URL without ``?schema=``; it may hold a password and is never told.
    schema
        The schema: ``stagecast``, or what the URL says with ``?schema=NAME``.
    writer
        The open transaction of a store that is held by `alone`; all is read and written in it.
    """

    output: Path
    url: URL = field(repr=False)
    schema: str = SCHEMA
    writer: Connection[Any] | None = field(default=None, repr=False)

    @classmethod
    def of(cls, output: Path, url: str | URL) -> PostgresStore:
        """Store behind a URL, percent-encoded where it is a text, in the schema that it names.

        Raises
        ------
        UserError
            Where the URL cannot be read, or the schema has no plain name.
        """
        parts = taken_apart(url, where="store") if isinstance(url, str) else url
        schema = parts.query.get("schema", SCHEMA)
        if not isinstance(schema, str) or not _NAME.fullmatch(schema):
            raise UserError(
                "store: schema", found=repr(schema), expected="small letters, digits, underscores"
            )
        return cls(output, parts.difference_update_query(["schema"]), schema)

    @property
    def name(self) -> str:
        """The place without user and password."""
        return f"{shown(self.url)} (schema {self.schema})"

    @property
    def parameters(self) -> dict[str, Any]:
        """What libpq is given, each part by itself: a password may hold any sign."""
        parts = self.url
        named = {
            "host": parts.host,
            "port": parts.port,
            "user": parts.username,
            "password": None if parts.password is None else str(parts.password),
            "dbname": parts.database,
            **parts.query,
        }
        return {name: value for name, value in named.items() if value not in (None, "")}

    def there(self) -> bool:
        """Whether anything has been published."""
        with self._session() as con:
            return self._has_tables(con) and bool(self._stored(con))

    def runs(self) -> list[PublishedRun]:
        """Every run in it, in the order of publication."""
        with self._session() as con:
            return self._stored(con) if self._has_tables(con) else []

    def current(self) -> tuple[PublishedRun, pd.DataFrame, pd.DataFrame]:
        """The current run, its scores and its audience, all of one moment."""
        with self._session() as con:
            run = next(run for run in self._stored(con) if run.is_current)
            scores = copied_out(con, self.schema, "customer_scores", ["customer_id"])
            order = ["campaign_id", "rank", "customer_id"]
            audience = copied_out(con, self.schema, "audience_members", order)
        return run, _frame(scores), _frame(audience)

    def arranged(self, runs: Sequence[PublishedRun]) -> list[PublishedRun]:
        """The runs as they are after the last publication; rows count, and not files."""
        with self._session() as con:
            held = set(self._held(con, "score_rows")) if self._has_tables(con) else set()
        return records.arranged(self.output, runs, held=held)

    def publish(self, runs: Sequence[PublishedRun], run_id: str) -> None:
        """Bring the tables to these runs in one transaction; older layouts are brought up first."""
        kept = {r.sequence for r in runs if r.status == "published" or r.is_current}
        with self._session(writes=True) as con:
            migrated(con, self.schema)
            for table in ("score_rows", "audience_rows"):
                gone = set(self._held(con, table)) - kept
                if gone:
                    con.execute(
                        self._sql("DELETE FROM {}.{} WHERE publication = ANY(%s)", table),
                        [sorted(gone)],
                    )
            new = next(run for run in runs if run.run_id == run_id)
            self._add(con, new, "score_rows", new.score_files)
            records.boundary("scores written")
            self._add(con, new, "audience_rows", (new.audience_file,))
            records.boundary("audience written")
            self._replace_runs(con, runs)
            refreshed_views(con, self.schema)
            records.boundary("before commit")

    @contextmanager
    def alone(self, who: str) -> Iterator[PostgresStore]:
        """The store for one writer, in one transaction, which holds the lock from its beginning.

        Raises
        ------
        UserError
            Where another one, from whatever machine, holds the store for longer than a little.
        """
        with self._session(writes=True) as con:
            yield replace(self, writer=con)

    def remove_unfinished(self) -> list[str]:
        """Nothing: what is not committed was never there."""
        return []

    def members_before(self, day: dt.date) -> pd.DataFrame | None:
        """The last row of every campaign and customer before a date; None without any run."""
        with self._session() as con:
            if not self._has_tables(con) or not self._published_before(con, day):
                return None
            found = copied_out(
                con,
                self.schema,
                "audience_members_history",
                ("campaign_id", "customer_id"),
                latest_before=day,
            )
        return _frame(found)

    def entrants_before(self, day: dt.date) -> dict[dt.date, dict[str, int]]:
        """Customers added, by snapshot and campaign."""
        with self._session() as con:
            if not self._has_tables(con):
                return {}
            found: dict[dt.date, dict[str, int]] = {
                run.snapshot_at: {} for run in self._published_before(con, day)
            }
            counted = con.execute(
                self._sql(
                    "SELECT snapshot_at::date, campaign_id, "
                    "count(*) FILTER (WHERE change = 'added') FROM {}.{} "
                    "WHERE snapshot_at < %s GROUP BY 1, 2",
                    "audience_members_history",
                ),
                [day],
            )
            for snapshot_at, campaign, count in counted:
                found[snapshot_at][campaign] = count
        return found

    def forget(self, customer: str) -> int:
        """Delete every row of a customer in one transaction; how many."""
        gone = 0
        with self._session(writes=True) as con:
            if not self._has_tables(con):
                return 0
            for table in ("score_rows", "audience_rows"):
                query = self._sql("DELETE FROM {}.{} WHERE customer_id = %s", table)
                gone += con.execute(query, [customer]).rowcount
        return gone

    def rows_of(self, customer: str) -> dict[str, list[dict[str, Any]]]:
        """Every row of a customer in what readers see."""
        from psycopg.rows import dict_row

        found = {}
        with self._session() as con:
            if not self._has_tables(con):
                return {}
            for view in VIEWS:
                cursor = con.cursor(row_factory=dict_row)
                cursor.execute(
                    self._sql("SELECT * FROM {}.{} WHERE customer_id = %s", view), [customer]
                )
                found[view] = cursor.fetchall()
        return found

    def drop_runs(self, runs: Sequence[PublishedRun]) -> None:
        """Delete runs with all their rows in one transaction."""
        sequences = [run.sequence for run in runs]
        with self._session(writes=True) as con:
            for table in ("score_rows", "audience_rows"):
                query = self._sql("DELETE FROM {}.{} WHERE publication = ANY(%s)", table)
                con.execute(query, [sequences])
            query = self._sql("DELETE FROM {}.{} WHERE sequence = ANY(%s)", "runs")
            con.execute(query, [sequences])

    def _sql(self, text: str, table: str) -> Any:
        """A statement about a table of this schema; names are quoted by the driver."""
        from psycopg import sql

        return sql.SQL(text).format(sql.Identifier(self.schema), sql.Identifier(table))

    def _has_tables(self, con: Connection[Any]) -> bool:
        found = con.execute(
            "SELECT to_regclass(format('%%I.%%I', %s::text, 'runs'))", [self.schema]
        ).fetchone()
        return found is not None and found[0] is not None

    def _stored(self, con: Connection[Any]) -> list[PublishedRun]:
        rows = con.execute(self._sql("SELECT * FROM {}.{} ORDER BY sequence", "runs"))
        assert rows.description is not None
        names = [column.name for column in rows.description]
        return [PublishedRun.model_validate(dict(zip(names, row, strict=True))) for row in rows]

    def _held(self, con: Connection[Any], table: str) -> list[int]:
        rows = con.execute(self._sql("SELECT DISTINCT publication FROM {}.{}", table))
        return [row[0] for row in rows]

    def _published_before(self, con: Connection[Any], day: dt.date) -> list[PublishedRun]:
        return [r for r in self._stored(con) if r.status == "published" and r.snapshot_at < day]

    def _lock(self, con: Connection[Any]) -> None:
        """Let one writer at a time in, from any machine; the lock ends with the transaction."""
        import psycopg

        con.execute(psycopg.sql.SQL("SET LOCAL lock_timeout = {}").format(LOCK_WAIT))
        try:
            con.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"stagecast {self.schema}"])
        except psycopg.errors.LockNotAvailable as error:
            raise UserError(
                self.name,
                found="another run that is publishing there",
                expected="one publication at a time",
                hint="wait until it has ended, and run again; nothing was changed",
            ) from error
        con.execute("SET LOCAL lock_timeout = DEFAULT")

    def _add(
        self, con: Connection[Any], run: PublishedRun, table: str, files: Sequence[str]
    ) -> None:
        import pyarrow.parquet as pq

        con.execute(self._sql("DELETE FROM {}.{} WHERE publication = %s", table), [run.sequence])
        for file in files:
            rows = pq.ParquetFile(self.output / file)
            fitted(con, self.schema, table, data_columns(rows.schema_arrow))
            copied_in(con, self.schema, table, rows, run.sequence)

    def _replace_runs(self, con: Connection[Any], runs: Sequence[PublishedRun]) -> None:
        from psycopg import sql

        con.execute(self._sql("DELETE FROM {}.{}", "runs"))
        names = list(COLUMNS_OF_RUNS)
        insert = sql.SQL("INSERT INTO {}.{} ({}) VALUES ({})").format(
            sql.Identifier(self.schema),
            sql.Identifier("runs"),
            sql.SQL(", ").join(map(sql.Identifier, names)),
            sql.SQL(", ").join([sql.Placeholder()] * len(names)),
        )
        rows = [run.model_dump() for run in runs]
        values = [[_value(row[name]) for name in names] for row in rows]
        con.cursor().executemany(insert, values)

    @contextmanager
    def _session(self, *, writes: bool = False) -> Iterator[Connection[Any]]:
        """One transaction: of a reader, who sees one moment, or of the one writer there may be.

        Raises
        ------
        UserError
            Where the driver is missing, or the server is out of reach, refuses, or goes away.
        """
        if self.writer is not None:
            yield self.writer  # it is committed where it was opened
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
            ) as con:
                # A writer's first statement waits for the lock. Only what is read after that may
                # count, so each statement sees what is committed by then.
                level = psycopg.IsolationLevel
                con.isolation_level = level.READ_COMMITTED if writes else level.REPEATABLE_READ
                con.execute("SET TIME ZONE 'UTC'")
                if writes:
                    self._lock(con)
                yield con
        except psycopg.Error as error:
            raise self._told(error) from error

    def _told(self, error: Exception) -> UserError:
        """The driver's error without what may hold a secret or a customer."""
        import psycopg

        found = type(error).__name__
        # What a server says of data quotes them.
        if not isinstance(error, psycopg.DataError | psycopg.IntegrityError):
            # The server's details, which quote rows, stand in later lines.
            found += f": {hidden((str(error).splitlines() or [''])[0])}"
        return UserError(
            self.name,
            found=found,
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
