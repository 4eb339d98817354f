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
        needed_columns = list(
            dict.fromkeys([*keys, *texts, *plain, *(time_column.column for time_column in times)])
        )
        text_and_keys = list(dict.fromkeys([*keys, *texts]))
        plain_columns = [column for column in dict.fromkeys(plain) if column not in text_and_keys]
        untyped_columns = {*plain, *(time_column.column for time_column in times)}
        key_like_columns = [column for column in text_and_keys if column not in untyped_columns]
        collected = Problems() if problems is None else problems
        with reading(describe(self.table)):
            opened = open_table(connect(), self.table, self, needed_columns, keys=key_like_columns)
            with collected.collect():
                require_all(opened, needed_columns, self.where)
            first_column = opened[opened.columns[0]]
            null_text = (first_column.isnull() & first_column.notnull()).ifelse(
                first_column.cast("string"), None
            )
            missing_columns = [column for column in needed_columns if column not in opened.columns]
            opened = opened.mutate(**dict.fromkeys(missing_columns, null_text))
            written_keys = {f"{WRITTEN}{column}": opened[column] for column in dict.fromkeys(keys)}
            opened = with_keys(opened.mutate(**written_keys), keys, self.where)
            # Beside the columns as they are, since one may be read both as text and as a moment.
            copies = {f"{COPY}{column}": key_column(opened[column]) for column in text_and_keys}
            copies |= {f"{COPY}{column}": opened[column] for column in plain_columns}
            opened = opened.mutate(**copies)
            opened = opened.mutate(
                **{time_column.column: _dated(opened[time_column.column]) for time_column in times}
            )
            selected: dict[str, Any] = {
                column_name: opened[column_name] for column_name in [*copies, *written_keys]
            }
            for number, time_column in enumerate(times):
                if time_column.column not in missing_columns:
                    with collected.collect():
                        selected |= self._moment(opened, time_column, number)
            selected_rows: pd.DataFrame = opened.select(**selected).to_pyarrow().to_pandas()
        wall_clocks = {}
        for number, time_column in enumerate(times):
            no_moments = pd.Series(pd.NaT, index=selected_rows.index)
            wall_clock = selected_rows.get(f"wall{number}", no_moments)
            wall_clocks[time_column.column] = wall_clock.astype("datetime64[us]")
            with collected.collect():
                self._refuse_unreadable(
                    selected_rows.get(f"unread{number}", no_moments.notna()), time_column
                )
        if problems is None:
            collected.refuse()
        rows = selected_rows[[*copies, *written_keys]].set_axis(
            [*text_and_keys, *plain_columns, *written_keys], axis=1
        )
        return rows.astype(dict.fromkeys(text_and_keys, object)), wall_clocks

    def _moment(self, opened: Any, time_column: TimeColumn, number: int) -> dict[str, Any]:
        _, wall_clock = as_moment(opened, time_column, self.timezone, self.where)
        unreadable = opened[time_column.column].notnull() & wall_clock.isnull()
        return {f"wall{number}": wall_clock, f"unread{number}": unreadable}

    def _refuse_unreadable(self, unreadable: pd.Series[Any], time_column: TimeColumn) -> None:
        if not unreadable.any():
            return
        raise UserError(
            f"{self.where}: {time_column.column}",
            found=f"{int(unreadable.sum())} of {len(unreadable)} values that are no dates, or dates that "
            "can be read in two ways",
            expected="dates that begin with the year, or a declared `format`",
            mend=f"write {{column: {time_column.column}, ..., format: '%d.%m.%Y'}} as the file has them",
        )


def _dated(column: Any) -> Any:
    """The column, null where a text says that there is no date."""
    if not column.type().is_string():
        return column
    missing = column.isnull() | column.strip().lower().isin(["", *NO_DATE])
    return missing.ifelse(None, column)
