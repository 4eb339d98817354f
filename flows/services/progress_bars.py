"""Progress bars with the remaining time, on the terminal and in Prefect."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from features.progress import Told
from flows.services.console import progress_console, step
from flows.services.prefect_artifacts import progress_shown

_QUIET_SECONDS = 30.0  # between two lines where progress is no bar: in a pipe, a file or a log


@contextmanager
def progress(text: str, total: int) -> Iterator[Callable[[], None]]:
    """Progress with the remaining time; call the returned function once per unit.

    A bar on a terminal; elsewhere a line now and then, and none for a step of a few seconds.
    """
    with progress_bars() as update, progress_shown(text, total) as shown:
        done = 0
        update(text, done, total)

        def advance() -> None:
            nonlocal done
            done += 1
            update(text, done, total)
            shown()

        yield advance


@contextmanager
def progress_bars() -> Iterator[Told]:
    """Progress with the remaining time, one bar per activity reported to the callback."""
    if not progress_console.is_terminal:
        yield SparseLines(time.monotonic)
        return
    with Progress(*_columns(), console=progress_console, transient=True) as bar:
        task_ids: dict[str, TaskID] = {}

        def update_bar(activity: str, completed: int, total: int, /) -> None:
            if activity not in task_ids:
                task_ids[activity] = bar.add_task(activity, total=total)
            bar.update(task_ids[activity], completed=completed, total=total)

        yield update_bar


class SparseLines:
    """A line of progress at most every 30 seconds, with the time left at the speed so far.

    Parameters
    ----------
    clock
        Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._last_line = clock()
        self._started: dict[str, tuple[float, int]] = {}

    def __call__(self, activity: str, completed: int, total: int, /) -> None:
        """Print a line if the last one is old enough and something is left to do."""
        now = self._clock()
        begin, first = self._started.setdefault(activity, (now, completed))
        if now - self._last_line < _QUIET_SECONDS or completed >= total:
            return
        self._last_line = now
        line = f"{activity}: {completed:,} of {total:,}"
        if completed > first:
            left = (now - begin) / (completed - first) * (total - completed)
            line += f", about {_duration_text(left)} left"
        step(line)


def _duration_text(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{round(seconds / 60)} min"


def _columns() -> tuple[ProgressColumn, ...]:
    return (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
