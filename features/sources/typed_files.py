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
    parts = [
        connection.read_parquet([glob.escape(name) for name in files], union_by_name=True)
        for files in by_key_types(names, keys)
    ]
    if len(parts) == 1:
        return parts[0]
    texts = [
        part.mutate(**{name: key_column(part[name]) for name in keys if name in part.columns})
        for part in parts
    ]
    together = " UNION ALL BY NAME ".join(f"({connection.compile(text)})" for text in texts)
    return connection.sql(together)


def by_key_types(names: Sequence[str], keys: Collection[str]) -> list[list[str]]:
    """Files in groups whose keys are of the same types, in the order of the first of each."""
    if len(names) < 2 or not keys:
        return [list(names)]
    groups: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        schema = pq.read_schema(name)
        places = [(key, schema.get_field_index(key)) for key in sorted(keys)]
        kinds = tuple(str(schema.field(n).type) if n >= 0 else "" for _, n in places)
        groups.setdefault(kinds, []).append(name)
    return list(groups.values())


def read_json(
    connection: Any, names: Sequence[str], keys: Collection[str], *, lines: bool
) -> Table:
    """JSON files as one table; keys are text as written, be it with quotes or without."""
    files = [glob.escape(name) for name in names]
    how: dict[str, Any] = {"dateformat": NO_DATE, "timestampformat": NO_DATE}
    if lines:
        how["format"] = "newline_delimited"
    table = connection.read_json(files, **how)
    read = connection.con.table(table.get_name())
    kinds = {name: str(kind) for name, kind in zip(read.columns, read.types, strict=True)}
    texts = dict.fromkeys(set(keys) & set(kinds), "VARCHAR")
    if all(kinds[name] == kind for name, kind in texts.items()):
        return table
    return connection.read_json(files, columns={**kinds, **texts}, **how)
