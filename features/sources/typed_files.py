"""Typed files (parquet, JSON): keys become text before files are combined.

One day's file may hold ids as integers and the next, because of one missing id, as floats. The
engine would unify both to float, and long ids would lose digits. So keys become text file by file.
"""

from __future__ import annotations

import glob
from collections.abc import Collection, Sequence
from typing import Any

import pyarrow.parquet as pq
from ibis.expr.types import Table

from features.sources.key_columns import key_column

# Matches no text: dates in JSON stay text, since the engine's detection drops their offsets.
_NO_FORMAT = "~%Y~%m~%d~"


def read_parquet_files(connection: Any, names: Sequence[str], keys: Collection[str]) -> Table:
    """Read parquet files as one table, by column name; keys whose types differ become text."""
    tables = [
        connection.read_parquet([glob.escape(name) for name in same_type_files], union_by_name=True)
        for same_type_files in _group_by_key_types(names, keys)
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


def _group_by_key_types(names: Sequence[str], keys: Collection[str]) -> list[list[str]]:
    """Group files by the types of their key columns, in order of first appearance."""
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


def read_json_files(
    connection: Any, names: Sequence[str], keys: Collection[str], *, lines: bool
) -> Table:
    """Read JSON files as one table; keys are text as written, with or without quotes."""
    escaped_names = [glob.escape(name) for name in names]
    # Types by all rows: of a column whose first rows are whole, later decimals would be rounded.
    json_options: dict[str, Any] = {
        "dateformat": _NO_FORMAT,
        "timestampformat": _NO_FORMAT,
        "sample_size": -1,
    }
    if lines:
        json_options["format"] = "newline_delimited"
    table = connection.read_json(escaped_names, **json_options)
    engine_table = connection.con.table(table.get_name())
    column_types = {
        name: str(column_type)
        for name, column_type in zip(engine_table.columns, engine_table.types, strict=True)
    }
    # The engine types a column JSON that holds numbers in one row and text in another.
    mixed_columns = {name for name, column_type in column_types.items() if column_type == "JSON"}
    # Lists and structures stay what they are, so that they are refused as keys.
    single_values = {name for name in column_types if not table[name].type().is_nested()}
    text_types = dict.fromkeys((set(keys) & single_values) | mixed_columns, "VARCHAR")
    if all(column_types[name] == column_type for name, column_type in text_types.items()):
        return table
    return connection.read_json(
        escaped_names, columns={**column_types, **text_types}, **json_options
    )
