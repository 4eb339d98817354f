"""A proposed source: what its columns most likely are, and what is to be said about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from features.config.sources import CsvFormat
from flows.setup.column_synonyms import synonym_rank
from flows.setup.table_joins import SharedKey
from flows.setup.table_profiling import ColumnProfile, ProfiledTable

_LAYOUT = {"delimiter", "encoding", "skip_lines", "sheet"}  # decimal signs are named by column


@dataclass(frozen=True)
class Lookup:
    """A table that adds its columns by a key: `column` of the source, `other` of the table."""

    table: ProfiledTable
    key: SharedKey

    def settings(self, source_form: CsvFormat) -> dict[str, Any]:
        """The keys `key`, `table_key` and `csv` of a config, beside a source written in a form."""
        settings: dict[str, Any] = {"key": self.key.column}
        if self.key.other != self.key.column:
            settings["table_key"] = self.key.other
        layout = self.table.form.model_dump(include=_LAYOUT)
        if layout != source_form.model_dump(include=_LAYOUT):
            settings["csv"] = self.table.form.model_dump(include=_LAYOUT, exclude_defaults=True)
        return settings


@dataclass
class SourceProposal:
    """A source as a config would have it, with what is to be said about each choice.

    Attributes
    ----------
    table, lookups
        Where the rows lie.
    columns
        Event column: table column (times: a mapping); attributes stand behind them.
    event_type
        A constant, or ``{column: NAME}``.
    roles, ignored
        Role: event types; event types of no role.
    notes
        Event column: a sentence to look at.
    spare
        Further attributes that could be declared: name -> column.
    personal, outcomes
        Columns that are no attributes: told of people, or known only after the event.
    value_scale, value_of_each, only, fill_within_order, fill_from
        As in the config.
    alternatives
        Event column: table columns that it may be as well, the one taken first.
    preset
        Name of the preset that was taken; empty without one.
    """

    table: ProfiledTable
    lookups: tuple[Lookup, ...]
    columns: dict[str, Any] = field(default_factory=dict)
    event_type: str | dict[str, Any] = "purchase"
    event_id: str | None = None
    roles: dict[str, list[str]] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    notes: dict[str, str] = field(default_factory=dict)
    spare: dict[str, str] = field(default_factory=dict)
    personal: list[str] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    value_scale: float = 1.0
    value_of_each: float | None = None
    only: dict[str, list[str]] = field(default_factory=dict)
    fill_within_order: list[str] = field(default_factory=list)
    fill_from: dict[str, list[str]] = field(default_factory=dict)
    alternatives: dict[str, tuple[str, ...]] = field(default_factory=dict)
    preset: str = ""
    currency: str = ""
    decimals: int = 2


def best_column(
    columns: Mapping[str, ColumnProfile],
    patterns: Sequence[str],
    fits: Callable[[ColumnProfile], bool] = lambda column: True,
) -> ColumnProfile | None:
    """The column whose name matches the earliest pattern, of those that fit."""
    ranked = [
        (place, number, column)
        for number, column in enumerate(columns.values())
        if (place := synonym_rank(column.name, patterns)) is not None
        and column.kind != "other"
        and fits(column)
    ]
    return min(ranked, key=lambda each: each[:2])[2] if ranked else None


def used_columns(found: SourceProposal) -> set[str]:
    """Table columns that have a meaning already."""
    columns = {
        name
        for value in found.columns.values()
        for name in (
            [value["column"]]
            if isinstance(value, dict)
            else value
            if isinstance(value, list)
            else [value]
        )
    }
    if isinstance(found.event_type, dict):
        columns |= {found.event_type["column"], found.event_type.get("otherwise", "")}
    columns |= {name for filling in found.fill_from.values() for name in filling}
    return columns | {found.event_id or "", *found.only, *found.fill_within_order}
