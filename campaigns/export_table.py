"""Exports as a database table: replaced in one transaction."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import sqlalchemy as sql
from sqlalchemy.exc import SQLAlchemyError

from features.errors import UserError
from features.sources.files import with_secrets

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
        engine = sql.create_engine(with_secrets(url) if url is not None else f"sqlite:///{path}")
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


def unreachable(error: Exception, mend: str) -> UserError:
    """The message where the database of an export cannot be reached or written."""
    return UserError(
        "exports: table",
        found=type(error).__name__,
        expected="a database that can be reached and written, with its driver installed",
        mend=mend,
    )
