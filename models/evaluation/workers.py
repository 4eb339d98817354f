"""Run fits in parallel worker processes.

LightGBM has one thread count for the whole process, so two fits in one process can crash each
other. Each worker opens the stored tallies itself; only figures and parts are transferred.
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

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Submit(Protocol):
    """Submits ``function(archive, *arguments)`` to a worker."""

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Return a future of the result without waiting."""


_archive: list[Archive] = []  # the archive of this worker process, opened when it starts


def _open(output: Path, config: Config) -> None:
    watched()
    _archive.append(open_archive(output, config))


def _call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    return function(_archive[0], *arguments)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Limit workers that start in this context to one thread for linear algebra.

    More threads than cores wait for each other in busy loops: a small eigenvalue problem then takes
    fifty times as long.
    """
    previous = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(_THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in previous.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def worker_pool(archive: Archive, worker_count: int) -> Iterator[Submit]:
    """Open a pool of worker processes on one archive.

    Parameters
    ----------
    archive
        Stored tallies and features; each worker opens its own copy.
    worker_count
        Number of worker processes; each fit should use one thread.
    """
    opened = (archive.folder.parent, archive.builder.config)
    with (
        _one_thread_each(),
        ProcessPoolExecutor(
            worker_count, mp_context=get_context("spawn"), initializer=_open, initargs=opened
        ) as pool,
    ):
        yield lambda function, *arguments: pool.submit(_call, function, arguments)
