"""Sheets of spreadsheets (xlsx, xls, ods) as tables of text."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from features.errors import UserError

SPREADSHEETS = ("xlsx", "xlsm", "xlsb", "xls", "ods")


def is_spreadsheet(name: str) -> bool:
    """Return True for the file name of a spreadsheet."""
    return name.lower().rsplit(".", 1)[-1] in SPREADSHEETS


def sheet_names(name: str) -> list[str]:
    """Return the names of a spreadsheet's sheets, in order."""
    return list(_workbook(name).sheet_names)


def chosen_sheets(name: str, sheet: str | None) -> list[str]:
    """Return the names of the sheets that a `sheet` of a config means, in order.

    Without one it is the only sheet with rows. A star stands for any text (``Sales *``), and
    chooses of the sheets with rows.

    Raises
    ------
    UserError
        Where no sheet has that name, or several have rows and none is named.
    """
    workbook = _workbook(name)
    titles = workbook.sheet_names
    if sheet is not None and sheet in titles:
        return [sheet]
    filled = [title for title in titles if workbook.get_sheet_by_name(title).height > 0]
    if sheet is None:
        if len(filled) != 1:
            raise _unclear_sheet(name, f"{len(filled)} sheets with rows", filled)
        return filled
    chosen = [title for title in filled if "*" in sheet and fnmatchcase(title, sheet)]
    if not chosen:
        raise _unclear_sheet(name, f"no sheet {sheet!r}", titles)
    return chosen


def sheet_rows(name: str, title: str) -> list[list[str]]:
    """Return the cells of one sheet as text."""
    cells = _workbook(name).get_sheet_by_name(title).to_python(skip_empty_area=True)
    return [[_cell_text(cell) for cell in row] for row in cells]


def _unclear_sheet(name: str, found: str, titles: Sequence[str]) -> UserError:
    return UserError(
        f"file {Path(name).name}",
        found=f"{found} (sheets: {', '.join(titles) or 'none'})",
        expected="one sheet with rows",
        hint='name it in the source: `csv: {sheet: NAME}`; `sheet: "*"` reads all, if their '
        "columns are the same",
    )


def _workbook(name: str) -> Any:
    try:
        from python_calamine import CalamineError, CalamineWorkbook
    except ImportError as error:
        raise UserError(
            f"file {Path(name).name}",
            found="a spreadsheet, and no package that reads it",
            expected="the package python-calamine",
            hint="pip install 'stagecast[spreadsheets]', or save the sheet as CSV (UTF-8)",
        ) from error
    open_workbook: Callable[[str], Any] = CalamineWorkbook.from_path
    try:
        return open_workbook(name)
    except (CalamineError, OSError, ValueError) as error:
        raise UserError(
            f"file {Path(name).name}",
            found=f"a spreadsheet that cannot be read ({type(error).__name__})",
            expected="a whole file without a password",
            hint="open it and save it again, or save the sheet as CSV (UTF-8)",
        ) from error


def _cell_text(cell: Any) -> str:
    """Return a cell as text that reads back to the same value; whole numbers without a point."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 2**53 else repr(cell)
    if isinstance(cell, dt.datetime):
        midnight = cell.time() == dt.time()
        return cell.date().isoformat() if midnight else cell.isoformat(sep=" ")
    return str(cell)
