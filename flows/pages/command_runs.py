"""Commands that pages start: the command line itself, in a process of its own, one at a time.

A page has no way of its own to write. It starts what a person would type: the same checks, locks
and logs apply, and the service goes on answering.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from features.config.secret_values import hidden
from features.errors import UserError
from flows.pages.action_log import ActionLog

_LAST_LINES = 6  # of what a failed command prints


@dataclass
class CommandRuns:
    """The command that runs for the pages of one process; the folder's lock keeps others out.

    Attributes
    ----------
    output
        The output folder.
    log
        Log of actions: a line when a command starts, and one when it ends.
    """

    output: Path
    log: ActionLog
    _running: str = field(default="", init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @property
    def running(self) -> str:
        """What runs at present, in words; empty if nothing does."""
        return self._running

    def start(self, who: str, what: str, detail: str, arguments: Sequence[str]) -> None:
        """Start a command, and log how it ends.

        Parameters
        ----------
        who
            Name of the visitor.
        what, detail
            For the log, such as ``approve export`` and a campaign.
        arguments
            Of ``stagecast``, without the output folder.

        Raises
        ------
        UserError
            If another command of these pages runs.
        """
        with self._lock:
            if self._running:
                raise UserError(
                    "pages",
                    found=f"another action that runs: {self._running}",
                    expected="one action at a time",
                    hint="wait until it has ended; the log of actions shows it",
                )
            self._running = f"{what} {detail}".strip()
        self.log.add(who, what, detail, "started")
        command = [sys.executable, "-m", "flows.commands.cli", "--quiet", *arguments]
        command += ["--output", str(self.output)]
        threading.Thread(
            target=self._finish, args=(who, what, detail, command), name=what, daemon=True
        ).start()

    def _finish(self, who: str, what: str, detail: str, command: Sequence[str]) -> None:
        """Wait for the command in this thread."""
        try:
            with tempfile.TemporaryFile() as printed:
                code = subprocess.run(
                    command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=printed,
                    check=False,
                ).returncode  # fmt: skip
                printed.seek(0)
                lines = printed.read().decode("utf-8", "replace").strip().splitlines()
            # 2: something for a person to fix, said in words; of a defect the log has nothing.
            message = " ".join(" ".join(lines[-_LAST_LINES:]).split()) if code == 2 else ""
            outcome = "done" if code == 0 else hidden(message) or f"failed with exit code {code}"
        except OSError as error:
            outcome = f"failed: {error.strerror}"
        self.log.add(who, what, detail, outcome)
        self._running = ""
