"""Canonical keys: customer ids and every other id that joins tables.

Every rule exists twice: as an expression over a table's column (`key_column`), and in plain Python
(`key_value`) for commands and services. Tests hold the two equal.
"""

from __future__ import annotations

import decimal
import math
import re
import unicodedata
import uuid
from collections.abc import Collection, Mapping
from typing import Any

import ibis
import ibis.expr.datatypes as dt
import numpy as np
import pandas as pd
from ibis.expr.types import Column, Table, Value

from features.errors import UserError

# First integer whose successor a float cannot represent: from here on ids are rounded.
_EXACT = {"float64": 2**53, "float32": 2**24, "float16": 2**11}
# Invisible characters (white space, control, format, filler), as ranges of code points.
_INVISIBLE = (
    (0x00, 0x20), (0x7F, 0xA0), (0xAD, 0xAD), (0x34F, 0x34F), (0x600, 0x605), (0x61C, 0x61C),
    (0x6DD, 0x6DD), (0x70F, 0x70F), (0x890, 0x891), (0x8E2, 0x8E2), (0x115F, 0x1160),
    (0x1680, 0x1680), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2000, 0x200F), (0x2028, 0x202F),
    (0x205F, 0x206F), (0x2800, 0x2800), (0x3000, 0x3000), (0x3164, 0x3164), (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF9, 0xFFFB), (0x110BD, 0x110BD), (0x110CD, 0x110CD),
    (0x13430, 0x1343F), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0001, 0xE0001),
    (0xE0020, 0xE007F), (0xE0100, 0xE01EF),
)  # fmt: skip
INVISIBLE = "".join(chr(code) for first, last in _INVISIBLE for code in range(first, last + 1))
_BLANK = "[" + "".join(rf"\x{{{first:X}}}-\x{{{last:X}}}" for first, last in _INVISIBLE) + "]+"
_ENDS = f"^{_BLANK}|{_BLANK}$"
_WHOLE = "^[+-]?[0-9]+[.]0*$"
# Keys that lost digits in a float or in a spreadsheet.
_ROUNDED = (
    "^[+-]?[0-9]+(?:[.]0*|(?:[.,][0-9]+)?[eE][+][0-9]+|[.,][0-9]+[eE][0-9]+)$"
)  # fmt: skip
_PARTS = [f"[0-9A-Fa-f]{{{digits}}}" for digits in (8, 4, 4, 4, 12)]
_DASHED = "-".join(_PARTS)
_HEX = f"(?:{_DASHED}|{''.join(_PARTS)})"
# 32 hex digits alone are no UUID: they may be an MD5 hash, which must stay unchanged.
_UUID = f"^(?:(?:[uU][rR][nN]:)?[uU][uU][iI][dD]:{_HEX}|{_DASHED}|[{{]{_HEX}[}}]|[(]{_HEX}[)])$"
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
    exact_limit = _EXACT[str(column.type()).removeprefix("!")]
    is_short_float = exact_limit < _EXACT["float64"]
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
    trimmed = text.re_search(_SIMPLE).ifelse(text, text.re_replace(_ENDS, ""))
    is_whole_number = trimmed.re_search(_WHOLE) & (
        trimmed.try_cast("float64").abs() < _EXACT["float64"]
    )
    canonical_uuid = trimmed.re_replace("^.*:|[(){}]", "").try_cast("uuid").cast("string")
    cleaned_key = ibis.cases(
        (is_whole_number, trimmed.re_replace("[.]0*$", "")),
        (trimmed.re_search(_UUID), canonical_uuid),
        else_=trimmed.nullif(""),
    )
    return text.re_search(_PLAIN).ifelse(text, cleaned_key)


def text_column(column: Column) -> Value:
    """Return trimmed text of a column that joins nothing (types, attributes); null if empty.

    Cheaper than `key_column`: the engine trims a repeated text only once.
    """
    return column.strip().nullif("") if column.type().is_string() else key_column(column)


def key_value(value: Any) -> str | None:
    """Return the canonical key of one cell, argument or JSON value; None if empty.

    >>> key_value(" 101.0"), key_value("00123"), key_value("{550E8400-E29B-41D4-A716-446655440000}")
    ('101', '00123', '550e8400-e29b-41d4-a716-446655440000')
    """
    text = _text_of(value)
    if text is None:
        return None
    trimmed = text.strip(INVISIBLE)
    if isinstance(value, decimal.Decimal):
        return re.sub("[.]0*$", "", trimmed)
    if re.fullmatch(_WHOLE, trimmed) and abs(float(trimmed)) < _EXACT["float64"]:
        return trimmed.split(".")[0]
    if re.fullmatch(_UUID, trimmed):
        return str(uuid.UUID(re.sub("^.*:|[(){}]", "", trimmed)))
    return trimmed or None


def _text_of(value: Any) -> str | None:
    """Return a value's text as the engine writes it; None if missing."""
    default_text, exact_limit = str(value), _EXACT["float64"]
    if isinstance(value, np.generic):
        exact_limit, value = _EXACT.get(value.dtype.name, exact_limit), value.item()
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        if abs(value) < exact_limit:
            return str(int(value)) if value.is_integer() else default_text
        return f"{value:.9e}" if exact_limit < _EXACT["float64"] else default_text
    if isinstance(value, decimal.Decimal):
        return f"{value:f}" if value.is_finite() else None
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def key_values(values: pd.Series[Any]) -> pd.Series[Any]:
    """Convert a series to canonical keys; None if a cell is empty (see `key_value`)."""
    codes, distinct = pd.factorize(values, use_na_sentinel=True)
    distinct_keys = np.array(
        [*(key_value(distinct_value) for distinct_value in distinct), None], dtype=object
    )
    return pd.Series(distinct_keys[codes], index=values.index, dtype=object, name=values.name)


def is_rounded(key: str | None) -> bool:
    """Return True if a key has lost digits in a float or spreadsheet (see `rounded_column`)."""
    return key is not None and re.fullmatch(_ROUNDED, key) is not None


def folded_column(key: Value) -> Value:
    """Fold keys for comparison: lower case, UUIDs without dashes."""
    lower_case = key.lower()
    return lower_case.re_search(f"^{_DASHED}$").ifelse(lower_case.replace("-", ""), lower_case)


def fold_key(key: str) -> str:
    """Fold one key for comparison (see `folded_column`)."""
    lower_case = key.lower()
    return lower_case.replace("-", "") if re.fullmatch(_DASHED, lower_case) else lower_case


def fold_word(text: str) -> str:
    """Fold a word for comparison: lower case, one underscore for blanks and dashes of any kind.

    >>> fold_word("\uff2e\uff4f "), fold_word("E\u2011Mail"), fold_word("opt \u2014 out")
    ('no', 'e_mail', 'opt_out')
    """
    visible = "".join(
        sign for sign in text.strip(INVISIBLE) if sign.isspace() or sign not in INVISIBLE
    )
    folded = unicodedata.normalize("NFKC", visible).casefold()
    return re.sub(r"[\s_\u2010-\u2015\u2212-]+", "_", folded)


def rounded_column(key: Value) -> Value:
    """Return True where a key of `key_column` has lost digits, so that customers may merge.

    These are integers that a float could not hold exactly (from 2^53 on), and numbers as a
    spreadsheet writes them (``1.03E+19``).
    """
    return key.re_search(_ROUNDED).fill_null(False)


def rounded_cells(column: Column) -> Value:
    """Return True where a cell holds a key that has lost digits (see `rounded_column`)."""
    is_rounded_key = rounded_column(key_column(column))
    if not column.type().is_string():
        return is_rounded_key
    # Most ids contain none of these characters; this test is faster than the pattern.
    has_number_sign = column.contains(".") | column.contains(",") | column.contains("+")
    return has_number_sign.fill_null(False).ifelse(is_rounded_key, False)


def rounded_keys_error(config_place: str, count: int, column: str) -> UserError:
    """Return the error for a column whose keys have lost digits."""
    return UserError(
        config_place,
        found=f"{count} ids in column {column!r} that were rounded: written like 1.03E+19, or kept "
        "as a floating-point number too large to hold every digit",
        expected="ids with all their digits: different ids have become the same",
        hint="export the column again as text (or as a whole number), and do not open the file in "
        "a spreadsheet in between",
    )


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
