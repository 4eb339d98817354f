"""Rows of a source as a table of the engine, in little room."""

from __future__ import annotations

from typing import Any

import ibis
from ibis.expr.operations import Literal
from ibis.expr.types import Table

# Read from the stored table itself, by `features.sessions`.
ALWAYS_KEPT = ("customer_id", "anonymous_id", "session_id")


def stored(connection: Any, name: str, raw: Table, rows: Table) -> Table:
    """Rows as a table of the engine; columns that a source does not have take no room there.

    Parameters
    ----------
    connection, name
        Where the table is made, and what it is called there.
    raw
        What is stored.
    rows
        The standard events it was made from: a column that is null by definition there is null
        in `raw` too.
    """
    empty = [
        column
        for column, value in rows.op().values.items()
        if isinstance(value, Literal) and value.value is None and column not in ALWAYS_KEPT
    ]
    kinds = raw.schema()
    table = connection.create_table(name, raw.drop(*empty), temp=True, overwrite=True)
    again = {column: ibis.null(kinds[column]) for column in empty}
    return table.mutate(**again).select(*raw.columns)
