"""Tables of results in PostgreSQL: replaced by the files of the output folder that publishes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from features.storage.postgres_rows import add_missing_columns, copy_batches_in, data_columns
from features.storage.result_tables import RESULT_TABLES, ResultTable, result_file, stored_results

if TYPE_CHECKING:
    from psycopg import Connection


def replace_result_rows(connection: Connection[Any], schema: str, output: Path) -> None:
    """Replace the tables of results within the open transaction.

    A table without a file keeps its rows: another output folder may have published them. So do
    periods of which the file has no rows.
    """
    for table in RESULT_TABLES.values():
        add_missing_columns(connection, schema, table.name, data_columns(table.schema))
        if not result_file(output, table).is_file():
            continue
        rows = stored_results(output, table)
        _delete_replaced(connection, schema, table, rows)
        copy_batches_in(connection, schema, table.name, rows.column_names, [rows])


def _delete_replaced(
    connection: Connection[Any], schema: str, table: ResultTable, rows: pa.Table
) -> None:
    """Delete the rows that new ones replace."""
    from psycopg import sql

    delete = sql.SQL("DELETE FROM {}").format(sql.Identifier(schema, table.name))
    if table.period is None:
        connection.execute(delete)
        return
    condition = sql.SQL(" WHERE {} = ANY(%s)").format(sql.Identifier(table.period))
    connection.execute(delete + condition, [rows[table.period].unique().to_pylist()])
