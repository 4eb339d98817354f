"""Tables that came in several files: one file a month, a year or a shop, with the same columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from features.config.sources import Location
from features.sources.locations import describe_location
from flows.services.console import step
from flows.setup.event_type_inference import role_of_table
from flows.setup.presets import list_sums
from flows.setup.table_profiling import ColumnProfile, ProfiledTable, profile_table


def profile_tables(connection: Any, locations: Sequence[Location]) -> list[ProfiledTable]:
    """Profiles of tables; files with the same columns, in any order, are one table.

    Raises
    ------
    UserError
        As `profile_table`.
    """
    groups: list[list[ProfiledTable]] = []
    for location in locations:
        step(f"looking at {describe_location(location)}")
        table = profile_table(connection, location, list_sums())
        group = next((group for group in groups if _continues(group[0], table)), None)
        if group is None:
            groups.append([table])
        else:
            group.append(table)
    tables = []
    for group in groups:
        if len(group) == 1:
            tables += group
            continue
        names = ", ".join(table.name for table in group)
        step(f"{names}: the same columns, so they are read as one table")
        paths = tuple(str(table.location) for table in group)
        tables.append(profile_table(connection, paths, list_sums()))
    return tables


def _continues(table: ProfiledTable, other: ProfiledTable) -> bool:
    """Whether two files are parts of one table: columns, form and meaning of the name are alike."""
    if not (isinstance(table.location, str) and isinstance(other.location, str)):
        return False
    same_ending = table.location.rsplit(".", 1)[-1] == other.location.rsplit(".", 1)[-1]
    same_name = role_of_table(table) == role_of_table(other)
    same_columns = set(table.columns) == set(other.columns)
    if not (same_columns and same_ending and same_name and table.form == other.form):
        return False
    return all(_alike(column, other.columns[name]) for name, column in table.columns.items())


def _alike(column: ColumnProfile, other: ColumnProfile) -> bool:
    """Whether two columns are read in the same way; one without cells says nothing."""
    if column.filled == 0 or other.filled == 0:
        return True
    times = [None if each.time is None else each.time.keys for each in (column, other)]
    return column.kind == other.kind and times[0] == times[1]
