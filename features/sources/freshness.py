"""How old the tables of an export are: what people refused since would be missing in old ones."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from pathlib import Path

from features.config.config import Config
from features.config.sources import DatasetTable, Location, UrlTable
from features.errors import UserError
from features.sources.files import describe, matches


def refuse_old_tables(config: Config, moment: dt.datetime, *, events_through: dt.date) -> None:
    """Stop before an export where a table that it rests on is older than ``max_age`` allows.

    A file is as old as its last change, several files as the youngest of them, and all sources of
    events together as their youngest. A database is asked when the export is made, so its lists
    are never old; its events are as old as the last day of the scores. Example data sets have no
    age.

    Parameters
    ----------
    config
        The data set.
    moment
        When the export is written, with its zone.
    events_through
        Last day of events that the scores know.

    Raises
    ------
    UserError
        Naming the table, its age and the limit.
    """
    for key, name, written in _written(config, events_through):
        limit: int | None = getattr(config.max_age, key)
        age = moment - written
        if limit is not None and age > dt.timedelta(days=limit):
            raise UserError(
                f"max_age.{key}",
                found=f"{name}, {age.days} days old ({written:%Y-%m-%d})",
                expected=f"data of the last {limit} days: whoever refused since would be addressed",
                hint=f"deliver the table anew, or allow more days (`max_age: {{{key}: "
                f"{age.days + 1}}}`); `stagecast target --dry-run` shows the plan without an "
                "export",
            )


def _written(config: Config, through: dt.date) -> Iterator[tuple[str, str, dt.datetime]]:
    """Key of `max_age`, name of the table, and when it was last changed."""
    people = [each.table for each in (config.customers, config.consents) if each is not None]
    for key, tables in (
        ("consents", people),
        ("suppressions", [each.table for each in config.suppressions]),
    ):
        for table in tables:
            if files := _files([table]):
                yield key, describe(table), max(map(_changed, files))
    events = [source.events for source in config.sources]
    moments = [_changed(file) for file in _files(events)]
    if any(isinstance(table, UrlTable) for table in events):
        moments.append(dt.datetime.combine(through, dt.time(), config.zone))
    if moments:
        yield "events", "the youngest source of events", max(moments)


def _files(tables: Iterable[Location]) -> list[str]:
    named = [table for table in tables if not isinstance(table, UrlTable | DatasetTable)]
    return [file for table in named for file in matches(table)]


def _changed(file: str) -> dt.datetime:
    return dt.datetime.fromtimestamp(Path(file).stat().st_mtime, dt.UTC)
