"""Config blocks of sources: where events lie, and how their columns become event columns."""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection
from typing import Annotated, Literal, Protocol
from zoneinfo import available_timezones

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from features.config.types import Name, Strict

ATTRIBUTE_NAME = re.compile("[a-z][a-z0-9_]*")
# Numbers that count time from 1970-01-01 UTC: how many of them make a second.
EPOCH_UNITS = {
    "seconds": 1,
    "milliseconds": 1_000,
    "microseconds": 1_000_000,
    "nanoseconds": 1_000_000_000,
}
# Numbers that count days of a clock from 1899-12-30, with the time as their fraction.
SPREADSHEET_DAYS = "spreadsheet_days"
# Each says a calendar date, or a month: its first day counts.
_DATE_PARTS = ({"%d", "%m"}, {"%d", "%b"}, {"%d", "%B"}, {"%Y", "%m"}, {"%Y", "%b"}, {"%Y", "%B"},
               {"%G", "%V", "%u"})  # fmt: skip


class DatasetTable(Strict):
    """A table of an example data set that a package ships."""

    dataset: Literal["completejourney", "cdnow"]
    table: str


class UrlTable(Strict):
    """A table behind an Ibis URL (DuckDB file, PostgreSQL, ...)."""

    url: str
    table: str


Location = str | Annotated[tuple[str, ...], Field(min_length=1)] | DatasetTable | UrlTable


class TimeColumn(Strict):
    """How a column becomes a moment: an instant (with its zone) or a local calendar date.

    `format` says how a text is written that does not begin with the year (``%d.%m.%Y %H:%M``;
    ``%b`` for the name of a month, ``%z`` for an offset; of ``%Y-%m`` the first day counts), that a
    number counts seconds, milliseconds, microseconds or nanoseconds from 1970-01-01 UTC, or that it
    is a date of a spreadsheet (`spreadsheet_days`).
    """

    column: str
    zone: str | None = None
    as_: Literal["instant", "local_date"] = Field(default="instant", alias="as")
    format: str | None = None

    @field_validator("format")
    @classmethod
    def _readable(cls, form: str | None) -> str | None:
        if form is None or form in EPOCH_UNITS or form == SPREADSHEET_DAYS:
            return form
        parts = set(re.findall("%[a-zA-Z]", form))
        if not any(needed <= parts for needed in _DATE_PARTS):
            raise ValueError(
                f"{' or '.join(EPOCH_UNITS)} or {SPREADSHEET_DAYS}, or how day and month are "
                "written, like '%d.%m.%Y %H:%M'"
            )
        return form

    @model_validator(mode="after")
    def _zone_fits(self) -> TimeColumn:
        if self.format in EPOCH_UNITS and (self.zone is not None or self.as_ == "local_date"):
            raise ValueError(
                f"{self.format} since 1970 are instants: drop `zone` and `as: local_date`"
            )
        if self.has_offset and (self.zone is not None or self.as_ == "local_date"):
            raise ValueError("times with an offset are instants: drop `zone` and `as: local_date`")
        if self.as_ == "local_date" and self.zone is not None:
            raise ValueError("a local date has no zone: drop `zone` or `as: local_date`")
        if self.zone is not None and self.zone not in available_timezones():
            raise ValueError(f"unknown time zone {self.zone!r}; use an IANA name like UTC")
        return self

    @property
    def has_offset(self) -> bool:
        """Whether the texts say their offset from UTC, by the format."""
        return "%z" in (self.format or "")


class Columns(BaseModel):
    """Which source column fills which event column; unknown names are declared attributes."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    anonymous_id: str | None = None
    customer_id: str | None = Field(default=None, validate_default=True)
    occurred_at: TimeColumn
    known_at: TimeColumn | None = None
    value: str | None = None
    value_times: str | None = None
    value_less: tuple[str, ...] = ()
    order_id: str | None = None
    session_id: str | None = None
    channel: str | None = None
    is_machine: str | None = None

    @field_validator("customer_id")
    @classmethod
    def _somebody(cls, name: str | None, info: ValidationInfo) -> str | None:
        if name is None and info.data.get("anonymous_id") is None:
            raise PydanticCustomError("missing", "neither customer_id nor anonymous_id")
        return name

    @model_validator(mode="after")
    def _a_factor_has_a_price(self) -> Columns:
        if self.value_times is not None and self.value is None:
            raise ValueError("`value_times` multiplies `value`, which is not mapped")
        if self.value_less and self.value is None:
            raise ValueError("`value_less` is subtracted from `value`, which is not mapped")
        return self

    @model_validator(mode="after")
    def _attributes_are_names(self) -> Columns:
        for attribute, column in (self.__pydantic_extra__ or {}).items():
            if attribute in ("event_type", "event_id"):
                raise ValueError(f"{attribute!r} stands beside `columns`, not within")
            if not isinstance(column, str):
                raise ValueError(
                    f"attribute {attribute!r} must name a source column, got {column!r}"
                )
            if not ATTRIBUTE_NAME.fullmatch(attribute):
                raise ValueError(
                    f"attribute {attribute!r} must be lower case letters, digits and underscores"
                )
        return self

    @property
    def attributes(self) -> dict[str, str]:
        """Declared attributes: name -> source column."""
        return {str(k): str(v) for k, v in (self.__pydantic_extra__ or {}).items()}

    def only(self, attributes: Collection[str]) -> Columns:
        """The same columns with some of the attributes, and without the sessions."""
        attributes_kept = {
            key: column for key, column in self.attributes.items() if key in attributes
        }
        plain_columns = {
            key: column
            for key, column in self
            if key not in self.attributes and key != "session_id"
        }
        if "channel" not in attributes:
            plain_columns.pop("channel")
        return Columns.model_validate({**plain_columns, **attributes_kept})


class ColumnRef(Strict):
    """An event type taken from a column instead of a constant.

    `words` renames what the cells say (without case and outer spaces), to `left_out` for rows that
    are no events; an empty word stands for empty cells. `otherwise` names the column that fills
    empty cells.
    """

    column: str
    words: dict[str, Name] = Field(default={})
    otherwise: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all columns that decide the type."""
        return (self.column,) if self.otherwise is None else (self.column, self.otherwise)


class CsvFormat(Strict):
    """How to read a delimited file that is not plain comma separated UTF-8.

    `decimals` names the columns whose decimal sign differs from `decimal`, `skip_lines` counts the
    lines above the header, `sheet` names a sheet of a spreadsheet, or several with
    the same columns by a star (``Sales *``).
    """

    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    decimal: Literal[".", ","] = "."
    decimals: dict[str, Literal[".", ","]] = Field(default={})
    encoding: str = "utf-8"
    skip_lines: Annotated[int, Field(ge=0, le=1_000)] = 0
    sheet: str | None = None

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, name: str) -> str:
        plain = name.lower().replace("_", "-")
        if plain in ("utf-8", "latin-1", "utf-16"):
            return plain
        try:
            # Other codecs of this name are no encodings of text.
            "".encode(name)
        except LookupError:
            raise ValueError(
                f"unknown encoding {name!r}; a name like utf-8, cp1252, shift_jis or gb18030"
            ) from None
        codec = codecs.lookup(name).name
        return "latin-1" if codec == "iso8859-1" else codec

    def decimal_of(self, column: str) -> Literal[".", ","]:
        """The decimal sign of a column."""
        return self.decimals.get(column, self.decimal)


class Lookup(Strict):
    """A table whose columns are added to the rows of a source (left join on one column).

    `table_key` is the name of the column in the table, where it is another than in the source;
    `csv` says how the table is written, where it is not written as the source's files are.
    """

    table: Location
    key: str
    table_key: str | None = None
    csv: CsvFormat | None = None


class Formatted(Protocol):
    """Whatever says how its files are written."""

    @property
    def csv(self) -> CsvFormat:
        """Form of delimited files."""


class EventSource(Strict):
    """One table of events.

    `only` maps columns to the words that they must hold (`*`: any; an empty word: an empty cell;
    `>0`, `<0`: a number above or below zero), or else a row is left out;
    `value_of_each` is the amount of every row of a table without amounts;
    `fill_from` maps a column to those of the same row that fill its empty cells.
    """

    events: Location
    columns: Columns
    event_type: Name | ColumnRef
    event_id: str | None = None
    only: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(default={})
    value_scale: Annotated[float, Field(allow_inf_nan=False)] = 1.0
    value_of_each: Annotated[float, Field(allow_inf_nan=False)] | None = None
    fill_within_order: tuple[str, ...] = ()
    fill_from: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(default={})
    lookups: tuple[Lookup, ...] = ()
    csv: CsvFormat = CsvFormat()

    @model_validator(mode="after")
    def _settings_have_their_columns(self) -> EventSource:
        if self.fill_within_order and self.columns.order_id is None:
            raise ValueError("`fill_within_order` without `order_id` under `columns`")
        unmapped = sorted(set(self.fill_from) - self.mapped())
        if unmapped:
            raise ValueError(f"`fill_from` fills {unmapped[0]!r}, which is not mapped")
        if self.value_scale == 0 or (self.value_scale != 1 and self.columns.value is None):
            raise ValueError("`value_scale` multiplies `value`: map it, and choose another than 0")
        if self.value_of_each is not None and self.columns.value is not None:
            raise ValueError("`value_of_each` beside `value` under `columns`: one of them")
        return self

    def mapped(self) -> set[str]:
        """Names of the table's columns that are read, or that lookups are joined on."""
        columns = self.columns
        time_columns = [
            time_column
            for time_column in (columns.occurred_at, columns.known_at)
            if time_column is not None
        ]
        plain_columns = (
            columns.customer_id,
            columns.anonymous_id,
            columns.value,
            columns.value_times,
            columns.order_id,
            columns.session_id,
            columns.channel,
            columns.is_machine,
            self.event_id,
            *columns.value_less,
            *self.fill_within_order,
            *self.only,
            *(name for filling in self.fill_from.values() for name in filling),
            *(self.event_type.columns if isinstance(self.event_type, ColumnRef) else ()),
        )
        column_names = {time_column.column for time_column in time_columns} | {
            column_name for column_name in plain_columns if column_name is not None
        }
        return column_names | set(columns.attributes.values()) | self._lookup_keys()

    def _lookup_keys(self) -> set[str]:
        named = [name for each in self.lookups for name in (each.key, each.table_key)]
        return {name for name in named if name is not None}

    def keys(self) -> set[str]:
        """Names of the columns that are read as keys or as plain text, never as numbers or times.

        They keep every digit, whatever types the files of the table give them.
        """
        columns = self.columns
        time_columns = [
            time_column
            for time_column in (columns.occurred_at, columns.known_at)
            if time_column is not None
        ]
        time_names = {time_column.column for time_column in time_columns}
        time_names |= {columns.value or "", columns.value_times or "", columns.is_machine or ""}
        time_names |= set(columns.value_less)
        filling = {name for key in time_names for name in self.fill_from.get(key, ())}
        return self.mapped() - time_names - filling


class IdentityColumns(Strict):
    """Which columns say who an unknown visitor turned out to be, and since when that is known."""

    anonymous_id: str
    customer_id: str
    linked_at: TimeColumn


class Identities(Strict):
    """The table that links anonymous ids to customers."""

    table: Location
    columns: IdentityColumns
    csv: CsvFormat = CsvFormat()


class SpendColumns(Strict):
    """Which columns hold what was spent to win people, on which day, in which channel."""

    date: str | TimeColumn
    amount: str
    channel: str | None = None


class Spend(Strict):
    """The table of acquisition spend."""

    table: Location
    columns: SpendColumns
    csv: CsvFormat = CsvFormat()
