"""Read any table of people or decisions from elsewhere, under plain names of columns."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from features.config.sources import CsvFormat
from features.errors import UserError
from features.sources.events import connect, engine_errors, open_table
from features.sources.spreadsheets import is_spreadsheet
from flows.setup.experiment_cells import ExperimentTable
from flows.setup.table_profiling import sniff_format

MOST_GROUPS = 20  # values of a text column that may be a covariate


@dataclass(frozen=True)
class _Form:
    """How the file is written; what `open_table` asks for."""

    csv: CsvFormat


def read_people_table(file: Path) -> ExperimentTable:
    """Read all columns of a file as text or numbers, under plain names.

    Raises
    ------
    UserError
        If the file cannot be read, or two columns have the same plain name.
    """
    if re.match(r"^[a-z]+:/", str(file)):
        raise UserError(
            str(file), found="an address", expected="a file on this machine", hint="copy it first"
        )
    name = str(file)
    form = _Form(sniff_format(name))
    try:
        with engine_errors(name):
            rows: pd.DataFrame = open_table(connect(), name, form).to_pyarrow().to_pandas()
    except UserError as error:
        # What the hint says of a config does not hold here.
        of_config = any(word in error.hint for word in ("`csv", "config", "source"))
        hint = "check the path, and the file for broken lines and quotes" if of_config else ""
        raise UserError(
            file.name or name, found=error.found, expected=error.expected, hint=hint or error.hint
        ) from error
    names = [plain_name(str(column)) for column in rows.columns]
    twice = [column for column in names if names.count(column) > 1]
    if twice:
        raise UserError(
            file.name,
            found=f"two columns {twice[0]}",
            expected="different names",
            hint="case, spaces and dashes do not tell names apart",
        )
    rows = rows.set_axis(names, axis=1)
    for column in rows:
        # Lists and objects are no groups; as text they can be counted and named.
        if rows[column].map(lambda cell: isinstance(cell, list | dict | np.ndarray)).any():
            rows[column] = rows[column].map(str)
    in_sheet, is_delimited = is_spreadsheet(name), _is_delimited(file)
    if in_sheet or is_delimited:
        rows.index += 2 + form.csv.skip_lines
    else:
        rows.index += 1
    has_points = in_sheet or (is_delimited and form.csv.delimiter == ",")
    return ExperimentTable(rows, file.name, has_points)


def _is_delimited(file: Path) -> bool:
    return file.name.lower().removesuffix(".gz").endswith((".csv", ".tsv", ".txt"))


def plain_name(name: str) -> str:
    """Name of a column without regard to case, spaces and dashes."""
    return re.sub(r"[\s-]+", "_", name.strip().strip("\ufeff").casefold())


def numeric_columns(table: ExperimentTable, name: str) -> pd.DataFrame | None:
    """A column as numbers, or one column of 0 and 1 per text; None if it is neither."""
    parsed = table.parsed_numbers(name)
    if parsed.unread is None and parsed.numbers.notna().any():
        return parsed.numbers.to_frame(name)
    texts = table.rows[name].astype(str)
    if not 1 <= texts.nunique() <= MOST_GROUPS:
        return None
    return pd.get_dummies(texts, prefix=name, prefix_sep="=").astype(float)
