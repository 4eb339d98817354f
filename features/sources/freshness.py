"""Age limits of the tables behind an export: old tables miss recent refusals."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from pathlib import Path

from features.config.config import Config
from features.config.sources import DatasetTable, Location, UrlTable
from features.errors import UserError
from features.sources.locations import describe_location, distinct_files


def refuse_old_tables(config: Config, moment: dt.datetime, *, events_through: dt.date) -> None:
    """Stop an export if a table behind it is older than ``max_age`` allows.

    A file's age counts from its last change; several files, and all event sources together, count
    as the most recent of them. Lists in a database are read at export time and never old; its
    events are as old as the last day of the scores. Example data sets have no age.

    Parameters
    ----------
    config
        The data set.
    moment
        Time of the export, with its zone.
    events_through
        Last day of events in the scores.

    Raises
    ------
    UserError
        Naming the table, its age and the limit.
    """
    for table_kind, table_name, changed_at in _table_ages(config, events_through):
        max_age_days: int | None = getattr(config.max_age, table_kind)
        age = moment - changed_at
        if max_age_days is not None and age > dt.timedelta(days=max_age_days):
            raise UserError(
                f"max_age.{table_kind}",
                found=f"{table_name}, {age.days} days old ({changed_at:%Y-%m-%d})",
                expected=f"data of the last {max_age_days} days: newer refusals would be ignored",
                hint=f"deliver the table anew, or allow more days (`max_age: {{{table_kind}: "
                f"{age.days + 1}}}`); `stagecast target --dry-run` shows the plan without an "
                "export",
            )


def _table_ages(config: Config, through: dt.date) -> Iterator[tuple[str, str, dt.datetime]]:
    """Yield the key of `max_age`, the table's name, and the time of its last change."""
    people_tables = [
        table_block.table
        for table_block in (config.customers, config.consents)
        if table_block is not None
    ]
    for table_kind, tables in (
        ("consents", people_tables),
        ("suppressions", [table_block.table for table_block in config.suppressions]),
    ):
        for table in tables:
            if table_files := _files([table]):
                yield table_kind, describe_location(table), max(map(_modified_at, table_files))
    event_tables = [source.events for source in config.sources]
    change_times = [_modified_at(file) for file in _files(event_tables)]
    if any(isinstance(table, UrlTable) for table in event_tables):
        change_times.append(dt.datetime.combine(through, dt.time(), config.zone))
    if change_times:
        yield "events", "the youngest source of events", max(change_times)


def _files(tables: Iterable[Location]) -> list[str]:
    file_tables = [table for table in tables if not isinstance(table, UrlTable | DatasetTable)]
    return [file for table in file_tables for file in distinct_files(table)]


def _modified_at(file: str) -> dt.datetime:
    return dt.datetime.fromtimestamp(Path(file).stat().st_mtime, dt.UTC)
