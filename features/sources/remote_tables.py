"""Tables behind an Ibis URL: asked for the mapped columns only, and copied in batches."""

from __future__ import annotations

import re
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

import ibis
from ibis.expr.types import Table

from features.config.database_url import filled, taken_apart
from features.config.secret_values import NAMED, environment_value, filled_text
from features.config.sources import UrlTable
from features.errors import UserError
from features.sources.files import describe

BATCH_ROWS = 100_000
DRIVERS = ("postgres", "postgresql")
FILES = ("duckdb", "sqlite")
# What Ibis calls user, password and host of a database.
_COMMON = ("user", "password", "host")
SERVERS = {
    "clickhouse": _COMMON,
    "exasol": _COMMON,
    "impala": _COMMON,
    "mssql": _COMMON,
    "mysql": _COMMON,
    "oracle": _COMMON,
    "postgres": _COMMON,
    "risingwave": _COMMON,
    "singlestoredb": _COMMON,
    "snowflake": ("user", "password", "account"),
    "trino": ("user", "auth", "host"),
}
_WHERE = "sources: url"


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
    backend, arguments = connection_parts(location.url)
    try:
        remote = (
            getattr(ibis, backend).connect(**arguments)
            if backend
            else ibis.connect(arguments["resource"])
        )
    except Exception as error:
        raise _unreachable(location, error) from error
    try:
        table = remote.table(location.table)
        selected = [
            column_name
            for column_name in table.columns
            if columns is None or column_name in columns
        ]
        # Where no mapped column is there, the message about it lists what is.
        yield table.select(selected or table.columns)
    except UserError:
        raise
    except Exception as error:
        raise _unreachable(location, error) from error
    finally:
        remote.disconnect()


def connection_parts(url: str) -> tuple[str, dict[str, Any]]:
    """Ibis's name of a database, and what it connects with: no text is made of a password.

    Raises
    ------
    UserError
        Where the URL cannot be read, or names a variable that is not set.
    """
    whole_variable = NAMED.fullmatch(url.strip())
    if whole_variable is not None:
        url = environment_value(whole_variable[1], _WHERE)
    backend, _, url_rest = url.partition("://")
    backend = backend.replace("postgresql", "postgres")
    if backend in FILES:
        file_path, _, query_string = url_rest.partition("?")
        database = filled_text(file_path, _WHERE) if whole_variable is None else file_path
        if backend == "duckdb" and database.startswith(("md:", "motherduck:")):
            database_file: Path | str = database
        else:
            database_file = (
                Path(database).absolute() if database not in ("", ":memory:") else ":memory:"
            )
        options = {
            option: value if whole_variable is not None else filled_text(value, _WHERE)
            for option, value in parse_qsl(query_string)
        }
        return backend, {"database": database_file, **_typed(options)}
    if backend not in SERVERS:
        # Nothing is known of its parts: what is filled in is encoded, as in any URL.
        def encoded(match: re.Match[str]) -> str:
            return quote(environment_value(match[1], _WHERE), safe="")

        resource = url if whole_variable is not None else NAMED.sub(encoded, url)
        return "", {"resource": resource}
    url_parts = (
        taken_apart(url, where=_WHERE) if whole_variable is not None else filled(url, where=_WHERE)
    )
    database, _, schema = (url_parts.database or "").partition("/")
    user_key, password_key, host_key = SERVERS[backend]
    arguments = {
        user_key: url_parts.username,
        password_key: None if url_parts.password is None else str(url_parts.password),
        host_key: url_parts.host,
        "port": url_parts.port,
        "database": database,
        "schema": schema,
    }
    filled_arguments = {
        option: value for option, value in arguments.items() if value not in (None, "")
    }
    return backend, {**filled_arguments, **_typed(dict(url_parts.query))}


def _typed(options: dict[str, Any]) -> dict[str, Any]:
    """Options of a URL, which are text, as the drivers want them: true and false are no text."""
    return {
        option: value.lower() == "true" if str(value).lower() in ("true", "false") else value
        for option, value in options.items()
    }


def copied(
    connection: Any,
    location: UrlTable,
    columns: Collection[str] | None = None,
    *,
    most_rows: int | None = None,
) -> Table:
    """A copy of the table in an embedded engine, made batch by batch (errors: `remote_rows`).

    `most_rows` limits how many rows are asked for.
    """
    table_name = f"remote_{uuid.uuid5(uuid.NAMESPACE_URL, f'{location.url} {location.table}').hex}"
    with remote_rows(location, columns) as remote_table:
        limited = remote_table if most_rows is None else remote_rows_.limit(most_rows)
        batches = limited.to_pyarrow_batches(chunk_size=BATCH_ROWS)
        incoming = f"{table_name}_incoming"
        connection.con.register(incoming, batches)
        try:
            return connection.create_table(
                table_name, connection.table(incoming), temp=True, overwrite=True
            )
        finally:
            connection.con.unregister(incoming)


def _unreachable(location: UrlTable, error: Exception) -> UserError:
    backend = location.url.split("://", maxsplit=1)[0]
    driver_missing = isinstance(error, ImportError) and backend in DRIVERS
    return UserError(
        describe(location),
        found=f"{type(error).__name__}",
        expected="a reachable database and an existing table",
        mend="pip install 'stagecast[postgres]'"
        if driver_missing
        else "check the URL, the table name, and that the driver is installed",
    )
