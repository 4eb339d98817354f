"""Read single rows of the store's DuckDB file, which each publication replaces."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from features.errors import UserError
from features.storage.customer_query import (
    CustomerFilter,
    CustomerQuery,
    count_query,
    memberships_query,
    page_query,
)
from features.storage.duckdb_store import STORE_FILE, DuckDBStore
from features.storage.row_reader import Row

_SCORES, _MEMBERS = "store.customer_scores", "store.audience_members"
_RUN = "SELECT run_id FROM store.runs WHERE is_current"
_SCORED_ROW = "SELECT * FROM store.customer_scores WHERE customer_id = ?"
_AUDIENCE = (
    "SELECT * FROM store.audience_members WHERE campaign_id = ? AND change <> 'removed' "
    "ORDER BY rank NULLS LAST, customer_id LIMIT ? OFFSET ?"
)


@dataclass(frozen=True)
class _OpenFile:
    """A store's file that stays as it is, also after another one was renamed over it."""

    identity: tuple[int, int, int]
    connection: duckdb.DuckDBPyConnection
    run_id: str


@dataclass
class DuckDBReader:
    """The file ``OUTPUT/stagecast.duckdb``, kept open until it is replaced.

    Attributes
    ----------
    output
        The output folder.
    """

    output: Path
    _file: _OpenFile | None = field(default=None, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def current_run_id(self) -> str:
        """Return the id of the current run."""
        return self._opened().run_id

    def scored_row(self, customer: str) -> Row | None:
        """Return the current scored row of a customer; None if there is none."""
        rows = self._rows(self._opened(), _SCORED_ROW, [customer])
        return rows[0] if rows else None

    def audience(self, campaign: str, *, offset: int, limit: int) -> tuple[str, list[Row]]:
        """Return the current run's id, and rows of its audience, in their order."""
        file = self._opened()
        return file.run_id, self._rows(file, _AUDIENCE, [campaign, limit, offset])

    def customers(self, query: CustomerQuery) -> tuple[str, list[Row]]:
        """Return the current run's id, and the scored rows of a page of customers."""
        file, page = self._opened(), page_query(query, _SCORES, _MEMBERS, key="rowid")
        rows = self._rows(file, page.text, page.values)
        return file.run_id, rows[::-1] if query.before is not None else rows

    def count_customers(self, chosen: CustomerFilter) -> int:
        """Return the number of customers of the current run that a filter chooses."""
        count = count_query(chosen, _SCORES, _MEMBERS)
        return int(self._rows(self._opened(), count.text, count.values)[0]["customers"])

    def memberships(self, customer: str) -> list[Row]:
        """Return a customer's rows in the audiences of the current run, also removed ones."""
        rows = memberships_query(customer, _MEMBERS)
        return self._rows(self._opened(), rows.text, rows.values)

    def _rows(self, file: _OpenFile, query: str, values: list[Any]) -> list[Row]:
        try:
            # A cursor of its own: connections are not shared between threads.
            with file.connection.cursor() as cursor:
                result = cursor.execute(query, values)
                names = [column[0] for column in result.description or ()]
                return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
        except duckdb.Error as error:
            raise self._unreadable(type(error).__name__) from error

    def _opened(self) -> _OpenFile:
        """The store's present file, opened if it is another one than before."""
        try:
            stat = os.stat(self.output / STORE_FILE)
        except OSError as error:
            raise self._unreadable(error.strerror or type(error).__name__) from error
        identity = (stat.st_dev, stat.st_ino, stat.st_mtime_ns)
        with self._lock:
            # The connection of the file before is closed when the last request with it ends.
            if self._file is None or self._file.identity != identity:
                connection = DuckDBStore(self.output).attached(threads=1)
                (run_id,) = connection.execute(_RUN).fetchall()[0]
                self._file = _OpenFile(identity, connection, run_id)
            return self._file

    def _unreadable(self, found: str) -> UserError:
        return UserError(
            STORE_FILE,
            found=found,
            expected="the store that a scoring run publishes",
            hint="run `stagecast run`, or `stagecast score`, with this output folder",
        )
