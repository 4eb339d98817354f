"""Presets: what the columns of a tool's export mean, one YAML each in `configs/presets/`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from pydantic import Field, ValidationError

from features.config.types import Name, Strict
from features.config.yaml_loading import parse_yaml
from features.contracts import LEFT_OUT
from features.errors import UserError
from flows.setup.column_synonyms import plain_name
from flows.setup.order_state_inference import words_of
from flows.setup.order_states import order_state
from flows.setup.source_draft import SourceProposal
from flows.setup.table_profiling import ColumnProfile, ProfiledTable

_FOLDER = Path(__file__).resolve().parents[2] / "configs" / "presets"
_OneOf = str | tuple[str, ...]


class TypeColumn(Strict):
    """The column of event types, of several names the first that a table has, and its words."""

    column: _OneOf
    words: dict[str, Name] = Field(default={})


class Preset(Strict):
    """A tool's export: how it is recognised, and what its columns mean.

    Attributes
    ----------
    title
        The tool and the export.
    recognised_by
        Columns that the table must have; of a list of names one.
    columns
        Event column: table column, or several in order of preference. A column that the table
        lacks is left out. Other names are attributes; of `value_less` all columns count.
    event_type
        A constant, or the column of types; without `words` their names tell the roles.
    only
        Column to the words whose rows count; a column that the table lacks is left out.
    zone
        Zone of clock times without an offset, if the tool fixes it.
    note
        What to check.

    The other keys are those of a source.
    """

    title: str
    recognised_by: tuple[_OneOf, ...]
    columns: dict[str, _OneOf]
    event_type: Name | TypeColumn = "purchase"
    only: dict[str, tuple[str, ...]] = Field(default={})
    value_scale: float = 1.0
    fill_within_order: tuple[str, ...] = ()
    zone: str | None = None
    note: str = ""


@cache
def all_presets() -> dict[str, Preset]:
    """Every preset by its name, in alphabetical order.

    Raises
    ------
    UserError
        For a file that is no preset.
    """
    presets = {}
    for path in sorted(_FOLDER.glob("*.yaml")):
        try:
            presets[path.stem] = Preset.model_validate(parse_yaml(path))
        except ValidationError as error:
            first = error.errors()[0]
            raise UserError(
                f"{path.name}: {'.'.join(map(str, first['loc']))}",
                found=str(first["msg"]),
                expected="the keys of a preset (docs/presets.md)",
            ) from error
    return presets


def preset_named(name: str) -> Preset:
    """A preset by its name.

    Raises
    ------
    UserError
        Listing all names.
    """
    presets = all_presets()
    if name not in presets:
        raise UserError(
            f"--preset {name}",
            found="no preset of that name",
            expected=f"one of: {', '.join(presets)}",
            hint="`stagecast presets` lists them with their columns",
        )
    return presets[name]


def recognise(table: ProfiledTable) -> str | None:
    """Name of the preset that fits the columns of a table; of several the most specific."""
    fitting = [
        (len(preset.recognised_by), name)
        for name, preset in all_presets().items()
        if not missing_columns(preset, table)
    ]
    return max(fitting)[1] if fitting else None


def missing_columns(preset: Preset, table: ProfiledTable) -> list[str]:
    """What a table lacks of the columns by which a preset is recognised."""
    return [
        " or ".join(_names(entry))
        for entry in preset.recognised_by
        if all(_column(table, name) is None for name in _names(entry))
    ]


def preset_columns(preset: Preset, table: ProfiledTable) -> dict[str, ColumnProfile]:
    """Event columns of a preset that a table has; of several the first with any content."""
    chosen: dict[str, ColumnProfile] = {}
    for meaning, entry in preset.columns.items():
        present = [c for name in _names(entry) if (c := _column(table, name)) is not None]
        filled = [column for column in present if column.filled > 0]
        taken = {column.name for column in chosen.values()}
        free = [column for column in filled or present if column.name not in taken]
        if meaning != "value_less" and free:
            chosen[meaning] = free[0]
    return chosen


def apply_preset(found: SourceProposal, preset: Preset) -> None:
    """Set type, filters and amounts of a source as its preset says."""
    table = found.table
    less = [
        c.name for n in _names(preset.columns.get("value_less", ())) if (c := _column(table, n))
    ]
    if less and "value" in found.columns:
        found.columns["value_less"] = less
    found.value_scale = preset.value_scale
    found.only = {
        column.name: list(words)
        for name, words in preset.only.items()
        if (column := _column(table, name))
    }
    if "order_id" in found.columns:
        filling = (_column(table, name) for name in preset.fill_within_order)
        found.fill_within_order = [c.name for c in filling if c is not None and c.filled < 1]
    kind = preset.event_type
    if isinstance(kind, str):
        found.event_type = kind
    elif kind.words and (column := _first(table, kind.column)) is not None:
        found.event_type = {"column": column.name, "words": _words(found, kind, column)}
    if preset.note:
        found.notes["preset"] = f"CHECK: {preset.note}"


def _words(found: SourceProposal, kind: TypeColumn, column: ColumnProfile) -> dict[str, str]:
    """The preset's words, and what the table holds beside them by the word itself."""
    words: dict[str, str] = dict(kind.words)
    known = {word.lower() for word in words}
    unknown = [word for word in words_of(column) if word.strip().lower() not in known]
    for word in unknown:
        words[word] = "purchase" if order_state(word) == "counts" else LEFT_OUT
    if unknown:
        shown = ", ".join(f"{word!r} ({words[word]})" for word in unknown[:5])
        found.notes["event_type"] = f"CHECK: words that the preset does not know: {shown}."
    return words


def type_column(preset: Preset, table: ProfiledTable) -> ColumnProfile | None:
    """The column of event types by their own names; None where the preset names types."""
    kind = preset.event_type
    if isinstance(kind, str) or kind.words:
        return None
    return _first(table, kind.column)


def _first(table: ProfiledTable, entry: _OneOf) -> ColumnProfile | None:
    """The first column of an entry that a table has."""
    return next((c for name in _names(entry) if (c := _column(table, name))), None)


def _names(entry: _OneOf) -> Iterable[str]:
    return (entry,) if isinstance(entry, str) else entry


def _column(table: ProfiledTable, name: str) -> ColumnProfile | None:
    """A column by its name, or else by the same name in another spelling."""
    if name in table.columns:
        return table.columns[name]
    plain = plain_name(name)
    return next((c for n, c in table.columns.items() if plain_name(n) == plain), None)
