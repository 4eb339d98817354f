"""Tables behind an Ibis URL: asked for the mapped columns only, and copied in batches."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import ibis
from ibis.expr.types import Table

from features.config.sources import UrlTable
from features.errors import UserError
from features.sources.files import describe, with_secrets

BATCH_ROWS = 100_000
DRIVERS = ("postgres", "postgresql")


@contextmanager
def remote_rows(location: UrlTable, columns: Collection[str] | None = None) -> Iterator[Table]:
    """The table as its own database has it, of some columns; nothing has been read yet.

    Parameters
    ----------
    location
        URL (``${NAME}`` comes from the environment) and table.
    columns
        Names that are wanted where they are there; None for all.

    Raises
    ------
    UserError
        Where the database or the table cannot be reached. It names neither user nor host.
    """
    url = with_secrets(location.url)
    try:
        remote = ibis.connect(url)
    except Exception as error:
        raise _unreachable(location, error) from error
    try:
        table = remote.table(location.table)
        kept = [name for name in table.columns if columns is None or name in columns]
        # Where no mapped column is there, the message about it lists what is.
        yield table.select(kept or table.columns)
    except UserError:
        raise
    except Exception as error:
        raise _unreachable(location, error) from error
    finally:
        remote.disconnect()


def copied(connection: Any, location: UrlTable, columns: Collection[str] | None = None) -> Table:
    """A copy of the table in an embedded engine, made batch by batch (errors: `remote_rows`)."""
    name = f"remote_{uuid.uuid5(uuid.NAMESPACE_URL, f'{location.url} {location.table}').hex}"
    with remote_rows(location, columns) as rows:
        batches = rows.to_pyarrow_batches(chunk_size=BATCH_ROWS)
        incoming = f"{name}_incoming"
        connection.con.register(incoming, batches)
        try:
            return connection.create_table(
                name, connection.table(incoming), temp=True, overwrite=True
            )
        finally:
            connection.con.unregister(incoming)


def _unreachable(location: UrlTable, error: Exception) -> UserError:
    kind = location.url.split("://", maxsplit=1)[0]
    driver = isinstance(error, ImportError) and kind in DRIVERS
    return UserError(
        describe(location),
        found=f"{type(error).__name__}",
        expected="a reachable database and an existing table",
        mend="pip install 'stagecast[postgres]'"
        if driver
        else "check the URL, the table name, and that the driver is installed",
    )
