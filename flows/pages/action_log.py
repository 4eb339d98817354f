"""The log of actions on the pages: who did what, and when; lines are only ever appended."""

from __future__ import annotations

import datetime as dt
import json
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.pages.accounts import accounts_folder

LOG_FILE = "actions.jsonl"
_MOST_READ = 1_000_000  # bytes from the end of the file
_lock = threading.Lock()


@dataclass(frozen=True)
class Action:
    """A line of the log.

    Attributes
    ----------
    at
        UTC, to the second, in ISO form.
    who
        Name of the account, or of the proxy's user; empty if nobody has signed in.
    what
        Such as ``approve export``.
    detail
        What it was done to; never the id of a customer.
    outcome
        ``done``, ``started``, or why it was refused.
    """

    at: str
    who: str
    what: str
    detail: str = ""
    outcome: str = "done"


@dataclass(frozen=True)
class ActionLog:
    """The log of an output folder, one JSON object a line.

    Attributes
    ----------
    output
        The output folder.
    """

    output: Path
    _file: Path = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Note where the log is."""
        object.__setattr__(self, "_file", self.output / "pages" / LOG_FILE)

    def add(self, who: str, what: str, detail: str = "", outcome: str = "done") -> None:
        """Append a line; it is on the disk when this returns."""
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        line = {"at": now, "who": who, "what": what, "detail": detail, "outcome": outcome}
        text = json.dumps(line, ensure_ascii=True) + "\n"
        accounts_folder(self.output)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        with _lock:
            descriptor = os.open(self._file, flags, 0o600)
            try:
                os.write(descriptor, text.encode())  # one write: lines of processes do not mix
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def latest(self, most: int = 200) -> list[Action]:
        """The latest lines, newest first."""
        try:
            with self._file.open("rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                stream.seek(max(0, size - _MOST_READ))
                lines = stream.read().splitlines()
        except FileNotFoundError:
            return []
        complete = lines if size <= _MOST_READ else lines[1:]
        return [action for line in reversed(complete[-most:]) if (action := _action(line))]


def _action(line: bytes) -> Action | None:
    """A line as an action; None for what a full disk has cut off."""
    try:
        content: dict[str, Any] = json.loads(line)
        return Action(**content)
    except (ValueError, TypeError):
        return None
