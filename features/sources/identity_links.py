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
    block = config.identities
    if block is None:
        return None, []
    what = describe(block.table)
    with reading(what):
        keys = (block.columns.anonymous_id, block.columns.customer_id)
        table = open_table(connection, block.table, block, keys=keys)
        rows = link_rows(table, block, config, latest)
        staged = connection.create_table(f"staged_{name}", rows, temp=True, overwrite=True)
    held = dict(zip(keys, (staged.anonymous_id, staged.customer_id), strict=True))
    refuse_rounded(staged, held, f"identities: {what}")
    report = counted(staged, what, int(staged.count().execute()))
    aside = None if quarantine is None else quarantine / "identities.parquet"
    if report.bad and aside is not None:
        aside.parent.mkdir(parents=True, exist_ok=True)
        staged.filter(staged.reason.notnull()).to_parquet(aside)
    refuse_if_too_bad(report, config, aside)
    good = staged.filter(staged.reason.isnull())
    refuse_chains(good, what)
    links = connection.create_table(name, spans(good), temp=True, overwrite=True)
    return links, [report]
