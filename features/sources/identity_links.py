"""Read and check the identities table: which customer an anonymous id belongs to, since when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ibis.expr.types import Table

from features.config.config import Config
from features.sources.events import engine_errors, open_table
from features.sources.identity_resolution import link_rows, link_spans, refuse_chains
from features.sources.key_columns import refuse_rounded
from features.sources.locations import describe_location
from features.sources.quarantine import refuse_if_too_bad, staged_report
from features.sources.read_report import ReadReport


def read_identities(
    connection: Any, config: Config, *, latest: int, quarantine: Path | None, name: str = "links"
) -> tuple[Table | None, list[ReadReport]]:
    """Read the links from anonymous ids to customers; None if the config declares none.

    Returns
    -------
    Table
        See `features.sources.identity_resolution.link_spans`.
    list of ReadReport
        One, or none. Bad rows go to ``identities.parquet`` in the quarantine folder, if given.

    Raises
    ------
    UserError
        As `read_source`, and if a link leads to another anonymous id.
    """
    identities = config.identities
    if identities is None:
        return None, []
    table_name = describe_location(identities.table)
    with engine_errors(table_name):
        key_names = (identities.columns.anonymous_id, identities.columns.customer_id)
        table = open_table(connection, identities.table, identities, keys=key_names)
        rows = link_rows(table, identities, config, latest)
        staged = connection.create_table(f"staged_{name}", rows, temp=True, overwrite=True)
    key_columns = dict(zip(key_names, (staged.anonymous_id, staged.customer_id), strict=True))
    refuse_rounded(staged, key_columns, f"identities: {table_name}")
    report = staged_report(staged, table_name, int(staged.count().execute()))
    quarantine_file = None if quarantine is None else quarantine / "identities.parquet"
    if report.bad and quarantine_file is not None:
        quarantine_file.parent.mkdir(parents=True, exist_ok=True)
        staged.filter(staged.reason.notnull()).to_parquet(quarantine_file)
    refuse_if_too_bad(report, config, quarantine_file)
    usable_links = staged.filter(staged.reason.isnull())
    refuse_chains(usable_links, table_name)
    links = connection.create_table(name, link_spans(usable_links), temp=True, overwrite=True)
    return links, [report]
