"""Members of nested objects as columns: `properties.revenue` beside `properties`."""

from __future__ import annotations

from collections.abc import Iterator

from ibis.expr.types import Table, Value

_DEEPEST = 4  # levels; deeper members of a log name nothing that a config maps


def add_nested_columns(table: Table) -> Table:
    """Add a column for every member of the table's nested objects, named with dots.

    A column of that name that the table has already stays as it is.
    """
    members = {
        name: value
        for column in table.columns
        if table[column].type().is_struct()
        for name, value in _members(column, table[column], 1)
        if name not in table.columns
    }
    return table.mutate(**members) if members else table


def _members(name: str, value: Value, depth: int) -> Iterator[tuple[str, Value]]:
    """Yield the members of an object that are no objects themselves, with their dotted names."""
    for member in value.type().names:
        dotted, inner = f"{name}.{member}", value[member]
        if not inner.type().is_struct():
            yield dotted, inner
        elif depth < _DEEPEST:
            yield from _members(dotted, inner, depth + 1)
