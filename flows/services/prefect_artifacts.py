"""Show results of a flow in Prefect: tables, pages, progress, and links to MLflow.

Without a server they are noted in the history that Prefect takes over later. Outside a flow nothing
is shown, and an unreachable server never stops a run: the output folder holds the same content.
Only aggregates are sent, no rows of customers.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from flows.services.flow_history import artifacts_noted, note_artifact

if TYPE_CHECKING:
    from models.registry.tracking import Tracking

_PROGRESS_SECONDS = 2.0  # shortest time between two progress updates


def show_table(
    name: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *, about: str
) -> None:
    """Show a table of the run; a later run with the same `name` adds a version."""
    if not rows or not (artifacts_noted() or in_a_run()):
        return
    cells_by_column = [{c: _cell(v) for c, v in zip(columns, row, strict=True)} for row in rows]
    note_artifact("table", _key(name), json.dumps(cells_by_column), about)
    if in_a_run():
        from prefect.artifacts import create_table_artifact

        _shown(lambda: create_table_artifact(cells_by_column, key=_key(name), description=about))


def show_page(name: str, markdown: str, *, about: str) -> None:
    """Show a Markdown page."""
    note_artifact("markdown", _key(name), markdown, about)
    if in_a_run():
        from prefect.artifacts import create_markdown_artifact

        _shown(lambda: create_markdown_artifact(markdown, key=_key(name), description=about))


def link_to_mlflow(name: str, tracking: Tracking, run_id: str | None, *, about: str) -> None:
    """Link to an MLflow run on its server, or at the local address of `mlflow ui`."""
    if not run_id or not (artifacts_noted() or in_a_run()):
        return
    address, location = tracking.page(run_id)
    description = f"{about} {location}".strip()
    note_artifact("markdown", _key(name), f"[MLflow run {run_id}]({address})", description)
    if in_a_run():
        from prefect.artifacts import create_link_artifact

        _shown(
            lambda: create_link_artifact(
                address, link_text=f"MLflow run {run_id}", key=_key(name), description=description
            )
        )


class ProgressArtifacts:
    """Progress of a Prefect run, one artifact per activity; nothing outside a run."""

    def __init__(self) -> None:
        self._ids: dict[str, UUID | None] = {}
        self._last: dict[str, float] = {}

    def update(self, activity: str, completed: int, total: int) -> None:
        """Show how much of an activity is done; at most every two seconds, and the end always."""
        if total == 0 or not in_a_run():
            return
        from prefect.artifacts import create_progress_artifact, update_progress_artifact

        share, now = min(100.0 * completed / total, 100.0), time.monotonic()
        if activity not in self._ids:
            self._ids[activity] = _shown(
                lambda: create_progress_artifact(share, key=_key(activity), description=activity)
            )
            self._last[activity] = now
            return
        artifact_id = self._ids[activity]
        is_due = completed >= total or now - self._last[activity] >= _PROGRESS_SECONDS
        if artifact_id is not None and is_due:
            self._last[activity] = now
            _shown(lambda: update_progress_artifact(artifact_id, share))


def _key(name: str) -> str:
    """A key in Prefect's format: lower case letters and dashes; digits, which vary, are dropped."""
    return re.sub(r"[^a-z]+", "-", name.lower()).strip("-")


def _cell(value: object) -> object:
    if isinstance(value, float):
        return None if value != value else round(value, 4)
    return value if isinstance(value, int | str | None) else str(value)


def in_a_run() -> bool:
    """Whether a Prefect flow or task is running; False without importing Prefect if not loaded."""
    if "prefect" not in sys.modules:
        return False
    from prefect.context import FlowRunContext, TaskRunContext

    return FlowRunContext.get() is not None or TaskRunContext.get() is not None


def _shown(create: Callable[[], Any]) -> UUID | None:
    try:
        artifact_id = create()
    except Exception as error:  # any failure of the server or the network
        from flows.services.console import warn

        warn(f"not shown in Prefect: {type(error).__name__}")
        return None
    return artifact_id if isinstance(artifact_id, UUID) else None
