"""What became of a source's rows: counted by reason, set aside, or reason to stop."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from features.config.config import Config
from features.errors import UserError
from features.sources.keys import rounded_keys
from features.sources.sampling import most_bad

NO_CUSTOMER = "customer_id is empty"
# Followed by the name of the column.
ROUNDED = "an id that was rounded in "


@dataclass(frozen=True)
class ReadReport:
    """What happened to the rows of one source.

    Attributes
    ----------
    source
        The table's name as the config gives it.
    rows
        Rows read.
    quarantined
        Rows set aside, by reason.
    ignored
        Rows left out on purpose (machine events, ignored event types, events after
        ``data_through``), by reason.
    """

    source: str
    rows: int
    quarantined: dict[str, int] = field(default_factory=dict)
    ignored: dict[str, int] = field(default_factory=dict)

    @property
    def bad(self) -> int:
        """Rows set aside."""
        return sum(self.quarantined.values())


def summed(source: str, reports: Sequence[ReadReport]) -> ReadReport:
    """Several reports of a source as one; counts may be changes, and what comes to 0 goes."""

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
    )


def counted(staged: Any, source_name: str, rows: int) -> ReadReport:
    """Report of a staged source: its columns `reason` (bad) and `ignored` (left out) by value."""

    def by_value(column: str) -> dict[str, int]:
        reason_counts = (
            staged.filter(staged[column].notnull())[column].value_counts(name="n").execute()
        )
        return {
            str(reason): int(row_count)
            for reason, row_count in zip(reason_counts[column], reason_counts["n"], strict=True)
        }

    return ReadReport(source_name, rows, by_value("reason"), by_value("ignored"))


def refuse_if_rounded(report: ReadReport) -> None:
    """Stop where ids have lost digits, be it in one row: nobody knows with whom it is one now.

    Raises
    ------
    UserError
        Naming the column.
    """
    for reason, row_count in report.quarantined.items():
        if reason.startswith(ROUNDED):
            column = reason.removeprefix(ROUNDED)
            raise rounded_keys(f"sources: {report.source}", row_count, column)


def refuse_if_too_bad(report: ReadReport, config: Config, quarantine_file: Path | None) -> None:
    """Stop where more rows are bad than the config allows; `quarantine_file` holds them, where one does.

    Raises
    ------
    UserError
        With the reasons and their counts.
    """
    if report.bad <= most_bad(report.source, config.quarantine.max_share) * report.rows:
        return
    reason_list = "; ".join(
        f"{reason}: {row_count}"
        for reason, row_count in sorted(report.quarantined.items(), key=lambda r: -r[1])
    )
    hint = "mend the export or the config's columns"
    if quarantine_file is not None:
        hint = f"look at them in {quarantine_file}, {hint}"
    if report.bad / 2 < report.quarantined.get(NO_CUSTOMER, 0) < report.rows:
        suggested_share = min(math.ceil(100 * report.bad / report.rows) / 100, 1)
        hint += f"; where guests rightly have no customer: quarantine: {{max_share: {suggested_share:g}}}"
    raise UserError(
        f"sources: {report.source}",
        found=f"{report.bad} bad rows of {report.rows} ({reason_list})",
        expected=f"at most {config.quarantine.max_share:.1%} bad rows (quarantine.max_share)",
        mend=hint,
    )


def refuse_unknown_types(staged: Any, config: Config, source_name: str) -> None:
    """Stop where good rows hold event types of no role.

    Raises
    ------
    UserError
        Naming the types.
    """
    known_types = {event_type for types in config.role_types().values() for event_type in types}
    known_types |= set(config.ignored_event_types)
    type_counts = staged.filter(staged.reason.isnull()).event_type.value_counts(name="n").execute()
    unknown_types = sorted(set(type_counts.event_type) - known_types)
    if unknown_types:
        raise UserError(
            f"sources: {source_name}: event_type",
            found=f"unknown event types: {', '.join(map(repr, unknown_types[:10]))}",
            expected=f"types that `roles` maps, or: {', '.join(sorted(known_types))}",
            mend="map them under `roles`, or list them under `ignored_event_types`",
        )
