"""`stagecast mcp`: answers for assistants, over standard input and output or over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from features.errors import UserError
from flows.commands.flow_runs import prepare_output
from flows.commands.options import DEFAULT_OUTPUT, OutputFolder
from flows.services import settings

_LARGEST_REQUEST = 100_000  # bytes; a question is far shorter


def mcp(
    output: OutputFolder = DEFAULT_OUTPUT,
    http: Annotated[
        bool, typer.Option("--http", help="Answer over HTTP, at the path /mcp.")
    ] = False,
    host: Annotated[str, typer.Option(help="With --http: address to listen at.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="With --http: port to listen at.")
    ] = 8090,
    rate: Annotated[
        float, typer.Option(min=0.1, help="With --http: requests a second of one API key.")
    ] = 20.0,
) -> None:
    """Answer an assistant's questions about groups of customers, never about a person.

    By default it speaks over standard input and output with the program that started it. With
    --http STAGECAST_API_KEYS names the accepted keys; without keys only this machine can ask.
    """
    settings.apply_defaults()
    folder = Path(prepare_output(output, None, None))
    try:
        from flows.assistant.server import http_app, run_stdio
    except ModuleNotFoundError as error:
        raise UserError(
            "stagecast mcp",
            found=f"no package {error.name}",
            expected="the packages of the extra mcp",
            hint="pip install 'stagecast[mcp]'",
        ) from error
    from features.storage.row_reader import open_reader

    open_reader(folder).current_run_id()  # refused now, with a message, if there is none
    if not http:
        run_stdio(folder)
        return
    import uvicorn

    from flows.services.console import step
    from flows.serving.access import ApiKeys, refuse_open_address, refuse_taken_port
    from flows.serving.guard import Guard, Limits
    from flows.serving.measures import Measures

    keys = ApiKeys.from_environment()
    refuse_open_address(host, keys)
    refuse_taken_port(host, port)
    app = http_app(folder, local_only=not keys.digests)
    limits = Limits(body_bytes=_LARGEST_REQUEST, per_second=rate)
    step(f"answering assistants about {folder} at http://{host}:{port}/mcp; Ctrl-C ends it")
    uvicorn.run(
        Guard(app, keys, limits, Measures()),
        host=host,
        port=port,
        timeout_graceful_shutdown=10,
        access_log=False,
        server_header=False,
        log_level="warning",
    )
