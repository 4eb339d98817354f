"""The command `stagecast monitor`: what it prints, and its exit code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer

from flows.commands.options import DEFAULT_OUTPUT, JsonFile, OutputFolder
from flows.services import prefect_server, settings

_ALARM_EXIT = 3


def register_monitor(app: typer.Typer, run: Callable[..., Any]) -> None:
    """Add the command; `run` starts a flow in the local settings."""

    @app.command()
    def monitor(output: OutputFolder = DEFAULT_OUTPUT, json_file: JsonFile = None) -> None:
        """Compare features, scores, events and matured predictions with the training.

        Exit code 3: something raises an alarm. A table and a page with plots lie under monitoring/.
        """
        settings.apply_settings(output.absolute())
        prefect_server.require_named_server()
        from flows.monitor import monitor_flow
        from flows.services.console import deliver_result
        from flows.services.workspace import prepare_workspace

        found = run(monitor_flow, str(prepare_workspace(output, None, ()).output))
        deliver_result(found, json_file, lambda: _print_findings(found))
        if found["alarms"]:
            raise typer.Exit(_ALARM_EXIT)


def _print_findings(found: dict[str, Any]) -> None:
    """Alarms, else what is closest to its limit, as a table."""
    from flows.services.console import bold, console, print_table

    rows = [row for row in found["findings"] if row["alarm"]]
    title = f"{len(rows)} alarm(s) at {found['snapshot_at']}"
    if not rows:
        rows = [row for row in found["findings"] if row["value"] is not None and row["limit"]]
        rows = sorted(rows, key=lambda row: -abs(row["value"] / row["limit"]))[:10]
        title = f"no alarm at {found['snapshot_at']}; closest to their limits"
    columns = ["check", "subject", "measure", "value", "expected", "limit", "p_value", "note"]
    print_table(title, columns, [[row[name] for name in columns] for row in rows])
    console.print("page:", bold(found["page"]), soft_wrap=True)
