"""Exports as a database table: replaced in one transaction, read, and rows deleted from it."""

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
BATCH = 5_000


def write_table(rows: pd.DataFrame, path: Path, *, url: str | None) -> None:
    """Replace the table ``stagecast_audience``, all columns text.

    Parameters
    ----------
    rows
        Text, one row a campaign and customer.
    path
        SQLite file, where no other database is named.
    url
        SQLAlchemy URL of another database; ``${NAME}`` is filled in from the environment.

    Raises
    ------
    UserError
        Where the database cannot be reached or written.
    """
    try:
        place = sql.URL.create("sqlite", database=str(path)) if url is None else target_url(url)
        engine = sql.create_engine(place)
        columns = [sql.Column(name, sql.Text) for name in rows.columns]
        table = sql.Table(TABLE, sql.MetaData(), *columns)
        with engine.begin() as connection:
            table.drop(connection, checkfirst=True)
            table.create(connection)
            for start in range(0, len(rows), BATCH):
                part = rows.iloc[start : start + BATCH]
                connection.execute(table.insert(), part.to_dict("records"))
        engine.dispose()
    except (SQLAlchemyError, ImportError) as error:
        raise unreachable(error, "check `url` in the export map") from error


def target_url(url: str) -> sql.URL:
    """A target's `url` with what the environment fills in."""
    return filled(url, where="exports: url")


def unreachable(error: Exception, hint: str) -> UserError:
    """The message where the database of an export cannot be reached or written."""
    return UserError(
        "exports: table",
        found=type(error).__name__,
        expected="a database that can be reached and written, with its driver installed",
        hint=hint,
    )


@dataclass(frozen=True)
class StoredTable:
    """The export table of a database as it stands.

    Attributes
    ----------
    url
        As the export map has it, with ``${NAME}``; or one that is whole.
    columns, rows
        Names, and the cells of each row; none where the table is not there.
    """

    url: str | sql.URL
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]

    @classmethod
    def read(cls, url: str | sql.URL) -> StoredTable:
        """All rows.

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
        """What tells a row from another one."""
        return [joined_cells(row) for row in self.rows]

    def cells(self, place: int) -> dict[str, Any]:
        """A row's cells by column."""
        return dict(zip(self.columns, self.rows[place], strict=True))

    def delete(self, gone: Mask) -> None:
        """Delete some rows, and what a SQLite file keeps of rows that were deleted.

        Of rows that are alike to the last cell, those that stay are written back: a table has no
        other way to tell them apart.

        Raises
        ------
        UserError
            Where the database cannot be reached or written.
        """
        leaving = Counter(row for row, out in zip(self.rows, gone, strict=True) if out)
        staying = Counter(row for row, out in zip(self.rows, gone, strict=True) if not out)
        with _opened(self.url) as connection:
            if leaving:
                table = sql.Table(TABLE, sql.MetaData(), autoload_with=connection)
                for row in leaving:
                    same = [column == cell for column, cell in zip(table.columns, row, strict=True)]
                    connection.execute(table.delete().where(*same))
                    if staying[row]:
                        cells = dict(zip(self.columns, row, strict=True))
                        connection.execute(table.insert(), [cells] * staying[row])
                connection.commit()
                boundary("erase: table written")
            if connection.engine.dialect.name == "sqlite" and self.columns:
                # Also where a killed erasure deleted the rows: their bytes are still there.
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
        raise unreachable(error, "check `url` in the export map, and erase again") from error
