"""Troubles of the machine, told as something to fix: its disks, databases and servers."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from features.errors import UserError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FULL_WORDS = ("no space left on device", "disk is full", "file too large", "quota exceeded")
_READ_ONLY = {errno.EROFS, errno.EACCES, errno.EPERM}
_READ_ONLY_WORDS = (
    "read-only file system", "readonly database", "unable to open database file",
    '": permission denied',
)  # fmt: skip
_BROKEN = {errno.EIO, errno.ESTALE, errno.ENXIO, errno.ENODEV}
_BROKEN_WORDS = ("disk i/o error", "input/output error", "stale file handle")
_LOCKED_WORDS = ("database is locked", "database table is locked")
# Whose messages are read for these words; others may repeat a row of data.
_STORES = ("duckdb", "_duckdb", "sqlite3", "sqlalchemy", "pyarrow", "mlflow")
# Errors on the way to a server, of the client of each.
_PREFECT_CLIENTS = ("httpx", "httpcore")
_MLFLOW_CLIENTS = ("requests", "urllib3")


def as_user_error(error: BaseException) -> UserError | None:
    """The message for a trouble of the machine behind an error; None where it is a defect."""
    chain = list(_chain(error))
    # In this order: a server, too, goes away when the disk that it shares with us is full.
    for trouble in (_full, _read_only, _broken, _locked, _away):
        for one in chain:
            if (message := trouble(one)) is not None:
                return message
    return None


def _full(error: BaseException) -> UserError | None:
    if not _says(error, _FULL, _FULL_WORDS):
        return None
    return UserError(
        "disk",
        found="no space left to write to",
        expected="room for the results of a run beside those of the last one",
        hint="make room (old runs under runs/ may go) and start again; published results "
        "are as they were",
    )


def _read_only(error: BaseException) -> UserError | None:
    if not _says(error, _READ_ONLY, _READ_ONLY_WORDS):
        return None
    name = getattr(error, "filename", None)
    return UserError(
        "disk",
        found=f"{name or 'a file'} cannot be read or written: {_reason(error)}",
        expected="files and folders that stagecast may use, on a disk that is not read-only",
        hint="allow it, or give another folder with --output; published results are as they were",
    )


def _broken(error: BaseException) -> UserError | None:
    if not _says(error, _BROKEN, _BROKEN_WORDS):
        return None
    return UserError(
        "disk",
        found=f"an error of the device: {_reason(error)}",
        expected="a disk, or a network drive, that reads and writes",
        hint="look at the machine's log, or give another folder with --output",
    )


def _locked(error: BaseException) -> UserError | None:
    if not _says(error, set(), _LOCKED_WORDS):
        return None
    return UserError(
        "database",
        found="a database that another program holds",
        expected="mlflow.db and prefect.db for nobody but stagecast",
        hint="close that program, or set MLFLOW_TRACKING_URI and PREFECT_API_URL to "
        "servers; then start again",
    )


def _away(error: BaseException) -> UserError | None:
    """Of servers the clients' own errors, and Prefect's and MLflow's answers that they failed."""
    kind = type(error)
    names = {base.__name__ for base in kind.__mro__}
    if kind.__module__.startswith(_PREFECT_CLIENTS) and "TransportError" in names:
        return _server("Prefect server", kind.__name__, "PREFECT_API_URL")
    if kind.__module__.startswith("prefect") and "HTTPStatusError" in names:
        status = error.response.status_code  # type: ignore[attr-defined]
        # Other refusals are mistakes of ours.
        if status in (401, 403) or status >= 500:
            return _server("Prefect server", f"answer {status}", "PREFECT_API_URL")
    # Requests makes all its errors OSErrors, also those about a URL or JSON: these are ours.
    if kind.__module__.startswith(_MLFLOW_CLIENTS) and names & {
        "ConnectionError", "Timeout", "HTTPError", "RetryError", "TimeoutError"
    }:  # fmt: skip
        return _server("MLflow server", kind.__name__, "MLFLOW_TRACKING_URI")
    return None


def _server(where: str, found: str, variable: str) -> UserError:
    return UserError(
        where,
        found=f"no use of it any more: {found}",
        expected="a server that answers until the command has ended",
        hint=f"see that it runs and has room on its disk, or unset {variable}; then start again. "
        "Published results are as they were",
    )


def _says(error: BaseException, numbers: set[int], words: tuple[str, ...]) -> bool:
    """Whether an error of the system has one of these numbers, or one of a store these words."""
    if isinstance(error, OSError) and error.errno in numbers:
        return True
    heard = isinstance(error, OSError) or type(error).__module__.startswith(_STORES)
    return heard and any(said in str(error).lower() for said in words)


def _reason(error: BaseException) -> str:
    reason = getattr(error, "strerror", None)
    return str(reason) if reason else type(error).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from."""
    found: list[BaseException] = []
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if each in found:
            continue
        found.append(each)
        waiting += [cause for cause in (each.__cause__, each.__context__) if cause is not None]
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions
    yield from found
