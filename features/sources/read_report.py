"""How many rows of a source were read, set aside and left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ReadReport:
    """Row counts of one source: read, quarantined and ignored.

    Attributes
    ----------
    source
        Name of the table in the config.
    rows
        Rows read.
    quarantined
        Rows in quarantine, by reason.
    ignored
        Rows left out on purpose (machine events, ignored event types, events after
        ``data_through``), by reason.
    facts
        Counts for the guards (`features.aggregates.guard_checks`), by name.
    """

    source: str
    rows: int
    quarantined: dict[str, int] = field(default_factory=dict)
    ignored: dict[str, int] = field(default_factory=dict)
    facts: dict[str, int] = field(default_factory=dict)

    @property
    def bad(self) -> int:
        """Number of rows in quarantine."""
        return sum(self.quarantined.values())


def sum_reports(source: str, reports: Sequence[ReadReport]) -> ReadReport:
    """Add up reports of one source; counts may be differences, and zero totals are dropped."""

    def by_reason(reports_counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
        reasons = dict.fromkeys(reason for counts in reports_counts for reason in counts)
        totals = {
            reason: sum(counts.get(reason, 0) for counts in reports_counts) for reason in reasons
        }
        return {reason: rows for reason, rows in totals.items() if rows}

    return ReadReport(
        source,
        sum(report.rows for report in reports),
        by_reason([report.quarantined for report in reports]),
        by_reason([report.ignored for report in reports]),
        by_reason([report.facts for report in reports]),
    )
