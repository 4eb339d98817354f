"""Exports as a database table: replace it in one transaction, read it, delete rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sql
from sqlalchemy.exc import SQLAlchemyError

from features.config.database_url import filled
from features.errors import UserError
from features.storage.fault_injection import boundary
from features.storage.row_files import Mask, joined_cells

TABLE, TABLE_FILE = "stagecast_audience", "audience.sqlite"
_BATCH = 5_000


def write_table(rows: pd.DataFrame, path: Path, *, url: str | None) -> None:
    """Replace the table ``stagecast_audience``, all columns text.

    Parameters
    ----------
    rows
        Text columns, one row per campaign and customer.
    path
        SQLite file, used without `url`.
    url
        SQLAlchemy URL of another database; ``${NAME}`` is replaced from the environment.

    Raises
    ------
    UserError
        Where the database cannot be reached or written.
    """
    try:
        database = sql.URL.create("sqlite", database=str(path)) if url is None else target_url(url)
        engine = sql.create_engine(database)
        columns = [sql.Column(name, sql.Text) for name in rows.columns]
        table = sql.Table(TABLE, sql.MetaData(), *columns)
        with engine.begin() as connection:
            table.drop(connection, checkfirst=True)
            table.create(connection)
            for first_row in range(0, len(rows), _BATCH):
                batch = rows.iloc[first_row : first_row + _BATCH]
                connection.execute(table.insert(), batch.to_dict("records"))
        engine.dispose()
    except (SQLAlchemyError, ImportError) as error:
        raise _unreachable(error, "check `url` in the export map") from error


def target_url(url: str) -> sql.URL:
    """URL of a target with environment variables replaced."""
    return filled(url, where="exports: url")


def _unreachable(error: Exception, hint: str) -> UserError:
    """Error for a database that cannot be reached or written."""
    return UserError(
        "exports: table",
        found=type(error).__name__,
        expected="a database that can be reached and written, with its driver installed",
        hint=hint,
    )


@dataclass(frozen=True)
class StoredTable:
    """Content of the export table in a database.

    Attributes
    ----------
    url
        URL of the export map, with ``${NAME}``, or a complete URL.
    columns, rows
        Column names, and the cells of each row; empty if there is no table.
    """

    url: str | sql.URL
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]

    @classmethod
    def read(cls, url: str | sql.URL) -> StoredTable:
        """Read all rows.

        Raises
        ------
        UserError
            Where the database cannot be reached or read.
        """
        with _opened(url) as connection:
            if not sql.inspect(connection).has_table(TABLE):
                return cls(url, (), [])
            table = sql.Table(TABLE, sql.MetaData(), autoload_with=connection)
            rows = [tuple(row) for row in connection.execute(sql.select(table))]
            return cls(url, tuple(table.columns.keys()), rows)

    @property
    def records(self) -> list[bytes]:
        """Cells of each row joined to bytes, to compare rows."""
        return [joined_cells(row) for row in self.rows]

    def cells(self, position: int) -> dict[str, Any]:
        """Cells of a row by column."""
        return dict(zip(self.columns, self.rows[position], strict=True))

    def delete(self, deleted: Mask) -> None:
        """Delete rows, and their remains in a SQLite file.

        Identical rows are all deleted, and those to keep are inserted again: the table has no
        other way to distinguish them.

        Raises
        ------
        UserError
            Where the database cannot be reached or written.
        """
        deleted_rows = Counter(
            row for row, is_deleted in zip(self.rows, deleted, strict=True) if is_deleted
        )
        remaining_rows = Counter(
            row for row, is_deleted in zip(self.rows, deleted, strict=True) if not is_deleted
        )
        with _opened(self.url) as connection:
            if deleted_rows:
                table = sql.Table(TABLE, sql.MetaData(), autoload_with=connection)
                for row in deleted_rows:
                    is_same_row = [
                        column == cell for column, cell in zip(table.columns, row, strict=True)
                    ]
                    connection.execute(table.delete().where(*is_same_row))
                    if remaining_rows[row]:
                        cells = dict(zip(self.columns, row, strict=True))
                        connection.execute(table.insert(), [cells] * remaining_rows[row])
                connection.commit()
                boundary("erase: table written")
            if connection.engine.dialect.name == "sqlite" and self.columns:
                # Always: after an interrupted erasure the bytes of deleted rows are still there.
                connection.execute(sql.text("VACUUM"))


@contextmanager
def _opened(url: str | sql.URL) -> Iterator[sql.Connection]:
    try:
        engine = sql.create_engine(target_url(url) if isinstance(url, str) else url)
        try:
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()
    except (SQLAlchemyError, ImportError) as error:
        raise _unreachable(error, "check `url` in the export map, and erase again") from error
