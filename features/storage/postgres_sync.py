"""Tables for reverse ETL in PostgreSQL: only rows that changed are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from features.storage.postgres_rows import columns_of
from features.storage.sync_tables import SYNC_TABLES

if TYPE_CHECKING:
    from psycopg import Connection


def refresh_sync_rows(connection: Connection[Any], schema: str) -> None:
    """Bring the tables up to the current run, within the open transaction."""
    from psycopg import sql

    for table in SYNC_TABLES.values():
        names = {
            "source": sql.Identifier(schema, table.source),
            "before": sql.Identifier(schema, table.name),
            "runs": sql.Identifier(schema, "runs"),
        }
        present = columns_of(connection, schema, table.source)
        query = sql.SQL(table.changes(present, with_unchanged=False)).format(**names)
        replaced = sql.SQL(", ").join(
            sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(name)) for name in table.types
        )
        connection.execute(
            sql.SQL("INSERT INTO {} {} ON CONFLICT (row_id) DO UPDATE SET {}").format(
                names["before"], query, replaced
            )
        )
        connection.execute(sql.SQL(table.missing()).format(**names))
