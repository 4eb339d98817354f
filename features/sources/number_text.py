"""Numbers as people write them: currency signs, thousands, parentheses, either decimal sign.

Every rule exists twice, as in `features.sources.keys`: as an expression over a column
(`number_column`), and in plain Python (`number_value`). A test holds the two equal.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable

import ibis
from ibis.expr.types import Value

# Last the backslash: the sign of yen and won in Shift-JIS and EUC-KR.
_SYMBOLS = r"$¢£¤¥฿₠-⃏＄￡￥\\"
_CODES = (
    "AED|AUD|BGN|BRL|CAD|CHF|CLP|CNY|COP|CZK|DKK|EUR|GBP|HKD|HUF|IDR|ILS|INR|JPY|KRW|MXN|MYR|NGN"
    "|NOK|NZD|PHP|PLN|RON|RSD|RUB|SAR|SEK|SGD|THB|TRY|TWD|UAH|USD|VND|ZAR"
    "|EGP|KES|PEN|PKR|Rp[.]?|RM|S/[.]?|Bs[.]?|KSh|VNĐ|đ|din[.]?|lei|บาท|ج[.]م[.]?|د[.]إ[.]?|ر[.]س[.]?"
    '|ر[.]ق[.]?|د[.]ك[.]?|د[.]م[.]?|جنيه|ريال|درهم|دينار|ש["״]ח'
    "|kr[.]?|zł|Kč|Ft|Fr[.]|Rs[.]?|TL|лв[.]?|руб[.]?|грн[.]?|元|円|원"
)
_CURRENCY = f"(?:[A-Z]{{0,2}}[{_SYMBOLS}]|(?:{_CODES}))"
_CODE_OF_SIGN = {
    "$": "USD", "US$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "円": "JPY", "元": "CNY",
    "zł": "PLN", "Kč": "CZK", "Ft": "HUF", "₹": "INR", "₽": "RUB", "₺": "TRY", "TL": "TRY",
    "Fr.": "CHF", "CA$": "CAD", "C$": "CAD", "A$": "AUD", "AU$": "AUD", "R$": "BRL",
}  # fmt: skip
# White space of all widths and the Swiss apostrophes; they part groups of three digits.
_BLANKS = "[ \t\u00a0\u200e\u200f\u2007\u2009\u202f]"
_GROUPERS = "[ '\u00a0\u2007\u2009\u202f\u2019]"
_MINUS = "[\u2010-\u2015\u2212\ufe63\uff0d]"
_AT_ENDS = f"^{_BLANKS}+|{_BLANKS}+$"
_BEFORE = f"^([(+-]*){_BLANKS}*{_CURRENCY}{_BLANKS}*"
_AFTER = f"{_BLANKS}*{_CURRENCY}{_BLANKS}*([)-]?)$"
_IN_PARENTHESES = "^[(]([^()+-]+)[)]$"
_MINUS_BEHIND = "^([^()+-]+)-$"
_PLAIN_COMMA = "^[+-]?[0-9]+,?[0-9]*$"
_EXPONENT = "^[+-]?[0-9]*{sign}?[0-9]*[eE][+-]?[0-9]+$"


def _grouped(decimal: str) -> str:
    """Return the pattern of a number; the other sign may part its thousands."""
    grouper, sign = ("[.]", ",") if decimal == "," else (",", "[.]")
    groups = (
        f"[0-9]{{1,3}}(?:{grouper}[0-9]{{3}})+|[0-9]{{1,3}}(?:{_GROUPERS}[0-9]{{3}})+|[0-9]+"
        # India parts by two digits above the thousands: 1,25,000.
        f"|[0-9]{{1,2}}(?:{grouper}[0-9]{{2}})+{grouper}[0-9]{{3}}"
    )
    return f"^[+-]?(?:(?:{groups})(?:{sign}[0-9]*)?|{sign}[0-9]+)$"


def number_column(text: Value, decimal: str) -> Value:
    """Convert text to float64; null where it is no number with this decimal sign.

    Other signs part thousands only where they stand before groups of three digits (or of two, then
    three), so that a number is never taken for one a hundred times as large.
    """
    trimmed = text.strip()
    cleaned = trimmed.re_replace(_MINUS, "-").re_replace(_AT_ENDS, "")
    bare = cleaned.re_replace(_BEFORE, r"\1").re_replace(_AFTER, r"\1")
    signed = bare.re_replace(_IN_PARENTHESES, r"-\1").re_replace(_MINUS_BEHIND, r"-\1")
    grouping, sign = (".", ",") if decimal == "," else (",", ".")
    # The text is used once: the engine would compute what is used twice for every row, before it
    # looks whether the plain cast suffices.
    number = signed.re_extract(_grouped(decimal), 0)
    digits = number.re_replace(_GROUPERS, "").replace(grouping, "").replace(sign, ".")
    written = digits.nullif("").try_cast("float64")
    if decimal == ".":
        return ibis.coalesce(trimmed.try_cast("float64"), written)
    with_point = trimmed.replace(",", ".").try_cast("float64")
    is_plain = trimmed.re_search(_PLAIN_COMMA) | trimmed.re_search(_EXPONENT.format(sign=","))
    return ibis.coalesce(is_plain.ifelse(with_point, ibis.null("float64")), written)


def number_value(text: str, decimal: str = ".") -> float | None:
    """Return the number a text stands for; None if it is none (see `number_column`).

    >>> number_value("$1,405.02"), number_value("(12,50 €)", ","), number_value("12,50")
    (1405.02, -12.5, None)
    """
    trimmed = text.strip(" ")
    plain = trimmed.replace(",", ".") if decimal == "," else trimmed
    is_plain = decimal == "." or bool(
        re.search(_PLAIN_COMMA, trimmed) or re.search(_EXPONENT.format(sign=","), trimmed)
    )
    if is_plain:
        try:
            number = float(plain)
        except ValueError:
            pass
        else:
            return number if math.isfinite(number) else None
    cleaned = re.sub(_AT_ENDS, "", re.sub(_MINUS, "-", trimmed))
    bare = re.sub(_AFTER, r"\1", re.sub(_BEFORE, r"\1", cleaned, count=1), count=1)
    signed = re.sub(_MINUS_BEHIND, r"-\1", re.sub(_IN_PARENTHESES, r"-\1", bare))
    if re.search(_grouped(decimal), signed) is None:
        return None
    grouping, sign = (".", ",") if decimal == "," else (",", ".")
    return float(re.sub(_GROUPERS, "", signed).replace(grouping, "").replace(sign, "."))


def decimal_sign(cells: Iterable[str]) -> str | None:
    """Return the decimal sign that a column's cells show; None if no cell tells.

    A cell tells if a sign cannot part thousands: it stands last of two kinds, or not before
    exactly three digits, or after a leading zero.
    """
    commas = points = 0
    for cell in cells:
        body = re.sub(f"[^0-9.,]|{_GROUPERS}", "", cell)
        last = max(body.rfind(","), body.rfind("."))
        if last < 0:
            continue
        sign, other = body[last], "." if body[last] == "," else ","
        repeated = body.count(sign) > 1
        tells = other in body or len(body) - last - 1 != 3 or body[:last] in ("", "0")
        if repeated:
            sign, tells = other, True
        commas += tells and sign == ","
        points += tells and sign == "."
    if commas == points == 0:
        return None
    return "," if commas > points else "."


def are_only_thousands(cells: Iterable[str], sign: str) -> bool:
    """Return whether a sign stands before exactly three digits in all cells that have it.

    No cell then tells whether it parts thousands or decimals (`decimal_sign` returns None); amounts
    with three decimals hardly ever leave out all zeros at their ends and all parts of one.

    >>> are_only_thousands(["12.990", "990", "1.500"], "."), are_only_thousands(["0.500"], ".")
    (True, False)
    """
    parted = [cell for cell in cells if sign in cell]
    pattern = re.compile(rf"[^0-9.,]*[1-9][0-9]{{0,2}}{re.escape(sign)}[0-9]{{3}}[^0-9.,]*")
    return len(parted) > 0 and all(pattern.fullmatch(cell) for cell in parted)


def currencies(cells: Iterable[str]) -> set[str]:
    """Return the currencies that amounts are written in: codes, or signs without a known code.

    >>> sorted(currencies(["5 €", "EUR 4", "$3", "7"]))
    ['EUR', 'USD']
    """
    marks = {mark for cell in cells for mark in re.findall(_CURRENCY, cell)}
    return {_CODE_OF_SIGN.get(mark, mark.rstrip(".")) for mark in marks}


def western_digits(text: str) -> str:
    """Return the text with digits of every script as 0 to 9.

    >>> western_digits("٧٠٤٠, c१२")
    '7040, c12'
    """
    if text.isascii():
        return text
    return "".join(str(unicodedata.decimal(sign)) if sign.isdecimal() else sign for sign in text)
