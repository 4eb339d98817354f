"""Rows of the tables other than events, parsed by the same code as events."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import pandas as pd

from features.config.sources import CsvFormat, Location, TimeColumn
from features.errors import Problems, UserError
from features.sources.column_parsing import parse_moment
from features.sources.events import connect, engine_errors, open_table
from features.sources.files import require_columns
from features.sources.key_columns import key_column, refuse_nested, with_keys
from features.sources.locations import describe_location

# Texts that databases and spreadsheets export for a missing date.
_NO_DATE = ("null", "none", "nan", "nat", "n/a", "na", "-", "0000-00-00", "0000-00-00 00:00:00")

# Prefixes of copied columns; no source column starts with them.
COPY, WRITTEN = "read: ", "as written: "


@dataclass(frozen=True)
class TypedTable:
    """A table as declared in the config.

    Attributes
    ----------
    block
        Config key, for messages.
    table, csv
        Its location and the format of its files.
    timezone
        Time zone whose calendar defines the days.
    """

    block: str
    table: Location
    csv: CsvFormat
    timezone: str

    @property
    def where(self) -> str:
        """Config block and table name, for messages."""
        return f"{self.block}: {describe_location(self.table)}"

    def rows(
        self,
        texts: Collection[str],
        times: Collection[TimeColumn] = (),
        *,
        keys: Collection[str] = (),
        plain: Collection[str] = (),
        problems: Problems | None = None,
    ) -> tuple[pd.DataFrame, dict[str, pd.Series[Any]]]:
        """Read columns as text and keys, and times as wall-clock times of the time zone.

        Parameters
        ----------
        texts
            Columns to read as text: trimmed, whole numbers without a decimal point, empty is null.
        times
            Columns to parse as times.
        keys
            Columns to read as keys (`features.sources.keys`).
        plain
            Columns to return unchanged.
        problems
            Collects errors for the caller; None: errors are raised.

        Returns
        -------
        DataFrame
            Key, text and plain columns by their own names; the keys as written in the file with
            the prefix `WRITTEN`.
        dict of Series
            Wall-clock time (datetime64[us]) by column; null if the cell is empty.

        Raises
        ------
        UserError
            For a missing table or column, and for an ambiguous date: a guessed day could put a
            refusal before the consent it withdraws.
        """
        needed_columns = list(
            dict.fromkeys([*keys, *texts, *plain, *(time_column.column for time_column in times)])
        )
        text_and_keys = list(dict.fromkeys([*keys, *texts]))
        plain_columns = [column for column in dict.fromkeys(plain) if column not in text_and_keys]
        untyped_columns = {*plain, *(time_column.column for time_column in times)}
        key_like_columns = [column for column in text_and_keys if column not in untyped_columns]
        collected = Problems() if problems is None else problems
        with engine_errors(describe_location(self.table)):
            opened = open_table(connect(), self.table, self, needed_columns, keys=key_like_columns)
            with collected.collect():
                require_columns(opened, needed_columns, self.where)
            with collected.collect():
                refuse_nested(opened, text_and_keys, self.where)
            first_column = opened[opened.columns[0]]
            null_text = (first_column.isnull() & first_column.notnull()).ifelse(
                first_column.cast("string"), None
            )
            missing_columns = [column for column in needed_columns if column not in opened.columns]
            opened = opened.mutate(**dict.fromkeys(missing_columns, null_text))
            written_keys = {f"{WRITTEN}{column}": opened[column] for column in dict.fromkeys(keys)}
            opened = with_keys(opened.mutate(**written_keys), keys, self.where)
            # Copies beside the originals, since a column may be read both as text and as a time.
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
        _, wall_clock = parse_moment(opened, time_column, self.timezone, self.where)
        unreadable = opened[time_column.column].notnull() & wall_clock.isnull()
        return {f"wall{number}": wall_clock, f"unread{number}": unreadable}

    def _refuse_unreadable(self, unreadable: pd.Series[Any], time_column: TimeColumn) -> None:
        if not unreadable.any():
            return
        raise UserError(
            f"{self.where}: {time_column.column}",
            found=f"{int(unreadable.sum())} of {len(unreadable)} values that are no "
            "dates, or dates that can be read in two ways",
            expected="dates that begin with the year, or a declared `format`",
            hint=f"write {{column: {time_column.column}, ..., format: '%d.%m.%Y'}} with the "
            "format of the file",
        )


def _dated(column: Any) -> Any:
    """Return the column, null where the text means "no date"."""
    if not column.type().is_string():
        return column
    missing = column.isnull() | column.strip().lower().isin(["", *_NO_DATE])
    return missing.ifelse(None, column)
