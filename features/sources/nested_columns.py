"""Members of nested objects as columns: `properties.revenue` beside `properties`.

A number in each object of a list is a column with their sum: `refunds[].total` beside `refunds`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

import ibis
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


def add_list_sums(table: Table, names: Collection[str]) -> Table:
    """Add the sums over lists that some names ask for; a name that fits no list adds nothing.

    An empty list sums up to null, and so does one of objects without that member.
    """
    sums = {}
    for name in names:
        column, mark, member = name.partition("[].")
        if not mark or name in table.columns or column not in table.columns:
            continue
        kind = table[column].type()
        if not kind.is_array():
            continue
        has_member = kind.value_type.is_struct() and member in kind.value_type.names
        sums[name] = (
            table[column].map(_number_in(member)).sums() if has_member else ibis.null("float64")
        )
    return table.mutate(**sums) if sums else table


def _number_in(member: str) -> Callable[[Value], Value]:
    """Return what reads a member of an object as a number, null where it is none."""
    return lambda item: item[member].try_cast("float64")


def _members(name: str, value: Value, depth: int) -> Iterator[tuple[str, Value]]:
    """Yield the members of an object that are no objects themselves, with their dotted names."""
    for member in value.type().names:
        dotted, inner = f"{name}.{member}", value[member]
        if not inner.type().is_struct():
            yield dotted, inner
        elif depth < _DEEPEST:
            yield from _members(dotted, inner, depth + 1)
