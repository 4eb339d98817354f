"""Progress with the time left, on the terminal and in Prefect."""

from __future__ import annotations

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
from flows.services.console import progress_console
from flows.services.prefect_artifacts import progress_shown


@contextmanager
def progress(text: str, total: int) -> Iterator[Callable[[], None]]:
    """A progress bar with the time left; call what it gives once for each unit done."""
    with (
        Progress(*_columns(), console=progress_console, transient=True) as bar,
        progress_shown(text, total) as shown,
    ):
        task = bar.add_task(text, total=total)

        def advance() -> None:
            bar.advance(task)
            shown()

        yield advance


@contextmanager
def showing() -> Iterator[Told]:
    """Progress bars with the time left, one for each thing that what it gives is told of."""
    with Progress(*_columns(), console=progress_console, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def told(what: str, done: int, of: int, /) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=of)
            bar.update(tasks[what], completed=done, total=of)

        yield told


def _columns() -> tuple[ProgressColumn, ...]:
    return (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
