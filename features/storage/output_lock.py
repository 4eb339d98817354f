"""One writer at a time: an output folder is held by a lock that dies with its process."""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from features.errors import UserError

LOCK_FILE = ".stagecast.lock"
_EVERY_SECONDS = 0.5  # how often one who waits looks again


@dataclass
class _Hold:
    """A lock this process holds: its open file, its process, and how many callers share it."""

    descriptor: int
    pid: int
    holders: int


_guard = threading.Lock()
_held: dict[Path, _Hold] = {}


@contextmanager
def exclusive(output: Path, run_id: str, *, wait_seconds: float = 0) -> Iterator[None]:
    """Hold an output folder for writing; within one process it may be entered again.

    The system frees the lock when the process ends, however it ends.

    Parameters
    ----------
    output
        The output folder.
    run_id
        Who holds it, for the message to others.
    wait_seconds
        How long to wait for another process; 0 refuses at once.

    Raises
    ------
    UserError
        Where another process holds the folder for longer; the message names its run.
    """
    path = output.resolve() / LOCK_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    hold = _entered(path, run_id, time.monotonic() + wait_seconds)
    try:
        yield
    finally:
        with _guard:
            hold.holders -= 1
            if hold.holders == 0:
                del _held[path]
                os.close(hold.descriptor)


def _entered(path: Path, run_id: str, deadline: float) -> _Hold:
    while True:
        try:
            with _guard:
                hold = _held.get(path)
                # A forked child inherits this table, but not the lock.
                if hold is not None and hold.pid == os.getpid():
                    hold.holders += 1
                else:
                    hold = _held[path] = _Hold(_locked(path, run_id), os.getpid(), 1)
                return hold
        except UserError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(_EVERY_SECONDS)


def _locked(path: Path, run_id: str) -> int:
    """Descriptor of the locked file, which then names the run."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        # A record lock and not flock: children that outlive a killed run must not keep it.
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(descriptor, 4096).decode("utf-8", "replace").strip()
        os.close(descriptor)
        raise UserError(
            str(path.parent),
            found=f"another run writing there: {holder or 'unknown'}",
            expected="one run at a time for an output folder",
            hint="wait until it has ended, or give another folder with --output",
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps({"run_id": run_id, "pid": os.getpid()}).encode(), 0)
    return descriptor
