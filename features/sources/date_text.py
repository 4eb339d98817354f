"""Dates as people write them, before a format reads them: weekdays, halves of the day, blanks.

The same rules as an expression over a column, and in plain Python for single texts.
"""

from __future__ import annotations

import re

from ibis.expr.types import Value

_MORNING, _AFTERNOON = "午前|上午|오전", "午後|下午|오후"
# Each a pattern and its replacement; understood alike by Python and the engine (RE2).
_RULES: tuple[tuple[str, str], ...] = (
    (r"\s+", " "),
    (rf"{_MORNING}", "AM"),
    (rf"{_AFTERNOON}", "PM"),
    (r"([ap])\.\s?m\.", r"\1m"),
    (r"([AP])\.\s?M\.", r"\1M"),
    (r" ?[(][^()\d]*[)]", ""),  # 2024/01/05(金), 05.01.2024 (Fr)
    (r"^{letter}+[.,]* ({letter}+[.,]* \d)", r"\1"),  # Fri Jan 05 2024
    (r"^{letter}+[.,]* (\d+[.]? (?:de )?{letter})", r"\1"),  # lun. 5 mars 2024
    (r"^{letter}+[.,]* ?(\d{{1,4}}[./-] ?\d)", r"\1"),  # Freitag, 05.01.2024
)


def tidy_dates(text: Value) -> Value:
    """Texts without weekdays and double blanks; halves of the day are AM and PM."""
    tidied = text
    for pattern, replacement in _filled(r"\pL"):
        tidied = tidied.re_replace(pattern, replacement)
    # Few columns have words: the engine runs the rules on their rows only.
    return text.re_search(r"[\pL(]|\s\s").ifelse(tidied, text).strip()


def tidy_date(text: str) -> str:
    """The same of one text.

    >>> tidy_date("Fri,  05.01.2024 2:30 p.m."), tidy_date("2024年3月5日(火)")
    ('05.01.2024 2:30 pm', '2024年3月5日')
    """
    for pattern, replacement in _filled(r"[^\W\d_]"):
        text = re.sub(pattern, replacement, text)
    return text.strip()


def _filled(letter: str) -> list[tuple[str, str]]:
    """Return the rules with a dialect's class of letters."""
    return [
        (rule.format(letter=letter) if "{letter}" in rule else rule, replacement)
        for rule, replacement in _RULES
    ]
