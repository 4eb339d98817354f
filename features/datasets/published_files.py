"""Files of published data that the project may not ship: which are missing, and their rows."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features.errors import Problems, UserError

Columns = Mapping[str, str]  # the kind of each column: text, day, amount or count

_LEAST_REPEATS = 10  # as models of order values need
_LARGEST = 1e12  # above it, sums lose whole units
_NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:.*)?"  # a time and its zone may follow
_EXPECTED = {
    "text": "a name in every row",
    "day": "a date such as 2005-01-31 in every row; a time after it is left out",
    "amount": f"a number from 0 to {_LARGEST:,.0f} in every row",
    "count": f"a whole number from 0 to {_LARGEST:,.0f} in every row",
}
_HINTS = {
    "text": "leave out orders of nobody",
    "amount": "leave returns out; numbers have a decimal point and no thousands separators",
    "count": "numbers have a decimal point and no thousands separators",
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
        The kind of each column: text (not empty), day (as it is written, whatever its zone),
        amount (not negative) or count (whole, not negative).
    found_in
        Where the numbers are published, for messages.

    Returns
    -------
    pd.DataFrame
        One row a row; the index is its number in the file, 1 for the header.

    Raises
    ------
    UserError
        If the file is not readable, has no rows, lacks a column, or has cells of another kind;
        one problem a column.
    """
    hint = f"the numbers are published in: {found_in}"
    expected = f"a CSV file with the columns {', '.join(columns)}, and rows"
    try:
        records = _records(file)
    except (OSError, ValueError, csv.Error) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(str(file), found=reason, expected=expected, hint=hint) from error
    if len(records) < 2:
        what = "no rows" if records else "an empty file"
        raise UserError(str(file), found=what, expected=expected, hint=hint)
    header, *rows = records.values()
    if any(header.count(name) != 1 for name in columns):
        shown_header = f"the columns {', '.join(header)}"
        raise UserError(str(file), found=shown_header, expected=expected, hint=hint)
    numbers = list(records)[1:]
    for number, row in zip(numbers, rows, strict=True):
        if len(row) != len(header):
            cells = f"{len(row)} cells in row {number}"
            wanted = f"{len(header)} in every row, as in the header"
            raise UserError(str(file), found=cells, expected=wanted, hint=hint)
    cells = pd.DataFrame(rows, index=numbers, columns=header, dtype=str)
    problems, values = Problems(), {}
    for name, kind in columns.items():
        with problems.collect():
            values[name] = _values(cells[name], kind, f"{file}: {name}")
    problems.refuse()
    return pd.DataFrame(values)


def _records(file: Path) -> dict[int, list[str]]:
    """Cells of the rows that are not blank, by the number of the first line."""
    records, number = {}, 1
    with file.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.reader(lines, skipinitialspace=True)
        for row in reader:
            cells = [cell.strip() for cell in row]
            if any(cells):
                records[number] = cells
            number = reader.line_num + 1
    return records


def _values(cells: pd.Series, kind: str, place: str) -> pd.Series:
    """The cells of a column as values of its kind.

    Raises
    ------
    UserError
        For the first cell of another kind.
    """
    values: Any = cells
    if kind == "text":
        readable = cells != ""
    elif kind == "day":
        # Only the written day: cells of one column may have several zones, or none.
        values = pd.to_datetime(cells.str[:10], errors="coerce", format="%Y-%m-%d")
        readable = cells.str.fullmatch(_DAY) & values.notna()
    else:
        values = pd.to_numeric(cells.where(cells.str.fullmatch(_NUMBER)), errors="coerce")
        values = values.astype("float64")
        readable = values.between(0, _LARGEST)
        if kind == "count":
            readable &= values == values.round()
    _refuse(~readable.astype(bool), cells.map(repr), place, _EXPECTED[kind], _HINTS.get(kind, ""))
    return values


def check_patterns(file: Path, patterns: pd.DataFrame) -> None:
    """Refuse patterns of donations that no cohort of donors can have.

    Raises
    ------
    UserError
        For impossible patterns, one without donors, or several numbers of observed years.
    """
    x, last, years = (patterns[name] for name in ("x", "t_x", "n_cal"))
    problems = Problems()
    for columns, wrong, expected in (
        (["x", "t_x"], (x > last) | ((x == 0) != (last == 0)), "0 < x <= t_x, or 0 in both"),
        (["t_x", "n_cal"], last > years, "t_x <= n_cal"),
        (["n_cal"], (years <= 0) | (years != years.iloc[0]), "one number above 0 in all rows"),
        (["customers"], patterns["customers"] <= 0, "at least one customer"),
    ):
        with problems.collect():
            _refuse(wrong, _shown(patterns, columns), f"{file}: {', '.join(columns)}", expected)
    problems.refuse()


def check_donations(file: Path, annual: pd.DataFrame, observed: int | None) -> None:
    """Refuse yearly donations that no cohort of donors can have.

    Parameters
    ----------
    file, annual
        The file and its rows.
    observed
        Years that the patterns of the cohort cover; None if they are not known.

    Raises
    ------
    UserError
        If a year is there twice, left out, or if there are fewer than the observed ones.
    """
    years, place = annual["year"].sort_values(), f"{file}: year"
    expected = f"one row for each of {observed or 'the'} years, and none left out"
    problems = Problems()
    with problems.collect():
        _refuse(years.diff().fillna(1.0) != 1.0, _shown(annual, ["year"]), place, expected)
    if observed is not None and len(annual) < observed:
        wanted = f"one for each of {observed} years, as n_cal says, or more"
        problems.add(UserError(str(file), found=f"{len(annual)} rows", expected=wanted))
    problems.refuse()


def check_survivors(file: Path, survivors: pd.DataFrame, calibration_years: int) -> None:
    """Refuse numbers of contracts that no cohort can have.

    Raises
    ------
    UserError
        If years are missing, numbers rise or reach 0, or there is no year to forecast.
    """
    problems = Problems()
    with problems.collect():
        wrong = survivors["year"] != np.arange(len(survivors))
        expected = "the years 0, 1, 2, ... in order"
        _refuse(wrong, _shown(survivors, ["year"]), f"{file}: year", expected)
    for name in survivors.columns.drop("year"):
        counts, shown = survivors[name], _shown(survivors, [name])
        with problems.collect():
            expected = "numbers above 0 that never rise"
            _refuse((counts <= 0) | (counts.diff() > 0), shown, f"{file}: {name}", expected)
    if len(survivors) < calibration_years + 2:
        wanted = (
            f"{calibration_years + 2} rows or more: year 0, {calibration_years} years to fit on, "
            "and one to forecast"
        )
        problems.add(UserError(str(file), found=f"{len(survivors)} rows", expected=wanted))
    problems.refuse()


def check_orders(file: Path, orders: pd.DataFrame, calibration_end: pd.Timestamp) -> None:
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
            str(file),
            found=f"{repeats} paid repeat days until {calibration_end:%Y-%m-%d}",
            expected=f"{_LEAST_REPEATS} or more",
        )


def _shown(counts: pd.DataFrame, columns: list[str]) -> pd.Series:
    """The whole numbers of some columns as text, one text a row."""
    return counts[columns].apply(lambda row: ", ".join(f"{value:.0f}" for value in row), axis=1)


def _refuse(wrong: pd.Series, shown: pd.Series, place: str, expected: str, hint: str = "") -> None:
    """Name the first row that is wrong, what it holds, and how many more there are.

    Raises
    ------
    UserError
        If any row is wrong.
    """
    if not wrong.any():
        return
    row, more = wrong.idxmax(), int(wrong.sum()) - 1
    others = f", and in {more:,} more" if more else ""
    cell = f"{shown[row]} in row {row} of the file{others}"
    raise UserError(place, found=cell, expected=expected, hint=hint)
