"""A PostgreSQL of the tests' own: of the machine's binaries, else of the wheel `pgserver`."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# Debian keeps the programs of a server out of the search path.
PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
NONE = (
    "no PostgreSQL for this test: neither `initdb` on this machine (Debian: apt install "
    "postgresql) nor the wheel pgserver for this Python"
)


@dataclass(frozen=True)
class PostgresServer:
    """A server that listens on a socket in its own folder."""

    folder: Path

    def get_uri(self) -> str:
        """Address of its database `postgres`, for libpq."""
        return f"postgresql://postgres:@/postgres?host={self.folder}"


@contextmanager
def postgres_server() -> Iterator[Any]:
    """A running server, gone at the end with all its data; its address is ``get_uri()``.

    Skips the test where there is none to run, and fails it where the variable CI is set.
    """
    # Not in pytest's folder, which the next session of pytest closes to the database's own user.
    folder = Path(tempfile.mkdtemp(prefix="stagecast-postgres-"))
    programs = machine_programs()
    try:
        if programs is not None:
            with _own_server(programs, folder):
                yield PostgresServer(folder)
        elif importlib.util.find_spec("pgserver") is not None:
            with _server_of_wheel(folder) as server:
                yield server
        elif os.environ.get("CI"):
            pytest.fail(NONE)
        else:
            pytest.skip(NONE)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def machine_programs() -> Path | None:
    """Folder of the newest PostgreSQL of this machine; None where there is none."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    folders = [path for place in PLACES for path in Path("/").glob(place[1:])]
    whole = [path for path in folders if (path / "initdb").is_file()]
    return max(whole, key=lambda path: [int(n) for n in _numbers(path)], default=None)


def _numbers(path: Path) -> list[str]:
    return "".join(c if c.isdigit() else " " for c in path.parent.name).split()


@contextmanager
def _own_server(programs: Path, folder: Path) -> Iterator[None]:
    data, log = folder / "data", folder / "log"
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:  # the server refuses to be run by the superuser
        user = pwd.getpwnam("postgres" if _known("postgres") else "nobody")
        os.chown(folder, user.pw_uid, user.pw_gid)
        as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}

    def call(program: str, *arguments: str | Path) -> None:
        done = subprocess.run(
            [programs / program, *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # no pipe: the server would keep it open
            check=False,
            **as_user,
        )
        if done.returncode != 0:
            told = log.read_text() if log.is_file() else ""
            raise RuntimeError(f"{program} ended with {done.returncode}: {told}")

    call("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")
    where = f"-k {folder} -c listen_addresses='' -c fsync=off"
    call("pg_ctl", "-D", data, "-l", log, "-o", where, "-w", "-s", "start")
    try:
        yield
    finally:
        call("pg_ctl", "-D", data, "-m", "immediate", "-s", "stop")


def _known(user: str) -> bool:
    return any(entry.pw_name == user for entry in pwd.getpwall())


@contextmanager
def _server_of_wheel(folder: Path) -> Iterator[Any]:
    import pgserver

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for a folder of the desktop
        server = pgserver.get_server(folder)
    try:
        yield server
    finally:
        server.cleanup()
