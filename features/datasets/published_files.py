"""Files of published data that the project may not ship: which are missing, and their rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features.errors import UserError

Columns = Mapping[str, str]  # the kind of each column: text, day, number or count

_LEAST_REPEATS = 10  # as models of order values need
_EXPECTED = {
    "day": "a date such as 2005-01-31 in every row",
    "number": "a number in every row",
    "count": "a whole number of at least 0 in every row",
}


def missing_files(folder: Path | None, files: Mapping[str, Columns], found_in: str) -> str:
    """One line that says which files are absent, their columns and source; empty if none is.

    Parameters
    ----------
    folder
        Folder of `--data`; None if it was not given.
    files
        The kind of each column, by file name.
    found_in
        Where the numbers are published.
    """
    absent = [name for name in files if folder is None or not (folder / name).is_file()]
    if not absent:
        return ""
    named = [f"{name} (columns {', '.join(files[name])})" for name in absent]
    wanting = "give --data FOLDER with" if folder is None else "the folder of --data has no"
    return f"not compared: {wanting} {' and '.join(named)}; published in: {found_in}"


def read_published_file(file: Path, columns: Columns, found_in: str) -> pd.DataFrame:
    """The rows of a CSV file with a header, with the named columns only.

    Parameters
    ----------
    file
        A file with comma separated cells.
    columns
        The kind of each column: text, day, number (finite) or count (whole, not negative).
    found_in
        Where the numbers are published, for messages.

    Raises
    ------
    UserError
        If the file is not readable, has no rows, lacks a column, or has a cell of another kind.
    """
    hint = f"the numbers are published in: {found_in}"
    expected = f"a CSV file with the columns {', '.join(columns)}, and rows"
    try:
        cells = pd.read_csv(file, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(str(file), found=reason, expected=expected, hint=hint) from error
    if not isinstance(cells.index, pd.RangeIndex):
        found = "rows with more cells than the header"
        raise UserError(str(file), found=found, expected=expected, hint=hint)
    if not set(columns) <= set(cells.columns):
        found = f"the columns {', '.join(map(str, cells.columns))}"
        raise UserError(str(file), found=found, expected=expected, hint=hint)
    if cells.empty:
        raise UserError(str(file), found="no rows", expected=expected, hint=hint)
    return pd.DataFrame(
        {name: _values(cells[name], kind, f"{file}: {name}") for name, kind in columns.items()}
    )


def _values(cells: pd.Series, kind: str, place: str) -> pd.Series:
    """The cells of a column as values of its kind.

    Raises
    ------
    UserError
        For the first cell of another kind.
    """
    if kind == "text":
        return cells
    values: Any
    if kind == "day":
        values = pd.to_datetime(cells, errors="coerce", format="ISO8601")
        readable = values.notna()
    else:
        values = pd.to_numeric(cells, errors="coerce").astype("float64")
        readable = np.isfinite(values)
        if kind == "count":
            readable &= (values >= 0) & (values == values.round())
    if not readable.all():
        row = int(np.argmin(readable.to_numpy()))
        raise UserError(
            place,
            found=f"{cells.iloc[row]!r} in row {row + 1} below the header",
            expected=_EXPECTED[kind],
            hint="correct the file; numbers have a decimal point and no thousands separators",
        )
    return values


def check_donations(folder: Path, patterns: pd.DataFrame, annual: pd.DataFrame) -> None:
    """Refuse patterns and yearly donations that no cohort of donors can have.

    Raises
    ------
    UserError
        For impossible patterns, several numbers of observed years, or too few years of donations.
    """
    years = patterns["n_cal"]
    _refuse(
        (patterns["x"] > patterns["t_x"])
        | (patterns["t_x"] > years)
        | ((patterns["x"] == 0) != (patterns["t_x"] == 0))
        | (patterns["customers"] <= 0)
        | (years <= 0)
        | (years != years.iloc[0]),
        folder / "donations_rf_matrix.csv",
        "0 <= x <= t_x <= n_cal, both 0 or none, at least one customer, the same n_cal everywhere",
    )
    observed = int(years.iloc[0])
    place, expected = folder / "donations_annual.csv", f"one row for each of {observed} years"
    _refuse(annual["year"].duplicated(), place, expected)
    if len(annual) < observed:
        raise UserError(str(place), found=f"{len(annual)} rows", expected=f"{expected} or more")


def check_survivors(folder: Path, survivors: pd.DataFrame, calibration_years: int) -> None:
    """Refuse numbers of contracts that no cohort can have.

    Raises
    ------
    UserError
        If years are missing, numbers rise or reach 0, or there is no year to forecast.
    """
    place = folder / "contract_survivors.csv"
    expected = "the years 0, 1, 2, ... in order, and numbers above 0 that never rise"
    counts = survivors.drop(columns="year")
    wrong = (counts <= 0).any(axis=1) | (counts.diff() > 0).any(axis=1)
    _refuse(wrong | (survivors["year"] != np.arange(len(survivors))), place, expected)
    if len(survivors) < calibration_years + 2:
        found = f"{len(survivors)} rows"
        wanted = (
            f"{calibration_years + 2} rows or more: year 0, {calibration_years} years to fit on"
        )
        raise UserError(str(place), found=found, expected=f"{wanted}, and one to forecast")


def check_orders(folder: Path, orders: pd.DataFrame, calibration_end: pd.Timestamp) -> None:
    """Refuse orders that purchase models cannot be fitted to.

    Raises
    ------
    UserError
        If fewer than ten paid days after a customer's first lie in the calibration period.
    """
    known = orders[(orders["Date"] <= calibration_end) & (orders["Price"] > 0)]
    repeats = len(known.drop_duplicates(["Id", "Date"])) - known["Id"].nunique()
    if repeats < _LEAST_REPEATS:
        raise UserError(
            str(folder / "apparel_orders.csv"),
            found=f"{repeats} paid repeat days until {calibration_end:%Y-%m-%d}",
            expected=f"{_LEAST_REPEATS} or more",
        )


def _refuse(wrong: pd.Series, place: Path, expected: str) -> None:
    if wrong.any():
        row = int(np.argmax(wrong.to_numpy()))
        raise UserError(str(place), found=f"row {row + 1} below the header", expected=expected)
