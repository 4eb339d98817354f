"""Fits side by side, each worker a process of its own.

LightGBM keeps its number of threads for the whole process, so that two fits in one process can
crash each other. A worker opens the stored tallies itself; only figures and parts travel.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol

from features.config.config import Config
from features.processes import watched
from features.table.feature_store import Archive, open_archive

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Submit(Protocol):
    """Hands ``function(archive, *arguments)`` to a worker."""

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Return at once; the result waits in the future."""


_archive: list[Archive] = []  # of this worker process; filled once, when it starts


def _open(output: Path, config: Config) -> None:
    watched()
    _archive.append(open_archive(output, config))


def _call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    return function(_archive[0], *arguments)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Workers started meanwhile get one thread for linear algebra.

    Theirs would otherwise wait for each other in tight loops: a small eigenvalue problem then takes
    fifty times as long.
    """
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def workers(archive: Archive, count: int) -> Iterator[Submit]:
    """A pool of worker processes on one archive.

    Parameters
    ----------
    archive
        What each worker opens for itself.
    count
        Worker processes; each fit should then use one thread.
    """
    opened = (archive.folder.parent, archive.builder.config)
    with (
        _one_thread_each(),
        ProcessPoolExecutor(
            count, mp_context=get_context("spawn"), initializer=_open, initargs=opened
        ) as pool,
    ):
        yield lambda function, *arguments: pool.submit(_call, function, arguments)
