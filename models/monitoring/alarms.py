"""Alarms over days: a person hears of each once, again after a while, and not every morning."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from models.monitoring.findings import Finding


@dataclass(frozen=True)
class Alarm:
    """Something that is wrong, from the first day it was seen.

    Attributes
    ----------
    key
        What it is about.
    first_at, last_at
        First and last snapshot at which it was seen.
    told_at
        Snapshot at which a person was last told; None: not yet.
    text
        What was seen last.
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
        told = content["told_at"]
        return cls(
            key=content["key"],
            first_at=dt.date.fromisoformat(content["first_at"]),
            last_at=dt.date.fromisoformat(content["last_at"]),
            told_at=None if told is None else dt.date.fromisoformat(told),
            text=content["text"],
        )


def followed(
    before: Sequence[Alarm], findings: Sequence[Finding], at: dt.date, *, remind_days: int
) -> list[Alarm]:
    """All alarms there ever were, brought up to a day.

    An alarm that comes again within `remind_days` is still the same one. Following the same day
    twice changes nothing.
    """
    known = {alarm.key: alarm for alarm in before}
    found = {finding.key: finding for finding in findings if finding.alarm}
    for key, finding in found.items():
        old = known.get(key)
        text = told(finding)
        if old is None or (at - old.last_at).days > remind_days:
            known[key] = Alarm(key, at, at, None, text)
        else:
            known[key] = replace(old, last_at=max(at, old.last_at), text=text)
    return list(known.values())


def to_tell(alarms: Sequence[Alarm], at: dt.date, *, remind_days: int) -> list[Alarm]:
    """Alarms of a day that a person has not heard of, or not for so many days."""
    return [
        alarm
        for alarm in alarms
        if alarm.last_at == at
        and (alarm.told_at is None or (at - alarm.told_at).days >= remind_days)
    ]


def marked_told(alarms: Sequence[Alarm], heard: Sequence[Alarm], at: dt.date) -> list[Alarm]:
    """The alarms, after a person was told of some of them."""
    keys = {alarm.key for alarm in heard}
    return [replace(alarm, told_at=at) if alarm.key in keys else alarm for alarm in alarms]


def told(finding: Finding) -> str:
    """An alarm as one line."""
    value = "-" if finding.value is None else f"{finding.value:,.3g}"
    limit = "" if finding.limit is None else f", limit {finding.limit:,.3g}"
    expected = "" if finding.expected is None else f", usual {finding.expected:,.3g}"
    note = f" ({finding.note})" if finding.note else ""
    return f"{finding.key}: {finding.measure} {value}{expected}{limit}{note}"
