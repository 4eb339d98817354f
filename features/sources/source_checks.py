"""Checks of the sources before a run, by their own readers; large tables are sampled."""

from __future__ import annotations

from typing import Any

from features.config.config import Config
from features.config.customers import ConsentColumn, ConsentsTable, CustomersTable
from features.config.sources import UrlTable
from features.errors import Problems, UserError
from features.sources.consent_words import consent_answers
from features.sources.duckdb_connection import connect, nested_selects
from features.sources.events import engine_errors, join_lookups, judge_rows, open_table, standardise
from features.sources.key_columns import key_column
from features.sources.locations import describe_location
from features.sources.quarantine import (
    refuse_if_rounded,
    refuse_if_too_bad,
    refuse_unknown_types,
    staged_report,
)
from features.sources.sampling import Sampling, whole_tables


def check_source(
    config: Config, number: int, connection: Any, *, latest: int, types_known: bool = True
) -> int:
    """Check a source, and return the number of rows that were read.

    Parameters
    ----------
    config
        The data set.
    number
        Position of the source in the config.
    connection
        The engine, which keeps a temporary table of the rows (see `connect`).
    latest
        Day number after which no event is plausible.
    types_known
        True if the config's roles are valid, so that event types can be checked.

    Raises
    ------
    UserError
        Everything that `read_source` would refuse in these rows, in one error.
    """
    source = config.sources[number]
    source_name, problems = describe_location(source.events), Problems()
    with engine_errors(source_name), nested_selects():
        table = join_lookups(connection, source)
        standard = standardise(table, source, config, problems)
        judged_rows = judge_rows(standard, source, config, latest=latest, links=None)
        staged = connection.create_table(f"tried_{number}", judged_rows, temp=True)
        row_count = int(staged.count().execute())
        if row_count == 0:
            problems.add(
                UserError(
                    f"sources: {source_name}",
                    found="an empty table",
                    expected="at least one event",
                    hint="check the export that writes it",
                )
            )
        columns_broken = bool(problems.errors)
        if not columns_broken:
            with problems.collect():
                report = staged_report(staged, source_name, row_count)
                refuse_if_rounded(report)
                refuse_if_too_bad(report, config, None)
        if types_known:
            # With missing columns every row is bad, but event types can still be checked.
            typed_rows = staged.mutate(reason=None) if columns_broken else staged
            with problems.collect():
                refuse_unknown_types(typed_rows, config, source_name)
    problems.refuse()
    return row_count


def refuse_unknown_words(config: Config, sampling: Sampling) -> None:
    """Stop at unknown words for yes and no in the tables that a check has sampled.

    Scanning one column is cheap, and a single unknown word would stop a run.

    Raises
    ------
    UserError
        As `consent_answers`, for all columns in one error.
    """
    word_columns: list[tuple[CustomersTable | ConsentsTable, str, str]] = []
    if config.customers is not None:
        for consent_name, column in config.customers.columns.consent.items():
            granted = column.granted if isinstance(column, ConsentColumn) else column
            word_columns.append(
                (config.customers, f"customers: columns.consent.{consent_name}", granted)
            )
        for reason, mark_column in config.customers.columns.suppress.items():
            word_columns.append(
                (config.customers, f"customers: columns.suppress.{reason}", mark_column)
            )
    if config.consents is not None:
        config_place = "consents: columns.granted"
        word_columns.append((config.consents, config_place, config.consents.columns.granted))
    problems = Problems()
    for table, config_place, column in word_columns:
        if describe_location(table.table) in sampling.cut and not isinstance(table.table, UrlTable):
            with problems.collect(), engine_errors(describe_location(table.table)), whole_tables():
                opened = open_table(connect(), table.table, table)
                distinct_words = opened.select(word=key_column(opened[column])).distinct()
                consent_answers(
                    distinct_words.to_pyarrow().to_pandas()["word"], config_place, table.words
                )
    problems.refuse()
