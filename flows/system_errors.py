"""Troubles of the machine, told as something to mend: a full disk, a locked database."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from features.errors import UserError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FULL_WORDS = ("no space left on device", "disk is full", "file too large", "quota exceeded")
_LOCKED_WORDS = ("database is locked", "database table is locked")
# Whose messages are read for these words; others may repeat a row of data.
_STORES = ("duckdb", "_duckdb", "sqlite3", "sqlalchemy", "pyarrow", "mlflow")


def as_user_error(error: BaseException) -> UserError | None:
    """The message for a trouble of the machine behind an error; None where it is a defect."""
    for each in _chain(error):
        told = isinstance(each, OSError) or type(each).__module__.startswith(_STORES)
        words = str(each).lower() if told else ""
        full = isinstance(each, OSError) and each.errno in _FULL
        if full or any(said in words for said in _FULL_WORDS):
            return UserError(
                "disk",
                found="no space left to write to",
                expected="room for the results of a run beside those of the last one",
                mend="make room (old runs under runs/ may go) and start again; published results "
                "are as they were",
            )
        if any(said in words for said in _LOCKED_WORDS):
            return UserError(
                "database",
                found="a database that another program holds",
                expected="mlflow.db and prefect.db for nobody but stagecast",
                mend="close that program, or set MLFLOW_TRACKING_URI and PREFECT_API_URL to "
                "servers; then start again",
            )
    return None


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
