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
    kind, arguments = connection_parts(location.url)
    try:
        remote = (
            getattr(ibis, kind).connect(**arguments)
            if kind
            else ibis.connect(arguments["resource"])
        )
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


def connection_parts(url: str) -> tuple[str, dict[str, Any]]:
    """Ibis's name of a database, and what it connects with: no text is made of a password.

    Raises
    ------
    UserError
        Where the URL cannot be read, or names a variable that is not set.
    """
    whole = NAMED.fullmatch(url.strip())
    if whole is not None:
        url = environment_value(whole[1], _WHERE)
    kind, _, rest = url.partition("://")
    kind = kind.replace("postgresql", "postgres")
    if kind in FILES:
        path, _, query = rest.partition("?")
        database = filled_text(path, _WHERE) if whole is None else path
        if kind == "duckdb" and database.startswith(("md:", "motherduck:")):
            place: Path | str = database
        else:
            place = Path(database).absolute() if database not in ("", ":memory:") else ":memory:"
        options = {
            name: value if whole is not None else filled_text(value, _WHERE)
            for name, value in parse_qsl(query)
        }
        return kind, {"database": place, **_typed(options)}
    if kind not in SERVERS:
        # Nothing is known of its parts: what is filled in is encoded, as in any URL.
        def encoded(match: re.Match[str]) -> str:
            return quote(environment_value(match[1], _WHERE), safe="")

        text = url if whole is not None else NAMED.sub(encoded, url)
        return "", {"resource": text}
    parts = taken_apart(url, where=_WHERE) if whole is not None else filled(url, where=_WHERE)
    database, _, schema = (parts.database or "").partition("/")
    user, password, host = SERVERS[kind]
    arguments = {
        user: parts.username,
        password: None if parts.password is None else str(parts.password),
        host: parts.host,
        "port": parts.port,
        "database": database,
        "schema": schema,
    }
    named = {name: value for name, value in arguments.items() if value not in (None, "")}
    return kind, {**named, **_typed(dict(parts.query))}


def _typed(options: dict[str, Any]) -> dict[str, Any]:
    """Options of a URL, which are text, as the drivers want them: true and false are no text."""
    return {
        name: value.lower() == "true" if str(value).lower() in ("true", "false") else value
        for name, value in options.items()
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
    name = f"remote_{uuid.uuid5(uuid.NAMESPACE_URL, f'{location.url} {location.table}').hex}"
    with remote_rows(location, columns) as rows:
        wanted = rows if most_rows is None else rows.limit(most_rows)
        batches = wanted.to_pyarrow_batches(chunk_size=BATCH_ROWS)
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
        hint="pip install 'stagecast[postgres]'"
        if driver
        else "check the URL, the table name, and that the driver is installed",
    )
