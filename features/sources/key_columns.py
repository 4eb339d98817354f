"""Canonical keys of whole columns, as expressions over tables (see `features.sources.keys`)."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import ibis
import ibis.expr.datatypes as dt
from ibis.expr.types import Column, Table, Value

from features.errors import UserError
from features.sources.keys import DASHED, ENDS, EXACT, ROUNDED, UUID, WHOLE, rounded_keys_error

_SIMPLE = "^[0-9A-Za-z_-]+$"
# Most keys match this and need no cleaning.
_PLAIN = (
    "^(?:[0-9A-Za-z_-]|[0-9A-Za-z_-][ -~]{0,29}[A-Za-z_-]|[0-9A-Za-z_-][ -,/-~-]{0,29}[0-9]"
    "|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$"
)


@ibis.udf.scalar.builtin(name="json_extract_string")  # type: ignore[untyped-decorator, unused-ignore]
def _json_text(document: dt.json, path: str) -> str:  # type: ignore[empty-body]
    """Text of a JSON value, without quotes."""


@ibis.udf.scalar.builtin(name="printf")  # type: ignore[untyped-decorator, unused-ignore]
def _printed(form: str, number: dt.float64) -> str:  # type: ignore[empty-body]
    """A number formatted with a C format."""


@ibis.udf.scalar.builtin(name="decode")  # type: ignore[untyped-decorator, unused-ignore]
def _decoded(content: dt.binary) -> str:  # type: ignore[empty-body]
    """UTF-8 bytes as text."""


def key_column(column: Column) -> Value:
    """Convert a column of any type to canonical keys; null if a cell is empty.

    Invisible characters at the ends are stripped, integers lose their decimal point, and UUIDs are
    written in lower case with dashes. All else stays: case, leading zeros, 32 hex digits without
    dashes, and rounded numbers, which `rounded_column` detects.
    """
    column_type = column.type()
    if column_type.is_integer():
        return column.cast("string")
    if column_type.is_decimal():
        return column.cast("string").re_replace("[.]0*$", "")  # exact, however long
    if column_type.is_floating():
        return _float_key(column)
    if column_type.is_json():
        return _text_key(_json_text(column, "$"))
    if column_type.is_binary():
        return _text_key(_decoded(column))
    return _text_key(column.cast("string"))


def _float_key(column: Column) -> Value:
    """Convert floats to keys; NaN is null, and a rounded number stays recognisable."""
    exact_limit = EXACT[str(column.type()).removeprefix("!")]
    is_short_float = exact_limit < EXACT["float64"]
    return ibis.cases(
        (column.isnan() | column.isinf(), ibis.null("string")),
        (
            (column.abs() < exact_limit) & (column == column.round()),
            column.try_cast("int64").cast("string"),
        ),
        (
            column.abs() >= exact_limit,
            _printed("%.9e", column.cast("float64")) if is_short_float else column.cast("string"),
        ),
        else_=column.cast("string"),
    )


def _text_key(text: Value) -> Value:
    trimmed = text.re_search(_SIMPLE).ifelse(text, text.re_replace(ENDS, ""))
    is_whole_number = trimmed.re_search(WHOLE) & (
        trimmed.try_cast("float64").abs() < EXACT["float64"]
    )
    canonical_uuid = trimmed.re_replace("^.*:|[(){}]", "").try_cast("uuid").cast("string")
    cleaned_key = ibis.cases(
        (is_whole_number, trimmed.re_replace("[.]0*$", "")),
        (trimmed.re_search(UUID), canonical_uuid),
        else_=trimmed.nullif(""),
    )
    return text.re_search(_PLAIN).ifelse(text, cleaned_key)


def text_column(column: Column) -> Value:
    """Return trimmed text of a column that joins nothing (types, attributes); null if empty.

    Cheaper than `key_column`: the engine trims a repeated text only once.
    """
    return column.strip().nullif("") if column.type().is_string() else key_column(column)


def folded_column(key: Value) -> Value:
    """Fold keys for comparison: lower case, UUIDs without dashes."""
    lower_case = key.lower()
    return lower_case.re_search(f"^{DASHED}$").ifelse(lower_case.replace("-", ""), lower_case)


def rounded_column(key: Value) -> Value:
    """Return True where a key of `key_column` has lost digits, so that customers may merge.

    These are integers that a float could not hold exactly (from 2^53 on), and numbers as a
    spreadsheet writes them (``1.03E+19``).
    """
    return key.re_search(ROUNDED).fill_null(False)


def rounded_cells(column: Column) -> Value:
    """Return True where a cell holds a key that has lost digits (see `rounded_column`)."""
    is_rounded_key = rounded_column(key_column(column))
    if not column.type().is_string():
        return is_rounded_key
    # Most ids contain none of these characters; this test is faster than the pattern.
    has_number_sign = column.contains(".") | column.contains(",") | column.contains("+")
    return has_number_sign.fill_null(False).ifelse(is_rounded_key, False)


def refuse_nested(table: Table, columns: Collection[str], config_place: str) -> None:
    """Stop at columns with a list or structure in each cell: its text equals no key.

    Raises
    ------
    UserError
        Naming the first such column.
    """
    for column in dict.fromkeys(columns):
        if column in table.columns and table[column].type().is_nested():
            raise UserError(
                f"{config_place}: {column}",
                found="a list or structure in each cell",
                expected="one value a row",
                hint="write a row for each value, or name the column of a structure: person.id",
            )


def with_keys(table: Table, columns: Collection[str], config_place: str) -> Table:
    """Convert some columns of a table to canonical keys; missing columns are skipped.

    Raises
    ------
    UserError
        If a column holds keys that have lost digits, or lists.
    """
    refuse_nested(table, columns, config_place)
    present_columns = [
        column_name for column_name in dict.fromkeys(columns) if column_name in table.columns
    ]
    keyed_table = table.mutate(
        **{column_name: key_column(table[column_name]) for column_name in present_columns}
    )
    refuse_rounded(
        keyed_table,
        {
            column_name: keyed_table[column_name]
            for column_name in present_columns
            if may_round(table[column_name])
        },
        config_place,
    )
    return keyed_table


def may_round(column: Column) -> bool:
    """Return True if keys of a column of this type can have lost digits."""
    column_type = column.type()
    return not (column_type.is_integer() or column_type.is_decimal() or column_type.is_boolean())


def refuse_rounded(table: Table, keys: Mapping[str, Value], config_place: str) -> None:
    """Stop if keys of a table have lost digits.

    Parameters
    ----------
    table
        Rows.
    keys
        Keys of the table from `key_column`, by the name of the source's column.
    config_place
        Place for the message.

    Raises
    ------
    UserError
        Naming the column and how many of its cells are rounded.
    """
    if not keys:
        return
    counts = {
        f"rounded_{position}": rounded_column(key).sum()
        for position, key in enumerate(keys.values())
    }
    (count_row,) = table.aggregate(**counts).to_pyarrow().to_pylist()
    for column_name, count in zip(keys, count_row.values(), strict=True):
        if count:
            raise rounded_keys_error(config_place, int(count), column_name)
