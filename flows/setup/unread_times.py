"""Why no column of a table says when: what dates there are, and which cells are none."""

from __future__ import annotations

import re

from features.errors import UserError
from flows.setup import column_synonyms
from flows.setup.datetime_formats import form_of_text
from flows.setup.source_draft import best_column
from flows.setup.table_profiling import ColumnProfile, ProfiledTable

_BUDDHIST_YEAR = re.compile(r"(?<!\d)2[45]\d\d(?!\d)|(?<!\d)26[01]\d(?!\d)")
_USUAL_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)")
_DAY = r"\d\D+\d.*\d|^\d{6,8}$"  # several numbers, or all in one
_FEWEST_SHARE = 0.3  # of the cells that must be dates for the others to be the exception
_NAMED = 3


def refuse_other_calendar(table: ProfiledTable, column: ColumnProfile) -> None:
    """Stop at years of the Buddhist calendar, which would all lie in the future.

    Raises
    ------
    UserError
        Where most cells have such a year.
    """
    text = column.cells.dropna().astype(str)
    if column.kind == "number" or not len(text):
        return
    years = text.str.extract(f"({_BUDDHIST_YEAR.pattern})")[0]
    if years.notna().mean() > _FEWEST_SHARE and not text.str.contains(_USUAL_YEAR).any():
        raise UserError(
            f"{table.name}: {column.name}",
            found=f"years of the Buddhist calendar ({years.dropna().iloc[0]})",
            expected="years like 2024",
            hint="take 543 from each year",
        )


def why_no_time(table: ProfiledTable, said: ColumnProfile | None) -> str:
    """What to add to the refusal of a table without a time; begins with "; ", or is empty.

    Parameters
    ----------
    table
        The table.
    said
        The column that the user named, if any.
    """
    dated = [column.name for column in table.columns.values() if column.time is not None]
    if said is None and dated:
        names = ", ".join(map(repr, dated[:_NAMED]))
        return f"; {names} hold dates, but their names speak of something else: name the one meant"
    near = said or best_column(table.columns, column_synonyms.TIME)
    if near is None:
        return ""
    return f"; {near.name!r} reads as no date or time{_exceptions(near)}"


def _exceptions(column: ColumnProfile) -> str:
    """Cells that keep a column from being one of dates, in words."""
    cells = column.cells.astype("object")
    text = cells.dropna().astype(str).str.strip()
    likely = text[text.str.contains(_DAY)]
    if len(likely) < _FEWEST_SHARE * max(len(cells), 1) or not form_of_text(likely, named=True):
        return ""
    others = list(dict.fromkeys(text[~text.index.isin(likely.index)]))
    shown = ", ".join([*map(repr, others[:_NAMED]), *["empty cells"] * int(cells.isna().any())])
    return (
        f" in all rows ({len(likely):,} of {len(cells):,} do; not: {shown}). Give each row its own "
        "date, and delete the lines between"
    )
