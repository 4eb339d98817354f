"""Canonical keys in plain Python: customer ids and every other id that joins tables.

The rules for whole columns are in `features.sources.key_columns`; tests hold the two equal.
"""

from __future__ import annotations

import decimal
import math
import re
import unicodedata
import uuid
from typing import Any

import numpy as np
import pandas as pd

from features.errors import UserError

# First integer whose successor a float cannot represent: from here on ids are rounded.
EXACT = {"float64": 2**53, "float32": 2**24, "float16": 2**11}
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
ENDS = f"^{_BLANK}|{_BLANK}$"
WHOLE = "^[+-]?[0-9]+[.]0*$"
# Keys that lost digits in a float or in a spreadsheet.
ROUNDED = (
    "^[+-]?[0-9]+(?:[.]0*|(?:[.,][0-9]+)?[eE][+][0-9]+|[.,][0-9]+[eE][0-9]+)$"
)  # fmt: skip
_PARTS = [f"[0-9A-Fa-f]{{{digits}}}" for digits in (8, 4, 4, 4, 12)]
DASHED = "-".join(_PARTS)
_HEX = f"(?:{DASHED}|{''.join(_PARTS)})"
# 32 hex digits alone are no UUID: they may be an MD5 hash, which must stay unchanged.
UUID = f"^(?:(?:[uU][rR][nN]:)?[uU][uU][iI][dD]:{_HEX}|{DASHED}|[{{]{_HEX}[}}]|[(]{_HEX}[)])$"


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
    if re.fullmatch(WHOLE, trimmed) and abs(float(trimmed)) < EXACT["float64"]:
        return trimmed.split(".")[0]
    if re.fullmatch(UUID, trimmed):
        return str(uuid.UUID(re.sub("^.*:|[(){}]", "", trimmed)))
    return trimmed or None


def _text_of(value: Any) -> str | None:
    """Return a value's text as the engine writes it; None if missing."""
    default_text, exact_limit = str(value), EXACT["float64"]
    if isinstance(value, np.generic):
        exact_limit, value = EXACT.get(value.dtype.name, exact_limit), value.item()
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        if abs(value) < exact_limit:
            return str(int(value)) if value.is_integer() else default_text
        return f"{value:.9e}" if exact_limit < EXACT["float64"] else default_text
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
    return key is not None and re.fullmatch(ROUNDED, key) is not None


def fold_key(key: str) -> str:
    """Fold one key for comparison (see `folded_column`)."""
    lower_case = key.lower()
    return lower_case.replace("-", "") if re.fullmatch(DASHED, lower_case) else lower_case


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
