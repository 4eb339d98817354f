"""Lock of an output folder for one writer; the system releases it with the process."""

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
_EVERY_SECONDS = 0.5  # interval between attempts while waiting


@dataclass
class _Hold:
    """A lock of this process: open file, process id, and number of callers that share it."""

    descriptor: int
    pid: int
    holders: int


_guard = threading.Lock()
_held: dict[Path, _Hold] = {}


@contextmanager
def exclusive(output: Path, run_id: str, *, wait_seconds: float = 0) -> Iterator[None]:
    """Lock an output folder for writing; reentrant within one process.

    The system releases the lock when the process ends, however it ends.

    Parameters
    ----------
    output
        The output folder.
    run_id
        Name of the holder, for the message to others.
    wait_seconds
        Seconds to wait for another process; 0 fails at once.

    Raises
    ------
    UserError
        If another process holds the folder longer; the message names its run.
    """
    path = output.resolve() / LOCK_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    folder_hold = _enter(path, run_id, time.monotonic() + wait_seconds)
    try:
        yield
    finally:
        with _guard:
            folder_hold.holders -= 1
            if folder_hold.holders == 0:
                del _held[path]
                os.close(folder_hold.descriptor)


def _enter(path: Path, run_id: str, deadline: float) -> _Hold:
    while True:
        try:
            with _guard:
                folder_hold = _held.get(path)
                # A forked child inherits this table, but not the lock.
                if folder_hold is not None and folder_hold.pid == os.getpid():
                    folder_hold.holders += 1
                else:
                    folder_hold = _held[path] = _Hold(_lock_file(path, run_id), os.getpid(), 1)
                return folder_hold
        except UserError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(_EVERY_SECONDS)


def _lock_file(path: Path, run_id: str) -> int:
    """Lock the file and write the run's name into it; return its descriptor."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        # A record lock, not flock: children that outlive a killed run must not keep it.
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
