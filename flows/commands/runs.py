"""The command `stagecast runs`: what earlier commands ran, as a table or on Prefect's page."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.commands.options import DEFAULT_OUTPUT, JsonFile, OutputFolder

if TYPE_CHECKING:
    from flows.services.flow_history import NotedRun


def runs(
    output: OutputFolder = DEFAULT_OUTPUT,
    top: Annotated[int, typer.Option(min=1, help="Maximum number of runs, the newest.")] = 20,
    serve: Annotated[
        bool, typer.Option("--serve", help="Show them on Prefect's page instead, until Ctrl-C.")
    ] = False,
    json_file: JsonFile = None,
) -> None:
    """List the flows that commands ran in this folder: state, start, seconds, error.

    Commands with PREFECT_API_URL run on that server, which shows them itself.
    """
    if serve:
        _serve(output.absolute())
        return
    from flows.services.console import deliver_result, print_table
    from flows.services.flow_history import noted_runs

    flows = [run for run in noted_runs(output.absolute()) if run.kind == "flow"]
    rows = [_row(run) for run in flows[-top:][::-1]]
    columns = ["flow", "state", "started (UTC)", "seconds", "error"]
    deliver_result(
        [dict(zip(columns, row, strict=True)) for row in rows],
        json_file,
        lambda: print_table(f"runs in {output}", columns, rows),
    )


def _row(run: NotedRun) -> list[Any]:
    seconds = None if run.ended is None else round((run.ended - run.started).total_seconds(), 1)
    started = f"{run.started:%Y-%m-%d %H:%M:%S}"
    return [run.name, run.state.lower(), started, seconds, run.message]


def _serve(output: Path) -> None:
    from flows.services import prefect_server, settings
    from flows.services.console import step

    settings.apply_settings(output)
    with prefect_server.server_with_page(output) as page:
        step(f"runs and artifacts: {page}; Ctrl-C ends it")
        threading.Event().wait()
