"""The Prefect server of a command: its own, started beside it and ended with it, or a named one."""

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
from features.servers import trouble, without_password
from flows.services.ends_with_parent import command

START_SECONDS = 300
_EPHEMERAL = {
    "PREFECT_UI_ENABLED": "0",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
}


class OwnServer:
    """A server process on a free port of this machine, which ends with this process."""

    def __init__(self, *, module: str, arguments: tuple[str, ...], env: dict[str, str]) -> None:
        """Start ``python -m MODULE ARGUMENTS --host 127.0.0.1 --port PORT``, and do not wait."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        place = ("--host", "127.0.0.1", "--port", str(self.port))
        self.process = subprocess.Popen(
            command(module, *arguments, *place),
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the command: its flow ends first, then this
        )
        atexit.register(self.stop)

    @property
    def api_url(self) -> str:
        """Address for ``PREFECT_API_URL``."""
        return f"http://127.0.0.1:{self.port}/api"

    def wait(self, database: Path) -> None:
        """Return once the server answers.

        Raises
        ------
        UserError
            Where it ends or does not answer in time; the message names its `database`.
        """
        deadline = time.monotonic() + START_SECONDS
        while self.process.poll() is None and time.monotonic() < deadline:
            if self._answers():
                return
            time.sleep(0.1)
        ended = self.process.returncode
        raise UserError(
            "Prefect server",
            found="no answer" if ended is None else f"it ended with {ended}",
            expected=f"a server that starts within {START_SECONDS} seconds",
            hint=f"is another one using {database}? else set PREFECT_API_URL",
        )

    def stop(self) -> None:
        """End the server, if it still runs."""
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


_started: list[OwnServer] = []  # at most one a process


def begin() -> None:
    """Start a server for the flow of this command, unless one is named; do not wait for it.

    Meanwhile the command can import what the flow needs.
    """
    if _started or named_server() is not None:
        return
    arguments = ("--factory", "prefect.server.api.server:create_app", "--lifespan", "on")
    quiet = ("--log-level", "error")
    server = OwnServer(module="uvicorn", arguments=(*arguments, *quiet), env=_EPHEMERAL)
    _started.append(server)


def named_server() -> str | None:
    """Address of the Prefect server that the environment or the user's profile names, or None."""
    if address := os.environ.get("PREFECT_API_URL"):
        return address
    from prefect.settings import get_current_settings

    return get_current_settings().api.url


def check_named() -> None:
    """Do nothing where no server is named, or the one that is named answers.

    Raises
    ------
    UserError
        Where none answers at the address that is named.
    """
    address = named_server()
    if address is None:
        return
    found = trouble(f"{address.rstrip('/')}/health", refused=range(404, 600))
    if found is not None:
        raise UserError(
            "Prefect server",
            found=f"{without_password(address)}: {found}",
            expected="the API of a Prefect server, like http://127.0.0.1:4200/api",
            hint="start it (prefect server start), or unset PREFECT_API_URL",
        )


@contextmanager
def ready(output: Path) -> Iterator[None]:
    """While the block runs, flows are recorded by the server that is named, or by our own.

    Raises
    ------
    UserError
        Where it does not answer, or does not start.
    """
    from prefect.settings import PREFECT_API_URL, temporary_settings

    begin()
    if not _started:
        check_named()
        yield
        return
    server = _started[0]
    server.wait(output / "prefect.db")
    with temporary_settings({PREFECT_API_URL: server.api_url}):
        yield
