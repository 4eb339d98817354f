"""Sources tried out before a run: their own readers decide, on a sample where a table is large."""

from __future__ import annotations

from features.config.config import Config
from features.errors import Problems, UserError
from features.sources.duckdb_connection import connect
from features.sources.events import joined, judged, reading, standardise
from features.sources.files import describe
from features.sources.quarantine import (
    counted,
    refuse_if_rounded,
    refuse_if_too_bad,
    refuse_unknown_types,
)


def check_source(config: Config, number: int, *, latest: int, types_known: bool = True) -> int:
    """Rows of a source that were tried out.

    Parameters
    ----------
    config
        The data set.
    number
        Position of the source in the config.
    latest
        Day number after which no event can be genuine.
    types_known
        Whether the config's roles can be read, so that event types mean something.

    Raises
    ------
    UserError
        Whatever `read_source` would refuse in these rows, all in one answer.
    """
    source = config.sources[number]
    source_name, connection, problems = describe(source.events), connect(), Problems()
    with reading(source_name):
        table = joined(connection, source)
        standard = standardise(table, source, config, problems)
        judged_rows = judged(standard, source, config, latest=latest, links=None)
        staged = connection.create_table(f"tried_{number}", judged_rows, temp=True)
        row_count = int(staged.count().execute())
        if row_count == 0:
            problems.add(
                UserError(
                    f"sources: {source_name}",
                    found="an empty table",
                    expected="at least one event",
                    mend="check the export that writes it",
                )
            )
        columns_broken = bool(problems.errors)
        if not columns_broken:
            with problems.collect():
                report = counted(staged, source_name, row_count)
                refuse_if_rounded(report)
                refuse_if_too_bad(report, config, None)
        if types_known:
            # Where columns are missing every row is bad, and its type still says something.
            typed_rows = staged.mutate(reason=None) if columns_broken else staged
            with problems.collect():
                refuse_unknown_types(typed_rows, config, source_name)
    problems.refuse()
    return row_count
