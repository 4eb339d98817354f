"""Cells of an experiment's file: numbers, shares and days, or a refusal that names the row."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.errors import UserError
from features.sources.number_text import currencies, decimal_sign, number_value

_WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
_DAY = r"(?:19[7-9]\d|20\d\d)-\d{2}-\d{2}"
_LOOKS_LIKE_DATE = r"^\d{1,4}[-./]\d{1,2}[-./]\d{1,4}(?:[ T]|$)"
_UNTOLD_SIGN = r"\d[.,]\d{3}(?!\d)"


@dataclass(frozen=True)
class ExperimentTable:
    """Rows of an experiment's file.

    Attributes
    ----------
    rows
        All columns under plain names; the index is the number of the row in the file.
    name
        Name of the file, for messages.
    has_decimal_points
        True if a point alone, as in 1.127, is a decimal sign: in spreadsheets, and in files with
        commas between the columns.
    """

    rows: pd.DataFrame
    name: str
    has_decimal_points: bool

    def refusal(
        self, column: str, found: str, expected: str, row: object = None, hint: str = ""
    ) -> UserError:
        """Error about a column, perhaps about one of its rows."""
        in_row = "" if row is None else f" in row {row}"
        return UserError(
            f"{self.name}: column {column}", found=f"{found}{in_row}", expected=expected, hint=hint
        )

    def numbers(self, column: str, expected: str, *, hint: str = "") -> pd.Series[float]:
        """Numbers of a column, all of them known; yes and no are 1 and 0.

        Raises
        ------
        UserError
            With the first row that has no number, or no certain one.
        """
        parsed = self.parsed_numbers(column)
        if parsed.unread is not None:
            row, text = parsed.unread
            is_date = re.search(_LOOKS_LIKE_DATE, text) is not None
            hint = "this looks like a date: is it the right column?" if is_date else hint
            raise self.refusal(column, repr(text), expected, row, hint)
        if (empty := parsed.numbers.isna()).any():
            others = f" ({int(empty.sum()):,} in all)" if empty.sum() > 1 else ""
            raise self.refusal(
                column, "an empty cell", f"{expected}, in every row{others}",
                empty.idxmax(), hint,
            )  # fmt: skip
        return parsed.numbers

    def parsed_numbers(self, column: str) -> ParsedNumbers:
        """Numbers of a column as far as it holds any.

        Raises
        ------
        UserError
            If the decimal sign is uncertain, or amounts have different currencies.
        """
        cells = self.rows[column]
        if pd.api.types.is_bool_dtype(cells) or pd.api.types.is_numeric_dtype(cells):
            numbers = cells.astype("Float64").astype(float)
            infinite = np.isinf(numbers)
            unread = (infinite.idxmax(), "inf") if infinite.any() else None
            return ParsedNumbers(numbers, unread)
        texts = cells.map(lambda cell: None if _is_empty(cell) else str(cell).strip())
        filled = texts[texts.notna() & (texts != "")]
        sign = self._decimal_sign(column, filled)
        values = {text: _WORDS.get(text.casefold(), number_value(text, sign)) for text in filled}
        unread_cells = filled[filled.map(values).isna()]
        if len(unread_cells):
            unread = (unread_cells.index[0], str(unread_cells.iloc[0]))
            return ParsedNumbers(texts.map(values).astype(float), unread)
        if len(marks := currencies(filled)) > 1:
            raise self.refusal(
                column, f"amounts in {', '.join(sorted(marks))}", "amounts in one currency",
                hint="convert them first: amounts of different currencies cannot be compared",
            )  # fmt: skip
        return ParsedNumbers(texts.map(values).astype(float), None)

    def _decimal_sign(self, column: str, filled: pd.Series[Any]) -> str:
        """Decimal sign of a column of text.

        Raises
        ------
        UserError
            If 1.127 or 1,127 may be more than a thousand, or little more than one.
        """
        if (sign := decimal_sign(filled)) is not None:
            return sign
        for row, text in filled.items():
            numeric = number_value(text, ".") is not None or number_value(text, ",") is not None
            if not numeric or re.search(_UNTOLD_SIGN, text) is None:
                continue
            if "," in text or not self.has_decimal_points:
                raise self.refusal(
                    column, repr(text), "numbers that can be read in one way only", row,
                    "write numbers without a sign between thousands, and amounts with two decimals",
                )  # fmt: skip
        return "."

    def days(self, column: str) -> pd.Series[str]:
        """Days of a column as ``YYYY-MM-DD``, as they are written, whatever the time zone.

        Raises
        ------
        UserError
            With the first row that has no such day.
        """
        texts = self.rows[column].map(lambda cell: "" if _is_empty(cell) else str(cell).strip())
        days = texts.str.extract(f"^({_DAY})(?:[ T]|$)")[0]
        wrong = pd.to_datetime(days, errors="coerce", format="%Y-%m-%d").isna()
        if wrong.any():
            row = wrong.idxmax()
            raise self.refusal(
                column, repr(texts[row]) if texts[row] else "an empty cell",
                "days like 2024-03-31 from 1970 on, in every row", row,
                "write the year first: 03.02.2024 and 03/02/2024 can be read in two ways",
            )  # fmt: skip
        return days

    def shares(
        self,
        column: str,
        hint: str = "write .5, or 50 %, for one half, in every row",
        *,
        with_one: bool = False,
    ) -> pd.Series[float]:
        """Shares of a column, each above 0 and below 1, or at most 1; ``50 %`` is .5.

        Raises
        ------
        UserError
            With the first row that has no such share.
        """
        expected = "a share above 0, at most 1" if with_one else "a share between 0 and 1"
        cells = self.rows[column]
        is_percent = cells.map(lambda cell: isinstance(cell, str) and cell.strip().endswith("%"))
        bare = self.with_column(
            column, cells.map(lambda c: c.strip().rstrip("% ") if isinstance(c, str) else c)
        )
        shares = bare.numbers(column, expected, hint=hint)
        shares = shares.where(~is_percent, shares / 100)
        return self.require(
            column,
            shares,
            lambda share: (share > 0) & ((share <= 1) if with_one else (share < 1)),
            expected,
            hint,
        )

    def require(
        self,
        column: str,
        numbers: pd.Series[float],
        is_right: Callable[[pd.Series[float]], pd.Series[bool]],
        expected: str,
        hint: str = "",
    ) -> pd.Series[float]:
        """Return the numbers.

        Raises
        ------
        UserError
            With the first row in which they are not right.
        """
        wrong = ~is_right(numbers)
        if wrong.any():
            row = wrong.idxmax()
            raise self.refusal(column, f"{numbers[row]:g}", expected, row, hint)
        return numbers

    def with_column(self, column: str, cells: pd.Series[Any]) -> ExperimentTable:
        """The same table with other cells in a column."""
        return ExperimentTable(
            self.rows.assign(**{column: cells}), self.name, self.has_decimal_points
        )

    def where(self, kept: pd.Series[bool]) -> ExperimentTable:
        """The rows that are kept."""
        return ExperimentTable(self.rows[kept], self.name, self.has_decimal_points)


@dataclass(frozen=True)
class ParsedNumbers:
    """Numbers of a column, and the first cell that holds none.

    Attributes
    ----------
    numbers
        Null where a cell is empty or no number.
    unread
        Row and text of the first cell that is no number; None if all are.
    """

    numbers: pd.Series[float]
    unread: tuple[object, str] | None


def _is_empty(cell: object) -> bool:
    return (
        cell is None
        or cell is pd.NaT
        or cell is pd.NA
        or (isinstance(cell, float) and cell != cell)
    )
