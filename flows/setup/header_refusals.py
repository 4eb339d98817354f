"""First lines that are no names of columns, or name a month each."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from features.errors import UserError
from flows.setup.written_dates import written_form

_FEWEST_PERIODS, _LEAST_SHARE = 3, 0.4
_PERIOD = re.compile(r"(19|20)\d\d([ _-]?[QH][1-4])?|[QH][1-4][ _-]?(19|20)\d\d", re.IGNORECASE)


def refuse_header(where: str, names: Sequence[str]) -> None:
    """Stop at a table without names of columns, and at one with a column for each month.

    Raises
    ------
    UserError
        Saying what the first line should hold.
    """
    cells = pd.Series([str(name).strip() for name in names])
    periods = [name for name in cells if _names_period(name)]
    if len(periods) >= max(_FEWEST_PERIODS, _LEAST_SHARE * len(cells)):
        raise UserError(
            where,
            found=f"one column for each month, day or year ({', '.join(periods[:3])}, ...)",
            expected="one row for each customer and date, with columns for who, when and how much",
            hint="export the orders behind this table; or turn its columns into rows: `Unpivot "
            "columns` in a spreadsheet, UNPIVOT in SQL, melt in pandas",
        )
    numbers = pd.to_numeric(cells.str.replace(",", "."), errors="coerce").notna()
    dates = cells.str.match(r"^\d{1,4}[-./]\d{1,2}[-./]\d{1,4}")
    if (numbers | dates).mean() >= 0.5:
        raise UserError(
            where,
            found=f"a first line that looks like data: {', '.join(cells[:6])}",
            expected="column names in the first line",
            hint="put a line of names above it",
        )


def _names_period(name: str) -> bool:
    """Whether a name is a month, quarter, year or date (2024-01, Jan 2024, Q1 2024)."""
    if _PERIOD.fullmatch(name):
        return True
    return re.search(r"\d", name) is not None and _is_date(name)


def _is_date(name: str) -> bool:
    return len(name) >= 6 and written_form(pd.Series([name]), named=True) is not None
