"""Typed files (parquet, JSON): keys become text before files are combined.

One day's file may hold ids as integers and the next, because of one missing id, as floats. The
engine would unify both to float, and long ids would lose digits. So keys become text file by file.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Collection, Sequence
from typing import Any

import pyarrow.parquet as pq
from ibis.expr.types import Table

from features.sources.key_columns import key_column

# Matches no text: dates in JSON stay text, since the engine's detection drops their offsets.
_NO_FORMAT = "~%Y~%m~%d~"
# Keys beside the list of rows in an answer of a web API that was saved as it came.
_BESIDE_ROWS = re.compile(
    r"_?links|object|url|has_more|included|meta(data)?|paging|pagination|(total_)?count|version"
    r"|total(_items|_pages)?|(next|prev|previous)(_page|_cursor)?|cursor|page(_size)?|per_page"
    r"|limit|offset|search_criteria|status|success|message|constraints|errors|store_id|code"
)


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
    rows_column = _rows_column(table)
    if rows_column is not None:
        return _with_related(table, table.select(row=table[rows_column].unnest()).unpack("row"))
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


def _rows_column(table: Table) -> str | None:
    """Return the list of rows in saved answers of a web API; None for other tables.

    An answer is one object: a list of objects, and beside it nothing but counts and links.
    """
    candidates = [name for name in table.columns if not _BESIDE_ROWS.fullmatch(name.lower())]
    if len(candidates) != 1:
        return None
    kind = table[candidates[0]].type()
    return candidates[0] if kind.is_array() and kind.value_type.is_struct() else None


def _with_related(answers: Table, rows: Table) -> Table:
    """Add the objects of `included` that rows of JSON:API name: `metric` beside their relationship.

    Lists of related objects are left as they are.
    """
    if "included" not in answers.columns or "relationships" not in rows.columns:
        return rows
    included, relations = answers.included.type(), rows.relationships.type()
    if not (included.is_array() and included.value_type.is_struct() and relations.is_struct()):
        return rows
    if not {"type", "id", "attributes"} <= set(included.value_type.names):
        return rows
    related = answers.select(item=answers.included.unnest()).unpack("item")
    related = related.group_by(["type", "id"]).agg(attributes=related.attributes.arbitrary())
    for name in relations.names:
        relation = rows.relationships[name]
        data = relation.type().get("data") if relation.type().is_struct() else None
        if data is None or not data.is_struct() or not {"type", "id"} <= set(data.names):
            continue
        if name in rows.columns:
            continue
        keyed = related.select(
            related_type=related["type"], related_id=related["id"], **{name: related.attributes}
        )
        same = [
            relation["data"]["type"] == keyed.related_type,
            relation["data"]["id"].cast("string") == keyed.related_id.cast("string"),
        ]
        rows = rows.left_join(keyed, same).drop("related_type", "related_id")
    return rows
