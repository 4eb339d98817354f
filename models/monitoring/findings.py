"""What the monitor says of one thing it looked at, and how small a chance it asks for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

FAMILY_DAYS = 30  # the chance of a false alarm is promised over so many days


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    check
        ``input``, ``score``, ``volume``, ``freshness``, ``base_rate`` or ``performance``.
    subject
        The feature, scored column, event type, label or figure (with its scorer version).
    measure
        What `value` is: psi, change over 1, 2 or 7 days, days, auc, ...
    value, expected
        What it is, and what it is compared with; null where it is undefined.
    limit
        From where on it is large enough for an alarm.
    p_value
        Chance of as much by accident; null where no test applies.
    alarm
        Whether it is both large and no accident.
    note
        Why nothing could be said, or more about it.
    """

    check: str
    subject: str
    measure: str
    value: float | None
    expected: float | None = None
    limit: float | None = None
    p_value: float | None = None
    alarm: bool = False
    note: str = ""

    @property
    def key(self) -> str:
        """What the alarm is about, the same from day to day."""
        return f"{self.check}: {self.subject}"

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form: numbers that are not finite are null."""
        content = asdict(self)
        for name in ("value", "expected", "limit", "p_value"):
            number = content[name]
            content[name] = None if number is None or not math.isfinite(number) else float(number)
        return content


def table(findings: Sequence[Finding]) -> pd.DataFrame:
    """Findings as rows, alarms first."""
    columns = list(Finding.__dataclass_fields__)
    rows = pd.DataFrame([finding.as_dict() for finding in findings], columns=columns)
    return rows.sort_values("alarm", ascending=False, kind="stable", ignore_index=True)


def test_level(chance: float, tests: int) -> float:
    """Level of one test, so that `tests` of them a day raise any false alarm in 30 days with at
    most this chance (Bonferroni: whatever depends on whatever).
    """
    return chance / (FAMILY_DAYS * max(tests, 1))


test_level.__test__ = False  # type: ignore[attr-defined]
