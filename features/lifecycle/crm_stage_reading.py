"""Read the CRM's stage records, and check them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.calendar import day_date
from features.config.config import Config
from features.config.crm_stages import StageHistory
from features.errors import Problems, UserError
from features.lifecycle.crm_stage_history import BLOCK, declared, stage_records
from features.lifecycle.taxonomy_parser import load_taxonomy
from features.sources.events import connect, engine_errors, join_lookups, standardise
from features.sources.files import require_column
from features.sources.locations import describe_location
from features.sources.quarantine import (
    NO_CUSTOMER,
    ROUNDED,
    refuse_if_rounded,
    refuse_if_too_bad,
)
from features.sources.read_report import ReadReport

_COLUMNS = ["customer_id", "stage", "at", "day", "known_day"]


def read_records(
    config: Config, *, latest: int, quarantine: Path | None
) -> tuple[pa.Table, ReadReport]:
    """The stage records of a config; bad rows are set aside with their reason.

    Parameters
    ----------
    config
        The data set, with a `stage_history`.
    latest
        Day number after which no record can be genuine.
    quarantine
        Folder for the rows set aside: ``stage_history.parquet``; None: they are only counted.

    Returns
    -------
    Table
        customer_id, stage (as recorded), at (instant), day, known_day (local day numbers); one
        row a record.
    ReadReport
        The counts.

    Raises
    ------
    UserError
        For a missing block, file or column, a wrong type, an empty table, too many bad rows, and,
        where the records are the truth, names that mean nothing (as `stage_records`).
    """
    block = declared(config)
    name = describe_location(block.table)
    try:
        rows = _rows(block, config, name)
        if rows.num_rows == 0:
            raise UserError(
                f"sources: {name}",
                found="an empty table",
                expected="at least one stage record",
                hint="check the export that writes it",
            )
        reason = _reasons(rows, latest)
        is_bad = reason.notna().to_numpy()
        report = ReadReport(name, rows.num_rows, dict(Counter(reason[is_bad])))
        refuse_if_rounded(report)
        quarantine_file = None if quarantine is None else quarantine / f"{BLOCK}.parquet"
        if report.bad and quarantine_file is not None:
            quarantine_file.parent.mkdir(parents=True, exist_ok=True)
            rows_with_reason = rows.append_column("reason", pa.array(reason, pa.string()))
            pq.write_table(rows_with_reason.filter(pa.array(is_bad)), quarantine_file)
        refuse_if_too_bad(report, config, quarantine_file)
    except UserError as error:
        raise _of_the_block(error) from error
    good_rows = rows.filter(pa.array(~is_bad)).select(_COLUMNS)
    if config.stage.truth == "history":  # refuse unknown stage names at once
        stage_records(good_rows, block, load_taxonomy(config), np.zeros(0, dtype=str))
    return good_rows, report


def _of_the_block(error: UserError) -> UserError:
    """The same problems, named after the config's block."""
    problems = Problems()
    for single in error.problems:
        where = single.where.replace("sources:", f"{BLOCK}:", 1)
        problems.add(
            UserError(where, found=single.found, expected=single.expected, hint=single.hint)
        )
    return problems.joined()


def _rows(block: StageHistory, config: Config, name: str) -> pa.Table:
    connection, source = connect(), block.source()
    with engine_errors(name):
        table = join_lookups(connection, source)
        require_column(table, block.columns.stage, f"sources: {name}: columns.stage")
        standard_rows = standardise(table, source, config)
        reason_columns = ["occurred_at_text", "known_at_text", "known_missing", "rounded"]
        return standard_rows.rename(stage="event_type")[[*_COLUMNS, *reason_columns]].to_pyarrow()


def _reasons(table: pa.Table, latest: int) -> pd.Series:
    """Why a record cannot be used, null where it can."""
    rows, last_date = table.drop_columns(["at"]).to_pandas(), day_date(latest)
    cases = [
        (rows["rounded"].notna(), ROUNDED + rows["rounded"]),
        (rows["customer_id"].isna(), NO_CUSTOMER),
        (rows["stage"].isna(), "stage is empty"),
        (rows["day"].isna(), "occurred_at is not a readable date or time"),
        (rows["known_missing"].astype(bool), "known_at is not a readable date or time"),
        (rows["day"] > latest, f"occurred_at after {last_date}"),
        (rows["known_day"] > latest, f"known_at after {last_date}"),
    ]
    reason = pd.Series([None] * len(rows), index=rows.index, dtype=object)
    for holds, sentence in reversed(cases):
        reason = reason.mask(holds.fillna(False).astype(bool), sentence)
    return reason
