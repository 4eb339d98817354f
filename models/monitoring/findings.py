"""Findings of the monitor, and the significance level of its tests."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

_FAMILY_DAYS = 30  # the limit on false alarms holds for so many days together


@dataclass(frozen=True)
class MonitorFinding:
    """Result of one check.

    Attributes
    ----------
    check
        ``input``, ``score``, ``volume``, ``freshness``, ``base_rate`` or ``performance``.
    subject
        The feature, scored column, event type, label or figure (with its scorer version).
    measure
        Quantity in `value`: psi, change over 1, 2 or 7 days, days, auc, ...
    value, expected
        Measured and expected value; null if undefined.
    limit
        Smallest value (or change) of an alarm.
    p_value
        Probability of such a change by chance; null if no test applies.
    alarm
        True if the change is both large and significant.
    note
        Details, or the reason why there is no value.
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
        """Check and subject, the same from day to day."""
        return f"{self.check}: {self.subject}"

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form; numbers that are not finite become null."""
        content = asdict(self)
        for name in ("value", "expected", "limit", "p_value"):
            cell = content[name]
            content[name] = None if cell is None or not math.isfinite(cell) else float(cell)
        return content


def level_per_test(chance: float, tests: int) -> float:
    """Significance level of one test, given the probability of any false alarm in 30 days.

    Bonferroni correction over `tests` tests a day; it holds for dependent tests too.
    """
    return chance / (_FAMILY_DAYS * max(tests, 1))
