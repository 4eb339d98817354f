"""How two tables hang together: keys that they share, and a table with another's columns."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from features.errors import Problems, UserError
from flows.setup.column_synonyms import plain_name
from flows.setup.table_profiling import ColumnProfile, ProfiledTable

_SHARED_SHARE = 0.5  # share of the rows whose key must be in the other table
# Where the columns have different names, chance must be ruled out: small numbers are in any table.
_CONTAINED_SHARE = 0.98
_FEWEST_KEYS = 20
_KEY_NAME = re.compile(
    r"(^|_)(id|no|nr|num|number|nummer|key|ref|reference|code|uuid|guid|order|invoice|receipt"
    r"|customer|client|kunde|bestellung|auftrag|commande|pedido|ordine|bestelling)(_|$)|id$"
)


# Names by which every table numbers its own rows: a key of it names the table (order_id).
_OWN_ID = ("id", "uuid", "guid", "pk")


@dataclass(frozen=True)
class SharedKey:
    """A column of a table, and the column of another table that it points to."""

    column: str
    other: str


@dataclass(frozen=True)
class Join:
    """`--join` as the user gave it: columns of two tables that hold the same keys."""

    text: str
    left: str
    left_column: str
    right: str
    right_column: str

    def key(self, table: ProfiledTable, other: ProfiledTable) -> SharedKey | None:
        """The key of `table` in `other`, if this join is about these two."""
        for sides in (
            (self.left, self.left_column, self.right, self.right_column),
            (self.right, self.right_column, self.left, self.left_column),
        ):
            name, column, other_name, other_column = sides
            if (name, other_name) == (table.name, other.name):
                return SharedKey(column, other_column)
        return None


def read_joins(settings: Sequence[str], tables: Sequence[ProfiledTable]) -> tuple[Join, ...]:
    """Joins written like ``lines.order=orders.id``, with or without the ending of a file's name.

    Raises
    ------
    UserError
        For each that names no two columns of two tables, or points to a column with repeats.
    """
    problems, joins = Problems(), []
    for text in settings:
        with problems.collect():
            left, _, right = text.partition("=")
            ends = [_column_of(text, side.strip(), tables) for side in (left, right)]
            (table, column), (other, other_column) = ends
            if table.name == other.name:
                raise _unclear(text, f"{table.name} twice", tables)
            if not (names_rows(table.columns[column]) or names_rows(other.columns[other_column])):
                raise UserError(
                    f"--join {text}",
                    found="keys that repeat in both tables",
                    expected="a column with one row for every key in one of the two",
                    hint="join by the key of the order or of the customer",
                )
            joins.append(Join(text, table.name, column, other.name, other_column))
    problems.refuse()
    return tuple(joins)


def _column_of(text: str, side: str, tables: Sequence[ProfiledTable]) -> tuple[ProfiledTable, str]:
    for table in tables:
        for name in (table.name, table.name.rsplit(".", 1)[0]):
            column = side.removeprefix(f"{name}.")
            if column != side and column in table.columns:
                return table, column
    raise _unclear(text, repr(side), tables)


def _unclear(text: str, found: str, tables: Sequence[ProfiledTable]) -> UserError:
    there = "; ".join(f"{table.name}: {', '.join(list(table.columns)[:15])}" for table in tables)
    return UserError(
        f"--join {text}",
        found=found,
        expected=f"TABLE.COLUMN=TABLE.COLUMN of two of the tables ({there})",
        hint="for example --join order_items.order=orders.id",
    )


def shared_key(
    table: ProfiledTable, other: ProfiledTable, joins: Sequence[Join] = ()
) -> SharedKey | None:
    """The key that most rows of a table have in another, where it names each row once.

    What the user said comes first, then a column of the same name, then columns with other names
    and the same content: nearly all keys of the one are in the other.
    """
    for join in joins:
        if (key := join.key(table, other)) is not None:
            return key if names_rows(other.columns[key.other]) else None
    for name in table.columns:
        right = other.columns.get(name)
        if plain_name(name) in _OWN_ID:
            continue  # each table numbers its own rows
        if right is not None and names_rows(right) and right.time is None:
            left, there = _aligned(table.columns[name].cells, right.cells)
            if left.isin(there).mean() >= _SHARED_SHARE:
                return SharedKey(name, name)
    return _contained_key(table, other)


def _contained_key(table: ProfiledTable, other: ProfiledTable) -> SharedKey | None:
    """Columns with different names of which one holds the keys of the other."""
    pairs = []
    for right in other.columns.values():
        if not names_rows(right) or right.time is not None or len(right.cells) < _FEWEST_KEYS:
            continue
        for left in table.columns.values():
            named = _KEY_NAME.search(plain_name(left.name)) and _KEY_NAME.search(
                plain_name(right.name)
            )
            meant = all(
                plain_name(key) not in _OWN_ID or _names_table(pointer, numbered)
                for key, pointer, numbered in (
                    (right.name, left.name, other),
                    (left.name, right.name, table),
                )
            )
            if not named or not meant or left.time is not None or left.distinct < _FEWEST_KEYS:
                continue
            cells, there = _aligned(left.cells.dropna(), right.cells)
            share = cells.isin(there).mean()
            covered = left.distinct / len(there)
            points = _names_table(left.name, other)
            if left.filled < _SHARED_SHARE or share < _CONTAINED_SHARE:
                continue
            if points or covered >= 0.2:
                pairs.append((points, share, covered, left.name, right.name))
    if not pairs:
        return None
    *_, column, other_column = max(pairs)
    return SharedKey(column, other_column)


def _names_table(column: str, table: ProfiledTable) -> bool:
    """Whether the name of a column has the beginning of a table's name in it (order_id, orders)."""
    stem = plain_name(table.name.split(".", 1)[0]).split("_")[-1].rstrip("s")[:5]
    return len(stem) >= 3 and stem in plain_name(column)


def names_rows(column: ColumnProfile) -> bool:
    """Whether no value of a column is there twice; rows without one are no customers or orders."""
    filled = column.cells.dropna()
    return column.filled > 0.9 and filled.nunique() == len(filled)


def _aligned(left: pd.Series, right: pd.Series) -> tuple[pd.Series, pd.Series]:
    if left.dtype == right.dtype:
        return left, right
    return left.astype(str), right.astype(str)


def join_tables(table: ProfiledTable, other: ProfiledTable, key: SharedKey) -> ProfiledTable:
    """A table with the other's columns, by a key that is unique there."""
    left, right = _aligned(table.columns[key.column].cells, other.columns[key.other].cells)
    named = right.notna().to_numpy() & (right != "nan").to_numpy()
    places = pd.Series(np.flatnonzero(named), index=right[named])
    place = places.reindex(left).to_numpy()
    columns: dict[str, ColumnProfile] = dict(table.columns)
    decimals = dict(table.form.decimals)
    for name, column in other.columns.items():
        if name not in columns and name != key.other:
            if (sign := other.form.decimal_of(name)) != table.form.decimal_of(name):
                decimals[name] = sign
            cells = column.cells.reset_index(drop=True).reindex(place).reset_index(drop=True)
            columns[name] = replace(column, cells=cells)
    form = table.form.model_copy(update={"decimals": decimals})
    return replace(table, columns=columns, form=form)
