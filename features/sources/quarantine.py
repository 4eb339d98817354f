"""Counts of bad and ignored rows by reason, and the limits that stop a run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from features.config.config import Config
from features.contracts import LEFT_OUT
from features.errors import UserError
from features.sources.keys import rounded_keys_error
from features.sources.read_report import ReadReport
from features.sources.sampling import tolerated_bad_share

NO_CUSTOMER = "customer_id is empty"
# Prefix of a reason; the column's name follows.
ROUNDED = "an id that was rounded in "


def staged_report(staged: Any, source_name: str, rows: int) -> ReadReport:
    """Count a staged source's rows by its columns `reason` (bad) and `ignored`."""
    marked = staged.filter(staged.reason.notnull() | staged.ignored.notnull())
    counts = marked.group_by(["reason", "ignored"]).agg(n=marked.count()).to_pyarrow().to_pylist()

    def by_value(column: str) -> dict[str, int]:
        totals: dict[str, int] = {}
        for count in counts:
            if count[column] is not None:
                totals[str(count[column])] = totals.get(str(count[column]), 0) + int(count["n"])
        return totals

    return ReadReport(source_name, rows, by_value("reason"), by_value("ignored"))


def refuse_if_rounded(report: ReadReport) -> None:
    """Stop if any id has lost digits, even in one row: it may now equal another customer's.

    Raises
    ------
    UserError
        Naming the column.
    """
    for reason, row_count in report.quarantined.items():
        if reason.startswith(ROUNDED):
            column = reason.removeprefix(ROUNDED)
            raise rounded_keys_error(f"sources: {report.source}", row_count, column)


def refuse_if_too_bad(report: ReadReport, config: Config, quarantine_file: Path | None) -> None:
    """Stop if more rows are bad than the config allows; `quarantine_file` (or None) holds them.

    Raises
    ------
    UserError
        With the reasons and their counts.
    """
    if report.bad <= tolerated_bad_share(report.source, config.quarantine.max_share) * report.rows:
        return
    reason_list = "; ".join(
        f"{reason}: {row_count}"
        for reason, row_count in sorted(report.quarantined.items(), key=lambda r: -r[1])
    )
    hint = "fix the export or the config's columns"
    if quarantine_file is not None:
        hint = f"look at them in {quarantine_file}, {hint}"
    if report.bad / 2 < report.quarantined.get(NO_CUSTOMER, 0) < report.rows:
        suggested_share = min(math.ceil(100 * report.bad / report.rows) / 100, 1)
        hint += "; if guests rightly have no customer: "
        hint += f"quarantine: {{max_share: {suggested_share:g}}}"
    raise UserError(
        f"sources: {report.source}",
        found=f"{report.bad} bad rows of {report.rows} ({reason_list})",
        expected=f"at most {config.quarantine.max_share:.1%} bad rows (quarantine.max_share)",
        hint=hint,
    )


def refuse_unknown_types(staged: Any, config: Config, source_name: str) -> None:
    """Stop if usable rows hold event types that no role maps.

    Raises
    ------
    UserError
        Naming the types.
    """
    known_types = {event_type for types in config.role_types().values() for event_type in types}
    known_types |= {*config.ignored_event_types, LEFT_OUT}
    type_counts = staged.filter(staged.reason.isnull()).event_type.value_counts(name="n").execute()
    unknown_types = sorted(set(type_counts.event_type) - known_types)
    if unknown_types:
        raise UserError(
            f"sources: {source_name}: event_type",
            found=f"unknown event types: {', '.join(map(repr, unknown_types[:10]))}",
            expected=f"types that `roles` maps, or: {', '.join(sorted(known_types - {LEFT_OUT}))}",
            hint="map them under `roles`, or list them under `ignored_event_types`",
        )
