"""Database tables behind an Ibis URL: only mapped columns are read, in batches."""

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
from features.errors import UnavailableError, UserError
from features.sources.locations import describe_location

_BATCH_ROWS = 100_000
_DRIVERS = ("postgres", "postgresql")
_FILES = ("duckdb", "sqlite")
# Ibis's argument names for user, password and host of a database.
_COMMON = ("user", "password", "host")
_SERVERS = {
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
def open_remote_table(
    location: UrlTable, columns: Collection[str] | None = None
) -> Iterator[Table]:
    """Open a table in its own database, lazily, with some of its columns.

    Parameters
    ----------
    location
        URL (``${NAME}`` comes from the environment) and table.
    columns
        Columns to select if present; None for all.

    Raises
    ------
    UserError
        If the database or table cannot be reached. The message names neither user nor host.
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
        # If no mapped column exists, keep all columns: the error about it lists them.
        yield table.select(selected or table.columns)
    except UserError:
        raise
    except Exception as error:
        raise _unreachable(location, error) from error
    finally:
        remote.disconnect()


def connection_parts(url: str) -> tuple[str, dict[str, Any]]:
    """Return Ibis's backend name and connection arguments of a URL; passwords stay out of text.

    Raises
    ------
    UserError
        If the URL cannot be parsed, or names a variable that is not set.
    """
    whole_variable = NAMED.fullmatch(url.strip())
    if whole_variable is not None:
        url = environment_value(whole_variable[1], _WHERE)
    backend, _, url_rest = url.partition("://")
    backend = backend.replace("postgresql", "postgres")
    if backend in _FILES:
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
        return backend, {"database": database_file, **_typed_options(options)}
    if backend not in _SERVERS:
        # The URL's parts are unknown: values from the environment are percent-encoded.
        def encoded(match: re.Match[str]) -> str:
            return quote(environment_value(match[1], _WHERE), safe="")

        resource = url if whole_variable is not None else NAMED.sub(encoded, url)
        return "", {"resource": resource}
    url_parts = (
        taken_apart(url, where=_WHERE) if whole_variable is not None else filled(url, where=_WHERE)
    )
    database, _, schema = (url_parts.database or "").partition("/")
    user_key, password_key, host_key = _SERVERS[backend]
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
    return backend, {**filled_arguments, **_typed_options(dict(url_parts.query))}


def _typed_options(options: dict[str, Any]) -> dict[str, Any]:
    """Convert URL options to the drivers' types: "true" and "false" become bool."""
    return {
        option: value.lower() == "true" if str(value).lower() in ("true", "false") else value
        for option, value in options.items()
    }


def copy_remote_table(
    connection: Any,
    location: UrlTable,
    columns: Collection[str] | None = None,
    *,
    most_rows: int | None = None,
) -> Table:
    """Copy a table into the embedded engine, batch by batch (errors as `open_remote_table`).

    `most_rows` limits the number of rows.
    """
    table_name = f"remote_{uuid.uuid5(uuid.NAMESPACE_URL, f'{location.url} {location.table}').hex}"
    with open_remote_table(location, columns) as remote_table:
        limited = remote_table if most_rows is None else remote_table.limit(most_rows)
        batches = limited.to_pyarrow_batches(chunk_size=_BATCH_ROWS)
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
    driver_missing = isinstance(error, ImportError) and backend in _DRIVERS
    kind = UnavailableError if type(error).__name__ == "OperationalError" else UserError
    return kind(
        describe_location(location),
        found=f"{type(error).__name__}",
        expected="a reachable database and an existing table",
        hint="pip install 'stagecast[postgres]'"
        if driver_missing
        else "check the URL, the table name, and that the driver is installed",
    )
