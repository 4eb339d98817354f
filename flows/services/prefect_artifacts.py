"""What a flow shows in Prefect: tables, pages, progress, and links to MLflow.

Outside of a flow nothing is shown, and a server that is away never stops a run: what is shown
here also stands in the output folder. Only sums go in, no rows of customers.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from models.registry.tracking import Tracking

_EVERY_SECONDS = 2.0  # at most so often is progress told


def show_table(
    name: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, about: str
) -> None:
    """Show a table of the run; the same `name` in a later run is its next version."""
    if rows and in_a_run():
        from prefect.artifacts import create_table_artifact

        told = [{c: _cell(v) for c, v in zip(columns, row, strict=True)} for row in rows]
        _shown(lambda: create_table_artifact(told, key=_key(name), description=about))


def show_page(name: str, markdown: str, *, about: str) -> None:
    """Show a page in Markdown."""
    if in_a_run():
        from prefect.artifacts import create_markdown_artifact

        _shown(lambda: create_markdown_artifact(markdown, key=_key(name), description=about))


def link_to_mlflow(name: str, tracking: Tracking, run_id: str | None, *, about: str) -> None:
    """Link to an MLflow run: on the server, or where `mlflow ui` shows it on this machine."""
    if run_id and in_a_run():
        from prefect.artifacts import create_link_artifact

        link, told = tracking.page(run_id)
        said = f"{about} {told}".strip()
        _shown(
            lambda: create_link_artifact(
                link, link_text=f"MLflow run {run_id}", key=_key(name), description=said
            )
        )


@contextmanager
def progress_shown(text: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a share that grows; call what it gives once for each unit done."""
    if total == 0 or not in_a_run():
        yield lambda: None
        return
    from prefect.artifacts import create_progress_artifact, update_progress_artifact

    made = _shown(lambda: create_progress_artifact(0.0, key=_key(text), description=text))
    done, last = 0, time.monotonic()

    def advance() -> None:
        nonlocal done, last
        done += 1
        if made is not None and (done >= total or time.monotonic() - last >= _EVERY_SECONDS):
            last = time.monotonic()
            share = min(100.0 * done / total, 100.0)
            _shown(lambda: update_progress_artifact(made, share))

    yield advance


def _key(name: str) -> str:
    """A key as Prefect wants it: small letters, digits and dashes; no numbers that vary."""
    return re.sub(r"[^a-z]+", "-", name.lower()).strip("-")


def _cell(value: object) -> object:
    if isinstance(value, float):
        return None if value != value else round(value, 4)
    return value if isinstance(value, int | str | None) else str(value)


def in_a_run() -> bool:
    """Whether a flow or task of Prefect's is running; where nobody imported it, none is."""
    if "prefect" not in sys.modules:
        return False
    from prefect.context import FlowRunContext, TaskRunContext

    return FlowRunContext.get() is not None or TaskRunContext.get() is not None


def _shown(create: Callable[[], Any]) -> UUID | None:
    try:
        made = create()
    except Exception as error:  # whatever the server or the way to it has
        from flows.services.console import warn

        warn(f"not shown in Prefect: {type(error).__name__}")
        return None
    return made if isinstance(made, UUID) else None
