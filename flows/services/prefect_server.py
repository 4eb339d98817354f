"""The Prefect server of a command: its own child process, or the one that settings name."""

from __future__ import annotations

import atexit
import http.client
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.errors import UserError
from features.servers import trouble, without_login
from flows.services.ends_with_parent import child_command

_START_SECONDS = 300
_EPHEMERAL = {
    "PREFECT_UI_ENABLED": "0",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
}


class OwnServer:
    """A server process on a free local port that ends with this process."""

    def __init__(self, *, module: str, arguments: tuple[str, ...], env: dict[str, str]) -> None:
        """Start ``python -m MODULE ARGUMENTS --host 127.0.0.1 --port PORT`` without waiting."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        binding = ("--host", "127.0.0.1", "--port", str(self.port))
        self.process = subprocess.Popen(
            child_command(module, *arguments, *binding),
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches only the command: its flow ends first
        )
        atexit.register(self.stop)

    @property
    def api_url(self) -> str:
        """Value for ``PREFECT_API_URL``."""
        return f"http://127.0.0.1:{self.port}/api"

    def wait(self, database: Path) -> None:
        """Wait until the server answers.

        Raises
        ------
        UserError
            If it ends or does not answer in time; the message names its `database`.
        """
        deadline = time.monotonic() + _START_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            if self._answers():
                return
            time.sleep(0.1)
        exit_code = self.process.returncode
        raise UserError(
            "Prefect server",
            found="no answer" if exit_code is None else f"it ended with {exit_code}",
            expected=f"a server that starts within {_START_SECONDS} seconds",
            hint=f"end any other server that uses {database}, or set PREFECT_API_URL",
        )

    def stop(self) -> None:
        """End the server if it still runs."""
        atexit.unregister(self.stop)
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/api/health")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


_started: list[OwnServer] = []  # at most one per process


def start_server() -> None:
    """Start a server for the flow of this command without waiting, unless settings name one.

    While it starts, the command can import what the flow needs.
    """
    if _started or named_server() is not None:
        return
    arguments = ("--factory", "prefect.server.api.server:create_app", "--lifespan", "on")
    log_options = ("--log-level", "error")
    server = OwnServer(module="uvicorn", arguments=(*arguments, *log_options), env=_EPHEMERAL)
    _started.append(server)


def named_server() -> str | None:
    """Address of the Prefect server in the environment or the user's profile; None if unset."""
    if address := os.environ.get("PREFECT_API_URL"):
        return address
    from prefect.settings import get_current_settings

    return get_current_settings().api.url


def require_named_server() -> None:
    """Raise if the Prefect server that settings name does not answer; pass if none is named.

    Raises
    ------
    UserError
        If no server answers at its address.
    """
    address = named_server()
    if address is None:
        return
    reason = trouble(f"{address.rstrip('/')}/health", refused=range(404, 600))
    if reason is not None:
        raise UserError(
            "PREFECT_API_URL",
            found=f"{without_login(address)}: {reason}",
            expected="the API of a Prefect server, like http://127.0.0.1:4200/api",
            hint="start it (prefect server start), or unset PREFECT_API_URL",
        )


@contextmanager
def server_ready(output: Path) -> Iterator[None]:
    """Record the flows of the block on the server that settings name, or on our own.

    Raises
    ------
    UserError
        If the server does not start or answer.
    """
    from prefect.settings import PREFECT_API_URL, temporary_settings

    start_server()
    if not _started:
        require_named_server()
        yield
        return
    server = _started[0]
    server.wait(output / "prefect.db")
    with temporary_settings({PREFECT_API_URL: server.api_url}):
        yield
