"""Prefect's server: the one that settings name, or the child process of a command that shows it."""

from __future__ import annotations

import atexit
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from features.errors import UserError
from features.servers import trouble, without_login
from flows.services.ends_with_parent import child_command
from flows.services.prefect_history import hand_to_prefect

_START_SECONDS = 300
# What a settings file contains that may name a server; only then the settings are imported.
_NAMES_SERVER = re.compile(r"(?im)prefect_api_url|tool\.prefect|^\s*\[?api\b")
# After a restart of the server slots of concurrency limits are freed only where leases were kept.
_LEASE_STORAGE = "prefect.server.concurrency.lease_storage.filesystem"
_LEASES = {"PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": _LEASE_STORAGE}


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
            # The page asks this address for its content; by default it asks the usual port.
            env={**os.environ, "PREFECT_UI_API_URL": self.api_url, **env},
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
        import http.client

        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/api/health")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def named_server() -> str | None:
    """Address of the Prefect server in the environment or the user's profile; None if unset."""
    if address := os.environ.get("PREFECT_API_URL"):
        return address
    if not any(map(_may_name_server, _settings_files())):
        return None
    from prefect.settings import get_current_settings

    return get_current_settings().api.url


def _settings_files() -> list[Path]:
    """Files in which Prefect looks for its settings."""
    home = Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect").expanduser()
    profiles = Path(os.environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml").expanduser()
    return [profiles, *map(Path, (".env", "prefect.toml", "pyproject.toml"))]


def _may_name_server(file: Path) -> bool:
    """Whether a settings file has to be read by Prefect, whose import takes seconds."""
    try:
        return _NAMES_SERVER.search(file.read_text(encoding="utf-8", errors="replace")) is not None
    except OSError:
        return False


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
def server_with_page(output: Path) -> Iterator[str]:
    """Address of the named server's page; without one, of a server on loopback for the block.

    The server shows the noted runs of the output folder, too.

    Raises
    ------
    UserError
        If the server does not start or answer.
    """
    from prefect.settings import PREFECT_API_URL, temporary_settings

    address = named_server()
    if address is not None:
        require_named_server()
        yield _page(address)
        return
    hand_to_prefect(output)
    server = OwnServer(module="prefect", arguments=("server", "start"), env=_LEASES)
    try:
        server.wait(output / "prefect.db")
        os.environ["PREFECT_API_URL"] = server.api_url  # for the runs, processes of their own
        with temporary_settings({PREFECT_API_URL: server.api_url}):
            yield _page(server.api_url)
    finally:
        server.stop()


def _page(api_address: str) -> str:
    return without_login(api_address).removesuffix("/api")
