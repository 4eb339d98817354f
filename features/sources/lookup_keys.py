"""The column by which a lookup's rows are added to a source."""

from __future__ import annotations

from ibis.expr.types import Table

from features.config.sources import Lookup
from features.errors import UserError
from features.sources.files import describe_location


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
