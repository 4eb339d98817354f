"""Alarms over days: each is sent once, and again after a number of days."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from models.monitoring.findings import MonitorFinding


@dataclass(frozen=True)
class Alarm:
    """An alarm from the first snapshot at which it was raised.

    Attributes
    ----------
    key
        Check and subject, as in `MonitorFinding.key`.
    first_at, last_at
        First and last snapshot at which it was raised.
    told_at
        Snapshot of the last notification; None if there was none.
    text
        Text of the latest finding.
    """

    key: str
    first_at: dt.date
    last_at: dt.date
    told_at: dt.date | None
    text: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        return {
            key: str(value) if isinstance(value, dt.date) else value
            for key, value in asdict(self).items()
        }

    @classmethod
    def read(cls, content: dict[str, Any]) -> Alarm:
        """Alarm from its JSON form."""
        notified_at = content["told_at"]
        return cls(
            key=content["key"],
            first_at=dt.date.fromisoformat(content["first_at"]),
            last_at=dt.date.fromisoformat(content["last_at"]),
            told_at=None if notified_at is None else dt.date.fromisoformat(notified_at),
            text=content["text"],
        )


def update_alarms(
    earlier_alarms: Sequence[Alarm],
    findings: Sequence[MonitorFinding],
    at: dt.date,
    *,
    remind_days: int,
) -> list[Alarm]:
    """Return earlier alarms updated with the findings of a day.

    An alarm that returns within `remind_days` continues the earlier one. Applying the same day
    twice changes nothing.
    """
    alarm_of = {alarm.key: alarm for alarm in earlier_alarms}
    finding_of = {finding.key: finding for finding in findings if finding.alarm}
    for key, finding in finding_of.items():
        earlier = alarm_of.get(key)
        text = _alarm_text(finding)
        if earlier is None or (at - earlier.last_at).days > remind_days:
            alarm_of[key] = Alarm(key, at, at, None, text)
        else:
            alarm_of[key] = replace(earlier, last_at=max(at, earlier.last_at), text=text)
    return list(alarm_of.values())


def due_alarms(alarms: Sequence[Alarm], at: dt.date, *, remind_days: int) -> list[Alarm]:
    """Alarms of a day with no notification yet, or none within `remind_days`."""
    return [
        alarm
        for alarm in alarms
        if alarm.last_at == at
        and (alarm.told_at is None or (at - alarm.told_at).days >= remind_days)
    ]


def mark_notified(alarms: Sequence[Alarm], notified: Sequence[Alarm], at: dt.date) -> list[Alarm]:
    """Set the notification date of the alarms that were sent."""
    keys = {alarm.key for alarm in notified}
    return [replace(alarm, told_at=at) if alarm.key in keys else alarm for alarm in alarms]


def _alarm_text(finding: MonitorFinding) -> str:
    """A finding as one line of text."""
    value_text = "-" if finding.value is None else f"{finding.value:,.3g}"
    limit_text = "" if finding.limit is None else f", limit {finding.limit:,.3g}"
    expected_text = "" if finding.expected is None else f", usual {finding.expected:,.3g}"
    note_text = f" ({finding.note})" if finding.note else ""
    return f"{finding.key}: {finding.measure} {value_text}{expected_text}{limit_text}{note_text}"
