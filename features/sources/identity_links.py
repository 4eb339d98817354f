"""The table of identities, read and checked: whom anonymous ids belong to, and from when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ibis.expr.types import Table

from features.config.config import Config
from features.sources.events import open_table, reading
from features.sources.files import describe
from features.sources.identity_resolution import link_rows, refuse_chains, spans
from features.sources.keys import refuse_rounded
from features.sources.quarantine import ReadReport, counted, refuse_if_too_bad


def read_identities(
    connection: Any, config: Config, *, latest: int, quarantine: Path | None, name: str = "links"
) -> tuple[Table | None, list[ReadReport]]:
    """Whom anonymous ids belong to, and from when; None where the config names no such table.

    Returns
    -------
    Table
        See `features.sources.identity_resolution.spans`.
    list of ReadReport
        One, or none; bad rows lie in ``identities.parquet`` in the quarantine folder, where one
        is given.

    Raises
    ------
    UserError
        As `read_source`, and where a link leads to another anonymous id.
    """
    identities = config.identities
    if identities is None:
        return None, []
    table_name = describe(identities.table)
    with reading(table_name):
        key_names = (identities.columns.anonymous_id, identities.columns.customer_id)
        table = open_table(connection, identities.table, identities, keys=key_names)
        rows = link_rows(table, identities, config, latest)
        staged = connection.create_table(f"staged_{name}", rows, temp=True, overwrite=True)
    key_columns = dict(zip(key_names, (staged.anonymous_id, staged.customer_id), strict=True))
    refuse_rounded(staged, key_columns, f"identities: {table_name}")
    report = counted(staged, table_name, int(staged.count().execute()))
    quarantine_file = None if quarantine is None else quarantine / "identities.parquet"
    if report.bad and quarantine_file is not None:
        quarantine_file.parent.mkdir(parents=True, exist_ok=True)
        staged.filter(staged.reason.notnull()).to_parquet(quarantine_file)
    refuse_if_too_bad(report, config, quarantine_file)
    usable_links = staged.filter(staged.reason.isnull())
    refuse_chains(usable_links, table_name)
    links = connection.create_table(name, spans(usable_links), temp=True, overwrite=True)
    return links, [report]
