"""Month names in dates (3-Feb-2024, 03 mars 2024) as numbers, in the languages of many exports.

The same rules as an expression over a column, and in plain Python for single texts.
"""

from __future__ import annotations

import re

from ibis.expr.types import Value

# Beginnings of names and abbreviations, January first: English, German, French, Spanish, Italian,
# Portuguese, Dutch, Scandinavian, Polish. No beginning is that of another month.
_BEGINNINGS = (
    "jan|jän|gen|ene|sty", "feb|fév|fev|lut", "mar|mär|mrz|maa|maer", "apr|avr|abr|kwi",
    "mai|may|maj|mag|mei", "jun|juin|giu|czerw|cze", "jul|juil|lug|lip", "aug|ago|aoû|aou|sie",
    "sep|set|wrz", "oct|okt|out|ott|paź|paz", "nov|lis", "dec|dez|des|dic|déc|gru",
)  # fmt: skip
_LINKS = r"\s+(?:de|del|of)\s+"  # 3 de marzo de 2024
_ORDINALS = r"(\d)(?:st|nd|rd|th|er|º|ª)\b"


def names_month(form: str) -> bool:
    """Whether a format has the month's name."""
    return "%b" in form or "%B" in form


def numbered_form(form: str) -> str:
    """A format with the month as a number in the place of its name."""
    return re.sub("%[bB]", "%m", form)


def months_as_numbers(text: Value) -> Value:
    """Texts with two digits in the place of a month's name, without weekday, ordinals and links."""
    text = text.lower().re_replace(_ORDINALS, r"\1").re_replace(_LINKS, " ")
    for number, beginnings in enumerate(_BEGINNINGS, start=1):
        text = text.re_replace(rf"(^|[^\pL])(?:{beginnings})\pL*\.?", rf"\1{number:02}")
    return text.re_replace(r"^[^\d]+", "").re_replace(r"\s+", " ")


def month_as_number(text: str, sign: str = "{:02}") -> str:
    """The same of one text; `sign` is how the number of the month is written."""
    text = re.sub(_LINKS, " ", re.sub(_ORDINALS, r"\1", text.lower()))
    for number, beginnings in enumerate(_BEGINNINGS, start=1):
        written = rf"\g<1>{sign.format(number)}"
        text = re.sub(rf"(^|[\W\d_])(?:{beginnings})[^\W\d_]*\.?", written, text)
    return re.sub(r"\s+", " ", re.sub(r"^[^\d<]+", "", text))
