"""The command `stagecast backfill`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Annotated, Any

import typer

from flows.commands.options import DEFAULT_OUTPUT, JsonFile, OutputFolder
from flows.services import prefect_server, settings


def register_backfill(app: typer.Typer, run: Callable[..., Any]) -> None:
    """Add the command; `run` starts a flow in the local settings."""

    @app.command()
    def backfill(
        first: Annotated[
            dt.datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First date.")
        ],
        last: Annotated[
            dt.datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last date at most.")
        ],
        every: Annotated[int, typer.Option(min=1, metavar="DAYS", help="Days between.")] = 30,
        version: Annotated[
            int | None,
            typer.Option(help="Scorer version for all dates; default: who was champion then."),
        ] = None,
        workers: Annotated[int, typer.Option(min=1, help="Dates side by side.")] = 2,
        output: OutputFolder = DEFAULT_OUTPUT,
        json_file: JsonFile = None,
    ) -> None:
        """Score past dates into the history, each from what was known before it.

        Dates that have scores already are left alone: started again, it goes on where it was. The
        current scores and audiences stay as they are.
        """
        settings.apply_settings(output.absolute())
        from flows.services.workspace import prepare_workspace

        folder = str(prepare_workspace(output, None, ()).output)
        prefect_server.require_named_server()
        from flows.backfill import backfill_flow, date_grid
        from flows.services.console import console, deliver_result

        snapshot_dates = [str(day) for day in date_grid(first.date(), last.date(), every)]
        backfill_counts = run(backfill_flow, folder, snapshot_dates, version, workers)
        summary_line = (
            f"{backfill_counts['scored']:,} dates scored, "
            f"{backfill_counts['rows']:,} rows of history"
        )
        deliver_result(backfill_counts, json_file, lambda: console.print(summary_line))
