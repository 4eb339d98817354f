"""Read single rows of the current run, again and again, while runs are published."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from features.config.store_location import store_url
from features.storage.customer_query import CustomerFilter, CustomerQuery

Row = Mapping[str, Any]


class RowReader(Protocol):
    """Interface of readers of single rows: safe for threads, and never older than a publication.

    Every method raises `features.errors.UserError` if nothing has been published, or the store
    cannot be read.
    """

    def current_run_id(self) -> str:
        """Return the id of the current run."""

    def scored_row(self, customer: str) -> Row | None:
        """Return the current scored row of a customer; None if there is none."""

    def audience(self, campaign: str, *, offset: int, limit: int) -> tuple[str, list[Row]]:
        """Return the current run's id, and rows of its audience, in their order.

        Removed members are left out. `offset` rows are skipped, and at most `limit` returned.
        """

    def customers(self, query: CustomerQuery) -> tuple[str, list[Row]]:
        """Return the current run's id, and the scored rows of a page of customers."""

    def count_customers(self, chosen: CustomerFilter) -> int:
        """Return the number of customers of the current run that a filter chooses."""

    def memberships(self, customer: str) -> list[Row]:
        """Return a customer's rows in the audiences of the current run, also removed ones."""


def open_reader(output: Path) -> RowReader:
    """Return the reader of an output folder's store (see `features.config.store_location`).

    Raises
    ------
    UserError
        If the store's URL cannot be read.
    """
    url = store_url(output)
    if url is None:
        from features.storage.duckdb_reader import DuckDBReader

        return DuckDBReader(output)
    from features.storage.postgres_reader import PostgresReader
    from features.storage.postgres_store import PostgresStore

    return PostgresReader(PostgresStore.of(output, url))
