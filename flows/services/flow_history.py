"""History of flows that run without a Prefect server: one file of JSON lines per command.

A command that starts a local server would wait for it longer than most flows take. Without a named
server a flow therefore runs by itself, and each run, its state and its artifacts become lines of a
file below ``OUTPUT/flow_runs/``. `stagecast runs --serve` and `stagecast schedule` hand the files
to Prefect. A history that cannot be written never stops a run.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TextIO

from features.config.secret_values import hidden

FOLDER = "flow_runs"
_MOST_FILES = 500  # the oldest are removed, a year and more of nightly commands
_MESSAGE_LENGTH = 2000
_LATEST_FILES = 20  # for how long a step usually takes

Kind = Literal["flow", "task"]


@dataclass
class _History:
    """The open file of this command and the ids of its running steps, the outermost first."""

    file: TextIO
    running: list[str] = field(default_factory=list)

    def add(self, line: Mapping[str, Any]) -> None:
        """Append a line; a disk that is full is reported by the results, not by the history."""
        with suppress(OSError):
            text = json.dumps({**line, "at": _now().isoformat()}, ensure_ascii=False, default=str)
            self.file.write(text + "\n")
            self.file.flush()


_open: ContextVar[_History | None] = ContextVar("history of this command", default=None)


@contextmanager
def history_kept(output: Path) -> Iterator[None]:
    """Note the flows, tasks and artifacts of the block in a new file of the output folder."""
    file = _new_file(output / FOLDER)
    if file is None:
        yield
        return
    token = _open.set(_History(file))
    try:
        yield
    finally:
        _open.reset(token)
        with suppress(OSError):
            file.close()


def _new_file(folder: Path) -> TextIO | None:
    """A new file, locked while this process lives; None if the folder cannot be written to."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.glob("*.jsonl"))[: 1 - _MOST_FILES]:
            path.unlink()
        name = f"{_now():%Y%m%dT%H%M%S%f}-{os.getpid()}.jsonl"
        file = (folder / name).open("x", encoding="utf-8")
        fcntl.flock(file, fcntl.LOCK_EX)
        return file
    return None


@contextmanager
def noted(kind: Kind, name: str, parameters: Mapping[str, Any]) -> Iterator[None]:
    """Note the start and the end of a flow or task; do nothing outside `history_kept`."""
    history = _open.get()
    if history is None:
        yield
        return
    run_id = str(uuid.uuid4())
    parent = history.running[-1] if history.running else None
    history.add(
        {"id": run_id, "parent": parent, "kind": kind, "name": name, "parameters": parameters}
    )
    history.running.append(run_id)
    try:
        yield
    except BaseException as error:
        state = "FAILED" if isinstance(error, Exception) else "CRASHED"
        message = hidden(f"{type(error).__name__}: {error}")[:_MESSAGE_LENGTH]
        history.add({"id": run_id, "state": state, "message": message})
        raise
    else:
        history.add({"id": run_id, "state": "COMPLETED", "message": None})
    finally:
        history.running.pop()


def artifacts_noted() -> bool:
    """Whether a step runs whose artifacts are noted."""
    history = _open.get()
    return history is not None and bool(history.running)


def note_artifact(kind: str, key: str, data: str, about: str) -> None:
    """Note an artifact of the running step; `kind` is Prefect's name of it."""
    history = _open.get()
    if history is not None and history.running:
        history.add(
            {
                "run": history.running[-1],
                "type": kind,
                "key": key,
                "data": data,
                "description": about,
            }
        )


@dataclass(frozen=True)
class NotedRun:
    """A run of a flow or task.

    Attributes
    ----------
    id, parent
        Identifiers of this run and of the run that called it (None for a command's flow).
    kind, name, parameters
        Flow or task, its name, and the arguments of a flow.
    started, ended
        Moments in UTC; `ended` is None while it runs.
    state
        COMPLETED, FAILED, CRASHED (its process ended first) or RUNNING.
    message
        The error; None without one.
    artifacts
        Pages, tables and links that it showed.
    """

    id: str
    parent: str | None
    kind: Kind
    name: str
    parameters: dict[str, Any]
    started: dt.datetime
    ended: dt.datetime | None
    state: str
    message: str | None
    artifacts: tuple[dict[str, Any], ...]


def noted_runs(output: Path) -> list[NotedRun]:
    """Every noted run of flows and tasks, the oldest first; a caller comes before what it calls."""
    files = sorted((output / FOLDER).glob("*.jsonl"))
    return [run for path in files for run in _runs_of_file(path)]


def usual_seconds(output: Path) -> dict[str, float]:
    """How long each flow and task took when it last succeeded, in the last commands of a folder."""
    seconds: dict[str, float] = {}
    with suppress(OSError):
        for path in sorted((output / FOLDER).glob("*.jsonl"))[-_LATEST_FILES:]:
            for run in _runs_of_file(path):
                if run.state == "COMPLETED" and run.ended is not None:
                    seconds[run.name] = (run.ended - run.started).total_seconds()
    return seconds


def _runs_of_file(path: Path) -> list[NotedRun]:
    with path.open(encoding="utf-8") as file:
        alive = _is_locked(file)
        lines = list(_parsed(file))
        last_change = dt.datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, dt.UTC)
    ends = {line["id"]: line for line in lines if "state" in line}
    artifacts: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        if "run" in line:
            artifacts.setdefault(line["run"], []).append(line)
    unended: dict[str, Any] = {
        "state": "RUNNING" if alive else "CRASHED",
        "message": None if alive else "its process ended before it did",
        "at": None if alive else last_change.isoformat(),
    }
    return [
        NotedRun(
            line["id"], line["parent"], line["kind"], line["name"], line["parameters"],
            dt.datetime.fromisoformat(line["at"]),
            dt.datetime.fromisoformat(end["at"]) if end["at"] else None,
            end["state"], end["message"], tuple(artifacts.get(line["id"], ())),
        )
        for line in lines
        if "kind" in line
        for end in [ends.get(line["id"], unended)]
    ]  # fmt: skip


def _is_locked(file: TextIO) -> bool:
    """Whether the process that writes the file still lives."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    return False


def _parsed(file: TextIO) -> Iterator[dict[str, Any]]:
    """Complete lines; the last line of a killed command may be cut."""
    for text in file:
        with suppress(ValueError):
            yield json.loads(text)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
