"""Servers on this machine, for the tests and benchmarks that ask one: MLflow's and Prefect's."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SECONDS_TO_START = 300


@dataclass(frozen=True)
class LocalServer:
    """A server that answers: its address, and its process, the first of a session of its own."""

    address: str
    port: int
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """End it and all that it started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait()


@contextmanager
def local_server(
    *command: str | Path,
    health: str,
    env: Mapping[str, str],
    folder: Path | None = None,
    log: Path = Path(os.devnull),
) -> Iterator[LocalServer]:
    """`python -m COMMAND --port PORT` for the time of the block, once `health` answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("wb") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", *command, "--port", str(port)],
            env={**os.environ, **env},
            cwd=folder,
            stdout=told,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = LocalServer(f"http://127.0.0.1:{port}", port, process)
    try:
        deadline = time.monotonic() + SECONDS_TO_START
        while not _answers(server.address + health):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start; see {log}")
            time.sleep(0.2)
        yield server
    finally:
        server.stop()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
