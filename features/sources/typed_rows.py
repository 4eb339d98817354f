"""Rows of a table beside the events: text and moments, read exactly as those of events are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import pandas as pd

from features.config.sources import CsvFormat, Location, TimeColumn
from features.errors import Problems, UserError
from features.sources.column_parsing import as_moment
from features.sources.events import connect, open_table, reading
from features.sources.files import describe, require_all
from features.sources.keys import key_column, with_keys

# What exports of databases and spreadsheets write where there is no date.
NO_DATE = ("null", "none", "nan", "nat", "n/a", "na", "-", "0000-00-00", "0000-00-00 00:00:00")

# Before the names of copied columns: no column of a source is called so.
COPY, WRITTEN = "read: ", "as written: "


@dataclass(frozen=True)
class TypedTable:
    """A table as the config declares it.

    Attributes
    ----------
    block
        Key of the config, for messages.
    table, csv
        Where it lies and how its files are written.
    timezone
        In whose calendar days are counted.
    """

    block: str
    table: Location
    csv: CsvFormat
    timezone: str

    @property
    def where(self) -> str:
        """Block and name, for messages."""
        return f"{self.block}: {describe(self.table)}"

    def rows(
        self,
        texts: Collection[str],
        times: Collection[TimeColumn] = (),
        *,
        keys: Collection[str] = (),
        plain: Collection[str] = (),
        problems: Problems | None = None,
    ) -> tuple[pd.DataFrame, dict[str, pd.Series[Any]]]:
        """Cells as text, and moments as wall-clock times of the time zone.

        Parameters
        ----------
        texts
            Columns to read as text: trimmed, whole numbers without a decimal point, empty is null.
        times
            Columns to read as moments.
        keys
            Columns to read as keys (`features.sources.keys`).
        plain
            Columns to take as the file has them.
        problems
            Collects what is wrong, so that the caller can report more; without it, it is raised.

        Returns
        -------
        DataFrame
            The columns of keys, of text and the plain ones by their own names; the keys as the
            file has them behind `WRITTEN`.
        dict of Series
            Wall-clock time (datetime64[us]) by column; null where the cell is empty.

        Raises
        ------
        UserError
            For a missing table or column, and for a date that cannot be read for certain: a
            guessed day could make a refusal older than the consent it takes back.
        """
        asked = list(dict.fromkeys([*keys, *texts, *plain, *(spec.column for spec in times)]))
        texted = list(dict.fromkeys([*keys, *texts]))
        kept = [column for column in dict.fromkeys(plain) if column not in texted]
        others = {*plain, *(spec.column for spec in times)}
        exact = [column for column in texted if column not in others]
        kept_problems = Problems() if problems is None else problems
        with reading(describe(self.table)):
            opened = open_table(connect(), self.table, self, asked, keys=exact)
            with kept_problems.collect():
                require_all(opened, asked, self.where)
            first = opened[opened.columns[0]]
            nothing = (first.isnull() & first.notnull()).ifelse(first.cast("string"), None)
            lacking = [column for column in asked if column not in opened.columns]
            opened = opened.mutate(**dict.fromkeys(lacking, nothing))
            written = {f"{WRITTEN}{column}": opened[column] for column in dict.fromkeys(keys)}
            opened = with_keys(opened.mutate(**written), keys, self.where)
            # Beside the columns as they are, since one may be read both as text and as a moment.
            copies = {f"{COPY}{column}": key_column(opened[column]) for column in texted}
            copies |= {f"{COPY}{column}": opened[column] for column in kept}
            opened = opened.mutate(**copies)
            opened = opened.mutate(**{spec.column: _dated(opened[spec.column]) for spec in times})
            cells: dict[str, Any] = {name: opened[name] for name in [*copies, *written]}
            for number, spec in enumerate(times):
                if spec.column not in lacking:
                    with kept_problems.collect():
                        cells |= self._moment(opened, spec, number)
            frame: pd.DataFrame = opened.select(**cells).to_pyarrow().to_pandas()
        walls = {}
        for number, spec in enumerate(times):
            unknown = pd.Series(pd.NaT, index=frame.index)
            wall = frame.get(f"wall{number}", unknown)
            walls[spec.column] = wall.astype("datetime64[us]")
            with kept_problems.collect():
                self._refuse_unreadable(frame.get(f"unread{number}", unknown.notna()), spec)
        if problems is None:
            kept_problems.refuse()
        rows = frame[[*copies, *written]].set_axis([*texted, *kept, *written], axis=1)
        return rows.astype(dict.fromkeys(texted, object)), walls

    def _moment(self, opened: Any, spec: TimeColumn, number: int) -> dict[str, Any]:
        _, wall = as_moment(opened, spec, self.timezone, self.where)
        unread = opened[spec.column].notnull() & wall.isnull()
        return {f"wall{number}": wall, f"unread{number}": unread}

    def _refuse_unreadable(self, unread: pd.Series[Any], spec: TimeColumn) -> None:
        if not unread.any():
            return
        raise UserError(
            f"{self.where}: {spec.column}",
            found=f"{int(unread.sum())} of {len(unread)} values that are no dates, or dates that "
            "can be read in two ways",
            expected="dates that begin with the year, or a declared `format`",
            hint=f"write {{column: {spec.column}, ..., format: '%d.%m.%Y'}} as the file has them",
        )


def _dated(column: Any) -> Any:
    """The column, null where a text says that there is no date."""
    if not column.type().is_string():
        return column
    missing = column.isnull() | column.strip().lower().isin(["", *NO_DATE])
    return missing.ifelse(None, column)
