"""Files that carry types (parquet, JSON): their keys are text before files come together.

One day's file may hold ids as whole numbers and the next, for one missing id, as floats. The
engine gives both the type that holds either, a float, and long ids lose digits. So keys become
text in each file by itself.
"""

from __future__ import annotations

import glob
from collections.abc import Collection, Sequence
from typing import Any

import pyarrow.parquet as pq
from ibis.expr.types import Table

from features.sources.keys import key_column

# Never matches: guessing dates in JSON would drop their offsets, so they stay text.
NO_DATE = "~%Y~%m~%d~"


def read_parquet(connection: Any, names: Sequence[str], keys: Collection[str]) -> Table:
    """Parquet files as one table, columns by name; keys of changing types are text."""
    tables = [
        connection.read_parquet([glob.escape(name) for name in same_type_files], union_by_name=True)
        for same_type_files in by_key_types(names, keys)
    ]
    if len(tables) == 1:
        return tables[0]
    text_key_tables = [
        key_table.mutate(
            **{name: key_column(key_table[name]) for name in keys if name in key_table.columns}
        )
        for key_table in tables
    ]
    union_query = " UNION ALL BY NAME ".join(
        f"({connection.compile(text)})" for text in text_key_tables
    )
    return connection.sql(union_query)


def by_key_types(names: Sequence[str], keys: Collection[str]) -> list[list[str]]:
    """Files in groups whose keys are of the same types, in the order of the first of each."""
    if len(names) < 2 or not keys:
        return [list(names)]
    groups: dict[tuple[str, ...], list[str]] = {}
    for file_name in names:
        schema = pq.read_schema(file_name)
        key_positions = [(key, schema.get_field_index(key)) for key in sorted(keys)]
        key_types = tuple(
            str(schema.field(position).type) if position >= 0 else ""
            for _, position in key_positions
        )
        groups.setdefault(key_types, []).append(file_name)
    return list(groups.values())


def read_json(
    connection: Any, names: Sequence[str], keys: Collection[str], *, lines: bool
) -> Table:
    """JSON files as one table; keys are text as written, be it with quotes or without."""
    escaped_names = [glob.escape(name) for name in names]
    json_options: dict[str, Any] = {"dateformat": NO_DATE, "timestampformat": NO_DATE}
    if lines:
        json_options["format"] = "newline_delimited"
    table = connection.read_json(escaped_names, **json_options)
    engine_table = connection.con.table(table.get_name())
    column_types = {
        name: str(column_type)
        for name, column_type in zip(engine_table.columns, engine_table.types, strict=True)
    }
    text_types = dict.fromkeys(set(keys) & set(column_types), "VARCHAR")
    if all(column_types[name] == column_type for name, column_type in text_types.items()):
        return table
    return connection.read_json(
        escaped_names, columns={**column_types, **text_types}, **json_options
    )
