"""`stagecast serve`: scores and audiences over HTTP, from one process or several."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.flow_runs import prepare_output
from flows.commands.options import DEFAULT_OUTPUT, OutputFolder
from flows.services import settings

if TYPE_CHECKING:
    from flows.serving.guard import Guard

_SETTINGS = "STAGECAST_SERVE_SETTINGS"  # what worker processes are started with
_AT_ONCE = 512  # open connections; more are refused


def serve(
    output: OutputFolder = DEFAULT_OUTPUT,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen at.")] = 8080,
    workers: Annotated[int, typer.Option(min=1, help="Processes that answer.")] = 1,
    rate: Annotated[
        float, typer.Option(min=0.1, help="Requests a second of one API key, in each process.")
    ] = 300.0,
    max_body: Annotated[
        int, typer.Option(min=1, help="Longest body of a request, kilobytes.")
    ] = 1000,
    reload_seconds: Annotated[
        float, typer.Option(min=0.1, help="Seconds between two looks for a newer run.")
    ] = 5.0,
    private_webhooks: Annotated[
        bool,
        typer.Option(
            "--private-webhooks",
            help="Registered webhooks may have inner addresses and plain http.",
        ),
    ] = False,
) -> None:
    """Serve stored scores, scores of raw events and audiences over HTTP; Ctrl-C ends it.

    STAGECAST_API_KEYS names the accepted keys, STAGECAST_WEBHOOK_KEYS those that may register
    webhooks, too; without keys only this machine can ask.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # one row at a time: threads only wait
    settings.apply_defaults()
    folder = prepare_output(output, None, None)
    import uvicorn

    from features.storage.row_reader import open_reader
    from flows.services.console import step
    from flows.serving.access import ApiKeys, refuse_open_address, refuse_taken_port
    from flows.serving.measures import FOLDER_VARIABLE

    refuse_open_address(host, ApiKeys.from_environment())
    refuse_taken_port(host, port)
    open_reader(Path(folder)).current_run_id()  # refused now, with a message, if there is none
    os.environ[_SETTINGS] = json.dumps(
        {
            "output": str(folder),
            "per_second": rate,
            "body_bytes": 1000 * max_body,
            "reload_seconds": reload_seconds,
            "private_webhooks": private_webhooks,
        }
    )
    with ExitStack() as stack:
        if workers > 1:
            os.environ[FOLDER_VARIABLE] = stack.enter_context(
                tempfile.TemporaryDirectory(prefix="stagecast-metrics-")
            )
        step(f"serving {folder} at http://{host}:{port}; Ctrl-C ends it")
        uvicorn.run(
            "flows.commands.serve_command:from_settings",
            factory=True,
            host=host,
            port=port,
            workers=workers,
            limit_concurrency=_AT_ONCE,
            timeout_graceful_shutdown=10,
            proxy_headers=False,  # the pages trust the address that the connection comes from
            access_log=False,  # paths hold ids of customers
            server_header=False,
            log_level="warning",
        )


def from_settings() -> Guard:
    """The application that `serve` was asked for; every worker process calls it once."""
    import logging

    from flows.pages.app import mount_pages
    from flows.serving.access import ApiKeys
    from flows.serving.app import create_app
    from flows.serving.guard import Limits

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("stagecast.serve").setLevel(logging.INFO)
    chosen = json.loads(os.environ[_SETTINGS])
    limits = Limits(body_bytes=chosen["body_bytes"], per_second=chosen["per_second"])
    return create_app(
        Path(chosen["output"]),
        keys=ApiKeys.from_environment(),
        limits=limits,
        reload_seconds=chosen["reload_seconds"],
        extensions=(mount_pages,),
        private_webhooks=chosen["private_webhooks"],
    )
