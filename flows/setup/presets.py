"""Presets: what the columns of a tool's export mean, one YAML each in `configs/presets/`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from pydantic import Field, ValidationError

from features.config.types import Name, Strict
from features.config.yaml_loading import parse_yaml
from features.contracts import LEFT_OUT
from features.errors import UserError
from features.plugins import plugin_file, refuse_taken
from flows.setup.column_synonyms import plain_name
from flows.setup.order_state_inference import words_of
from flows.setup.order_states import order_state
from flows.setup.readings import is_allowed
from flows.setup.source_draft import SourceProposal, used_columns
from flows.setup.table_profiling import ColumnProfile, ProfiledTable

_FOLDER = Path(__file__).resolve().parents[2] / "configs" / "presets"
_OneOf = str | tuple[str, ...]
_FILLED = ("customer_id", "order_id", "value")  # their later columns fill empty cells


class TypeColumn(Strict):
    """The column of event types, of several names the first that a table has, and its words."""

    column: _OneOf
    words: dict[str, Name] = Field(default={})


class ScaleColumn(Strict):
    """The column of currencies, and the factor of those that are written in another unit."""

    column: str
    words: dict[str, float]


class Preset(Strict):
    """A tool's export: how it is recognised, and what its columns mean.

    Attributes
    ----------
    title
        The tool and the export.
    recognised_by
        Columns that the table must have; of a list of names one.
    columns
        Event column: table column, or several in order of preference; of `customer_id`, `order_id`
        and `value` the later ones fill empty cells. A column that the table lacks is left out.
        Other names are attributes; of `value_less` all columns count.
    event_type
        A constant, or the column of types; without `words` their names tell the roles.
    only
        Column to the words whose rows count; a column that the table lacks is left out.
    zone
        Zone of clock times without an offset, if the tool fixes it; or column to zone, if it fixes
        that of some columns.
    other_scales
        Currencies for which `value_scale` does not hold: cents of dollars, but whole yen.
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
    zone: str | dict[str, str] | None = None
    other_scales: ScaleColumn | None = None
    note: str = ""


@cache
def all_presets() -> dict[str, Preset]:
    """Every preset by its name: ours in alphabetical order, then those of plug-ins.

    Raises
    ------
    UserError
        For a file that is no preset, and as `features.plugins.refuse_taken`.
    """
    files = {path.stem: path for path in sorted(_FOLDER.glob("*.yaml"))}
    files |= {each.name: plugin_file(each) for each in refuse_taken("presets", set(files))}
    presets = {}
    for name, path in files.items():
        try:
            presets[name] = Preset.model_validate(parse_yaml(path))
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


@cache
def list_sums() -> tuple[str, ...]:
    """Sums over lists that presets name, like ``refunds[].total``."""
    entries = (entry for preset in all_presets().values() for entry in preset.columns.values())
    return tuple(sorted({name for entry in entries for name in _names(entry) if "[]." in name}))


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


def clock_zone(preset: Preset, column: ColumnProfile | None) -> str | None:
    """Zone of the clock times of a column, if the tool fixes it."""
    if isinstance(preset.zone, dict):
        return None if column is None else preset.zone.get(column.name)
    return preset.zone


def apply_preset(found: SourceProposal, preset: Preset) -> None:
    """Set type, filters and amounts of a source as its preset says.

    Raises
    ------
    UserError
        Where its filters leave no row.
    """
    table = found.table
    less = [
        c.name for n in _names(preset.columns.get("value_less", ())) if (c := _column(table, n))
    ]
    if less and "value" in found.columns:
        found.columns["value_less"] = less
    found.value_scale = preset.value_scale
    _fill_from_columns(found, preset)
    found.only = {
        column.name: list(words)
        for name, words in preset.only.items()
        if (column := _column(table, name))
    }
    _require_rows(found)
    _scale_by_currency(found, preset)
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


def _require_rows(found: SourceProposal) -> None:
    """Stop at an export without a row that counts: of a test mode, or of open payments alone.

    Raises
    ------
    UserError
        Saying which column says so.
    """
    if not found.only or is_allowed(found).any():
        return
    cells = {name: found.table.columns[name].cells.dropna().unique()[:3] for name in found.only}
    words_by_column = ", ".join(
        f"{name}: {' or '.join(map(str, words))}" for name, words in cells.items()
    )
    needed = ", ".join(f"{name}: {' or '.join(words)}" for name, words in found.only.items())
    raise UserError(
        found.table.name,
        found=f"no row that counts by the preset {found.preset} ({words_by_column})",
        expected=f"rows with {needed}",
        hint="export live and completed orders: those of a test mode, and open ones, do not count",
    )


def _fill_from_columns(found: SourceProposal, preset: Preset) -> None:
    """Let the later columns of a preset fill the empty cells of the first that has content.

    Not that of customers beside an anonymous id: there an empty cell means an unknown visitor.
    """
    for meaning in _FILLED:
        first = found.columns.get(meaning)
        names = _names(preset.columns.get(meaning, ()))
        columns = [c for name in names if (c := _column(found.table, name)) is not None]
        if first not in [column.name for column in columns]:
            continue
        is_customer = meaning == "customer_id"
        if is_customer and "anonymous_id" in preset.columns:
            continue
        cells = found.table.columns[first].cells
        empty = float((cells.isna() | (is_customer & (cells.astype(str) == "0"))).mean())
        others = [
            column.name
            for column in columns
            if column.name not in used_columns(found)
            and column.filled > 0
            and (meaning != "value" or column.kind == "number")
        ]
        if not empty or not others:
            continue
        found.fill_from[first] = others
        if is_customer:
            found.notes["customer_id"] = (
                f"CHECK: empty in {empty:.1%} of the sampled rows, which take "
                f"{' or '.join(map(repr, others))}: someone with both counts as two customers"
            )


def _scale_by_currency(found: SourceProposal, preset: Preset) -> None:
    """Take the scale of the currency; where currencies have several, that of most rows counts."""
    scales = preset.other_scales
    column = None if scales is None else _column(found.table, scales.column)
    if scales is None or column is None or column.filled == 0:
        return
    scale, words = preset.value_scale, words_of(column)
    factors = {word: scales.words.get(word.lower(), scale) for word in words}
    rows = column.cells.dropna().map(lambda cell: factors[str(cell).strip()])
    found.value_scale = float(rows.mode()[0])
    found.decimals = max(found.decimals, -round(math.log10(found.value_scale)))
    kept = [word for word, factor in factors.items() if factor == found.value_scale]
    if len(kept) < len(factors):
        found.only[column.name] = kept
        found.currency = kept[0] if len(kept) == 1 else "mixed"
        left_out = ", ".join(word for word in factors if word not in kept)
        found.notes["only"] = (
            f"CHECK: amounts in {left_out} are written in another unit and are left out "
            f"({int((rows != found.value_scale).sum()):,} of the sampled rows)."
        )


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
    plain = plain_name(name).replace("_", "")
    columns = table.columns.items()
    return next((c for n, c in columns if plain_name(n).replace("_", "") == plain), None)
