"""Rows between Arrow and PostgreSQL, by COPY: exact for numbers, and null is not the empty text."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.csv as csv

from features.errors import UserError

if TYPE_CHECKING:
    import pyarrow.parquet as pq
    from psycopg import Connection

BATCH = 50_000
# PostgreSQL's names of types, and what they are read back as.
_ARROW = {
    "text": pa.string(),
    "double precision": pa.float64(),
    "bigint": pa.int64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "timestamp without time zone": pa.timestamp("us"),
}


def data_columns(schema: pa.Schema) -> dict[str, str]:
    """PostgreSQL's type of every column of a parquet file."""
    return {field.name: _type(field) for field in schema}


def _type(field: pa.Field) -> str:
    kind = field.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind):
        return "text"
    if pa.types.is_floating(kind):
        return "double precision"
    if pa.types.is_integer(kind):
        return "bigint"
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_date(kind):
        return "date"
    if pa.types.is_timestamp(kind) and kind.tz is None:
        return "timestamp without time zone"
    raise ValueError(f"column {field.name!r} of type {kind}, which the store does not hold")


def columns_of(con: Connection[Any], schema: str, table: str) -> dict[str, str]:
    """Columns of a table or view with their types, in order; none where it does not exist."""
    rows = con.execute(
        "SELECT column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
        [schema, table],
    )
    return dict(rows.fetchall())


def fitted(con: Connection[Any], schema: str, table: str, columns: Mapping[str, str]) -> None:
    """Add the columns that a table lacks.

    Raises
    ------
    UserError
        Where a column has become another type.
    """
    from psycopg import sql

    there = columns_of(con, schema, table)
    for name, kind in columns.items():
        if name not in there:
            con.execute(
                sql.SQL("ALTER TABLE {} ADD COLUMN {} {}").format(
                    sql.Identifier(schema, table),
                    sql.Identifier(name),
                    sql.SQL(kind),
                )
            )
        elif not _fits(kind, there[name]):
            raise UserError(
                f"store: column {name}",
                found=f"{kind}, where earlier runs have {there[name]}",
                expected="one type for a column in all runs",
                hint="publish to another schema (?schema=NAME), or remove the old runs",
            )


def _fits(new: str, there: str) -> bool:
    """Whether values of one type can stand in a column of another.

    A column without any value is written as text; what really is text is refused by the server.
    """
    dates = {"date", "timestamp without time zone"}
    return (
        new in (there, "text")
        or {new, there} <= dates
        or (new, there) == ("bigint", "double precision")
    )


def copied_in(
    con: Connection[Any], schema: str, table: str, rows: pq.ParquetFile, publication: int
) -> None:
    """Copy a parquet file into a table, batch by batch."""
    from psycopg import sql

    names = rows.schema_arrow.names
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(
        sql.Identifier(schema, table),
        sql.SQL(", ").join(map(sql.Identifier, ["publication", *names])),
    )
    options = csv.WriteOptions(include_header=False)
    with con.cursor().copy(statement) as copy:
        for batch in rows.iter_batches(batch_size=BATCH):
            number = pa.array([publication] * batch.num_rows, pa.int64())
            part = pa.table([number, *batch.columns], names=["publication", *names])
            out = io.BytesIO()
            csv.write_csv(part, out, options)
            copy.write(out.getvalue())


def copied_out(
    con: Connection[Any],
    schema: str,
    view: str,
    order: Sequence[str],
    *,
    latest_before: dt.date | None = None,
) -> pa.Table:
    """Copy a view out, ordered by bytes as DuckDB does.

    With `latest_before`, the row of the latest snapshot before that date of each `order` key.
    """
    from psycopg import sql

    kinds = columns_of(con, schema, view)
    by = sql.SQL(", ").join(
        sql.SQL('{} COLLATE "C"' if kinds[name] == "text" else "{} NULLS LAST").format(
            sql.Identifier(name)
        )
        for name in order
    )
    listed = sql.SQL(", ").join(map(sql.Identifier, kinds))
    which = before = last = sql.SQL("").format()
    if latest_before is not None:
        which = sql.SQL("DISTINCT ON ({})").format(by)
        before = sql.SQL("WHERE snapshot_at < {}").format(sql.Literal(latest_before))
        last = sql.SQL(", snapshot_at DESC").format()
    query = sql.SQL("COPY (SELECT {} {} FROM {} {} ORDER BY {}{}) TO STDOUT (FORMAT csv)").format(
        which, listed, sql.Identifier(schema, view), before, by, last
    )
    out = io.BytesIO()
    with con.cursor().copy(query) as copy:
        for data in copy:
            out.write(data)
    schema_out = pa.schema([(name, _ARROW[kind]) for name, kind in kinds.items()])
    if not out.tell():
        return schema_out.empty_table()
    out.seek(0)
    return csv.read_csv(
        out,
        read_options=csv.ReadOptions(column_names=list(kinds)),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=schema_out,
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[""],
            true_values=["t"],
            false_values=["f"],
        ),
    )
