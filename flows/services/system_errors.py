"""Turn failures of disks, databases and servers into user errors with a remedy."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from features.errors import UnavailableError, UserError

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
# Only messages of these libraries are searched for the words; others may repeat a row of data.
_STORES = ("duckdb", "_duckdb", "sqlite3", "sqlalchemy", "pyarrow", "mlflow")
# HTTP client libraries of each server.
_PREFECT_CLIENTS = ("httpx", "httpcore")
_MLFLOW_CLIENTS = ("requests", "urllib3")


def as_user_error(error: BaseException) -> UserError | None:
    """The user error for a machine failure behind an exception; None if it is a defect."""
    chain = list(_chain(error))
    # Disks first: a server on this machine also fails if the disk is full.
    for classify in (_full, _read_only, _broken, _locked, _away):
        for cause in chain:
            if (message := classify(cause)) is not None:
                return message
    return None


def may_pass(error: BaseException) -> bool:
    """True if a server or database failed, so that the same step may succeed a minute later."""
    # An input that is wrong beside a server that is away makes every further attempt useless.
    if isinstance(error, UserError):
        return all(isinstance(problem, UnavailableError) for problem in error.problems)
    return isinstance(as_user_error(error), UnavailableError)


def _full(error: BaseException) -> UserError | None:
    if not _says(error, _FULL, _FULL_WORDS):
        return None
    return UserError(
        "disk",
        found="no space left on the disk",
        expected="space for the results of a run in addition to those of the last one",
        hint="free space (old runs under runs/ can be deleted) and start again; published results "
        "are unchanged",
    )


def _read_only(error: BaseException) -> UserError | None:
    if not _says(error, _READ_ONLY, _READ_ONLY_WORDS):
        return None
    name = getattr(error, "filename", None)
    return UserError(
        "disk",
        found=f"{name or 'a file'} cannot be read or written: {_reason(error)}",
        expected="files and folders that stagecast may read and write",
        hint="allow access, or give another folder with --output; published results are unchanged",
    )


def _broken(error: BaseException) -> UserError | None:
    if not _says(error, _BROKEN, _BROKEN_WORDS):
        return None
    return UserError(
        "disk",
        found=f"a device error: {_reason(error)}",
        expected="a working disk or network drive",
        hint="look into the machine's log, or give another folder with --output",
    )


def _locked(error: BaseException) -> UserError | None:
    if not _says(error, set(), _LOCKED_WORDS):
        return None
    return UnavailableError(
        "database",
        found="a database that another program has locked",
        expected="mlflow.db and prefect.db used only by stagecast",
        hint="close that program, or set MLFLOW_TRACKING_URI and PREFECT_API_URL to "
        "servers; then start again",
    )


def _away(error: BaseException) -> UserError | None:
    """Recognise client errors of servers, and failure answers of Prefect and MLflow."""
    kind = type(error)
    names = {base.__name__ for base in kind.__mro__}
    if kind.__module__.startswith(_PREFECT_CLIENTS) and "TransportError" in names:
        return _server("Prefect server", kind.__name__, "PREFECT_API_URL")
    # Prefect raises a plain RuntimeError where a server does not answer its first request.
    if kind is RuntimeError and str(error).startswith("Failed to reach API at"):
        return _server("Prefect server", "no answer", "PREFECT_API_URL")
    if kind.__module__.startswith("prefect") and "HTTPStatusError" in names:
        status = error.response.status_code  # type: ignore[attr-defined]
        # Other status codes are defects of ours.
        if status in (401, 403) or status >= 500:
            return _server("Prefect server", f"answer {status}", "PREFECT_API_URL")
    # All errors of requests are OSErrors; those about a URL or JSON are defects of ours.
    if kind.__module__.startswith(_MLFLOW_CLIENTS) and names & {
        "ConnectionError", "Timeout", "HTTPError", "RetryError", "TimeoutError"
    }:  # fmt: skip
        return _server("MLflow server", kind.__name__, "MLFLOW_TRACKING_URI")
    return None


def _server(where: str, reason: str, variable: str) -> UserError:
    return UnavailableError(
        where,
        found=f"the server failed during the command: {reason}",
        expected="a server that answers until the command ends",
        hint=f"check that it runs and has free disk space, or unset {variable}; then start again. "
        "Published results are unchanged",
    )


def _says(error: BaseException, numbers: set[int], words: tuple[str, ...]) -> bool:
    """Whether a system error has one of these numbers, or a storage error one of these words."""
    if isinstance(error, OSError) and error.errno in numbers:
        return True
    readable = isinstance(error, OSError) or type(error).__module__.startswith(_STORES)
    return readable and any(phrase in str(error).lower() for phrase in words)


def _reason(error: BaseException) -> str:
    reason = getattr(error, "strerror", None)
    return str(reason) if reason else type(error).__name__


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception with its causes, contexts and group members."""
    ordered: list[BaseException] = []
    waiting = [error]
    while waiting:
        current = waiting.pop()
        if current in ordered:
            continue
        ordered.append(current)
        waiting += [
            cause for cause in (current.__cause__, current.__context__) if cause is not None
        ]
        if isinstance(current, BaseExceptionGroup):
            waiting += current.exceptions
    yield from ordered
