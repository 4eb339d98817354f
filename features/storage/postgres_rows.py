"""Copy rows between Arrow and PostgreSQL: exact numbers, and null differs from empty text."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv as csv

from features.errors import UserError

if TYPE_CHECKING:
    import pyarrow.parquet as pq
    from psycopg import Connection

_BATCH_ROWS = 50_000
# PostgreSQL type -> Arrow type.
_ARROW = {
    "text": pa.string(),
    "double precision": pa.float64(),
    "bigint": pa.int64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp without time zone": pa.timestamp("us"),
}


def data_columns(schema: pa.Schema) -> dict[str, str]:
    """Return the PostgreSQL type of every column of a parquet file."""
    return {field.name: _type(field) for field in schema}


def _type(field: pa.Field) -> str:
    arrow_type = field.type
    if (
        pa.types.is_string(arrow_type)
        or pa.types.is_large_string(arrow_type)
        or pa.types.is_null(arrow_type)
    ):
        return "text"
    if pa.types.is_floating(arrow_type):
        return "double precision"
    if pa.types.is_integer(arrow_type):
        return "bigint"
    if pa.types.is_boolean(arrow_type):
        return "boolean"
    if pa.types.is_date(arrow_type):
        return "date"
    if pa.types.is_timestamp(arrow_type) and arrow_type.tz is None:
        return "timestamp without time zone"
    raise ValueError(f"column {field.name!r} of type {arrow_type}, which the store does not hold")


def columns_of(connection: Connection[Any], schema: str, table: str) -> dict[str, str]:
    """Return the columns of a table or view with types, in order; empty if it does not exist."""
    column_rows = connection.execute(
        "SELECT column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
        [schema, table],
    )
    return dict(column_rows.fetchall())


def add_missing_columns(
    connection: Connection[Any], schema: str, table: str, columns: Mapping[str, str]
) -> None:
    """Add columns that a table lacks.

    Raises
    ------
    UserError
        If a column's type has changed.
    """
    from psycopg import sql

    present = columns_of(connection, schema, table)
    for column_name, column_type in columns.items():
        if column_name not in present:
            connection.execute(
                sql.SQL("ALTER TABLE {} ADD COLUMN {} {}").format(
                    sql.Identifier(schema, table),
                    sql.Identifier(column_name),
                    sql.SQL(column_type),
                )
            )
        elif not _fits(column_type, present[column_name]):
            raise UserError(
                f"store: column {column_name}",
                found=f"{column_type}, where earlier runs have {present[column_name]}",
                expected="one type for a column in all runs",
                hint="publish to another schema (?schema=NAME), or remove the old runs",
            )


def _fits(new: str, present: str) -> bool:
    """Return True if values of one type can be stored in a column of another.

    A column without values is written as text; real text is refused by the server.
    """
    date_types = {"date", "timestamp without time zone"}
    return (
        new in (present, "text")
        or {new, present} <= date_types
        or (new, present) == ("bigint", "double precision")
    )


def copy_rows_in(
    connection: Connection[Any], schema: str, table: str, rows: pq.ParquetFile, publication: int
) -> None:
    """Copy a parquet file into a table, batch by batch, with the number of the publication."""
    column_names = ["publication", *rows.schema_arrow.names]
    batches = (
        pa.table(
            [pa.array([publication] * batch.num_rows, pa.int64()), *batch.columns],
            names=column_names,
        )
        for batch in rows.iter_batches(batch_size=_BATCH_ROWS)
    )
    copy_batches_in(connection, schema, table, column_names, batches)


def copy_batches_in(
    connection: Connection[Any],
    schema: str,
    table: str,
    column_names: Sequence[str],
    batches: Iterable[pa.Table],
) -> None:
    """Copy rows into a table, batch by batch."""
    from psycopg import sql

    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(
        sql.Identifier(schema, table), sql.SQL(", ").join(map(sql.Identifier, column_names))
    )
    options = csv.WriteOptions(include_header=False)
    with connection.cursor().copy(statement) as copy:
        for batch in batches:
            csv_buffer = io.BytesIO()
            csv.write_csv(batch, csv_buffer, options)
            copy.write(csv_buffer.getvalue())


def copy_rows_out(
    connection: Connection[Any],
    schema: str,
    view: str,
    order: Sequence[str],
    *,
    latest_before: dt.date | None = None,
) -> pa.Table:
    """Read a view, ordered by bytes like DuckDB.

    With `latest_before`, only the row of the latest snapshot before that date per `order` key.
    """
    from psycopg import sql

    column_types = columns_of(connection, schema, view)
    order_by = sql.SQL(", ").join(
        sql.SQL(
            '{} COLLATE "C"' if column_types[column_name] == "text" else "{} NULLS LAST"
        ).format(sql.Identifier(column_name))
        for column_name in order
    )
    column_list = sql.SQL(", ").join(map(sql.Identifier, column_types))
    distinct_on = snapshot_filter = snapshot_order = sql.SQL("").format()
    if latest_before is not None:
        distinct_on = sql.SQL("DISTINCT ON ({})").format(order_by)
        snapshot_filter = sql.SQL("WHERE snapshot_at < {}").format(sql.Literal(latest_before))
        snapshot_order = sql.SQL(", snapshot_at DESC").format()
    query = sql.SQL("COPY (SELECT {} {} FROM {} {} ORDER BY {}{}) TO STDOUT (FORMAT csv)").format(
        distinct_on,
        column_list,
        sql.Identifier(schema, view),
        snapshot_filter,
        order_by,
        snapshot_order,
    )
    csv_buffer = io.BytesIO()
    with connection.cursor().copy(query) as copy:
        for csv_bytes in copy:
            csv_buffer.write(csv_bytes)
    arrow_schema = pa.schema(
        [(column_name, _ARROW[column_type]) for column_name, column_type in column_types.items()]
    )
    if not csv_buffer.tell():
        return arrow_schema.empty_table()
    csv_buffer.seek(0)
    return csv.read_csv(
        csv_buffer,
        read_options=csv.ReadOptions(column_names=list(column_types)),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=arrow_schema,
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[""],
            true_values=["t"],
            false_values=["f"],
        ),
    )
