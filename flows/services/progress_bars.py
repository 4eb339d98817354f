"""Progress bars with the remaining time, on the terminal and in Prefect."""

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
    """A progress bar with the remaining time; call the returned function once per unit."""
    with (
        Progress(*_columns(), console=progress_console, transient=True) as bar,
        progress_shown(text, total) as shown,
    ):
        task_id = bar.add_task(text, total=total)

        def advance() -> None:
            bar.advance(task_id)
            shown()

        yield advance


@contextmanager
def progress_bars() -> Iterator[Told]:
    """Progress bars with the remaining time, one per activity reported to the callback."""
    with Progress(*_columns(), console=progress_console, transient=True) as bar:
        task_ids: dict[str, TaskID] = {}

        def update_bar(activity: str, completed: int, total: int, /) -> None:
            if activity not in task_ids:
                task_ids[activity] = bar.add_task(activity, total=total)
            bar.update(task_ids[activity], completed=completed, total=total)

        yield update_bar


def _columns() -> tuple[ProgressColumn, ...]:
    return (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
