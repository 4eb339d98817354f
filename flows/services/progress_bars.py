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
from flows.services.prefect_artifacts import ProgressArtifacts

_QUIET_SECONDS = 30.0  # between two lines where progress is no bar: in a pipe, a file or a log


@contextmanager
def progress(text: str, total: int) -> Iterator[Callable[[], None]]:
    """Progress with the remaining time; call the returned function once per unit.

    A bar on a terminal; elsewhere a line now and then, and none for a step of a few seconds.
    """
    with progress_bars() as update:
        done = 0
        update(text, done, total)

        def advance() -> None:
            nonlocal done
            done += 1
            update(text, done, total)

        yield advance


@contextmanager
def progress_bars() -> Iterator[Told]:
    """Progress with the remaining time, one bar per activity reported to the callback.

    In a run of Prefect every activity is also an artifact of the run.
    """
    artifacts = ProgressArtifacts()
    with _shown_bars() as update_bar:

        def update(activity: str, completed: int, total: int, /) -> None:
            update_bar(activity, completed, total)
            artifacts.update(activity, completed, total)

        yield update


@contextmanager
def _shown_bars() -> Iterator[Told]:
    """Bars on a terminal, lines elsewhere."""
    if not progress_console.is_terminal:
        yield SparseLines(time.monotonic)
        return
    with (
        _paused(),
        Progress(*_columns(), console=progress_console, transient=True) as bar,
    ):
        task_ids: dict[str, TaskID] = {}

        def update_bar(activity: str, completed: int, total: int, /) -> None:
            if activity not in task_ids:
                task_ids[activity] = bar.add_task(activity, total=total)
            bar.update(task_ids[activity], completed=completed, total=total)

        yield update_bar


_spinners: list[Progress] = []  # of the steps that are running, the outermost first


@contextmanager
def working(text: str, usual_seconds: float | None = None) -> Iterator[None]:
    """Show on a terminal that a step is running, for how long, and how long it took last time.

    For steps that count nothing. A step within it, or a bar, takes its place for as long.
    """
    if not progress_console.is_terminal or progress_console.quiet:
        yield
        return
    usual = "" if usual_seconds is None else f"of about {_duration_text(usual_seconds)}"
    spinner = Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), TextColumn(usual),
        console=progress_console, transient=True, refresh_per_second=4, redirect_stdout=False,
    )  # fmt: skip
    spinner.add_task(text, total=None)
    with _paused():
        _spinners.append(spinner)
        spinner.start()
        try:
            yield
        finally:
            spinner.stop()
            _spinners.remove(spinner)


@contextmanager
def _paused() -> Iterator[None]:
    """Take the innermost spinner off the terminal: two displays at once overwrite each other."""
    spinner = _spinners[-1] if _spinners else None
    if spinner is None:
        yield
        return
    spinner.stop()
    try:
        yield
    finally:
        spinner.start()


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
