"""The column by which a lookup's rows are added to a source."""

from __future__ import annotations

from ibis.expr.types import Table

from features.config.sources import Lookup
from features.errors import UserError
from features.sources.locations import describe_location


def with_named_key(rows: Table, lookup_table: Table, lookup: Lookup) -> Table:
    """A lookup's table with its key under the name that the source's rows have for it.

    Raises
    ------
    UserError
        Where one of the two lacks the column.
    """
    their_key = lookup.table_key or lookup.key
    sides = (
        ("the source", rows.columns, lookup.key),
        ("the lookup", lookup_table.columns, their_key),
    )
    for side, columns, name in sides:
        if name not in columns:
            raise UserError(
                f"lookup {describe_location(lookup.table)}",
                found=f"no column {name!r} in {side}",
                expected=f"one of: {', '.join(columns)}",
            )
    if their_key == lookup.key:
        return lookup_table
    others = [name for name in lookup_table.columns if name not in (lookup.key, their_key)]
    return lookup_table.select(*others, **{lookup.key: lookup_table[their_key]})


def with_unique_key(lookup_table: Table, key: str, lookup_name: str) -> Table:
    """The table with one row for every key; exact copies of rows count once.

    Raises
    ------
    UserError
        Where rows that differ have the same key: the rows of the source would multiply.
    """
    if _is_unique(lookup_table, key):
        return lookup_table
    lookup_table = lookup_table.distinct()
    if _is_unique(lookup_table, key):
        return lookup_table
    raise UserError(lookup_name, found=f"{key!r} more than once", expected="one row for every key")


def _is_unique(table: Table, key: str) -> bool:
    counted = table.aggregate(rows=table.count(), keys=table[key].nunique())
    (counts,) = counted.to_pyarrow().to_pylist()
    return bool(counts["rows"] == counts["keys"])
