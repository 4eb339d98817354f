"""`stagecast webhooks`: send what waits in the outbox, and show it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.flow_runs import prepare_output
from flows.commands.options import DEFAULT_OUTPUT, JsonFile, OutputFolder


def webhooks(
    output: OutputFolder = DEFAULT_OUTPUT,
    json_file: JsonFile = None,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Print a new key for signatures, and do nothing else.")
    ] = False,
) -> None:
    """Tell the programs under `webhooks` of the config, and those registered, of new audiences.

    Every run does so once; this command sends again what was not accepted, when it is due. Run it
    every few minutes.
    """
    import datetime as dt

    from flows.services.signed_request import new_secret

    if new_key:
        typer.echo(new_secret())
        return
    folder = Path(prepare_output(output, None, None))
    from flows.services.console import deliver_result, print_table
    from flows.services.webhooks import notify
    from flows.services.workspace import Workspace

    messages = notify(folder, Workspace(folder).config().webhooks, dt.datetime.now(dt.UTC))
    columns = ["target", "run_id", "state", "attempts", "problem", "next_at"]
    rows = [[message[name] for name in columns] for message in messages]
    deliver_result(messages, json_file, lambda: print_table("Messages", columns, rows))
