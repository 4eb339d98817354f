"""`stagecast schedule`: the deployments of prefect.yaml, served by one process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from features.config.yaml_loading import find
from features.errors import UserError
from flows import settings
from flows.commands.options import OUTPUTS, Output

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment

FILE = "prefect.yaml"
AT_ONCE = 4  # runs side by side; those that write to one folder wait for each other
START_SECONDS = 300
# After a restart of the server slots of concurrency limits are freed only where leases were kept.
LEASE_STORAGE = "prefect.server.concurrency.lease_storage.filesystem"
LEASES = {"PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": LEASE_STORAGE}


def schedule(
    output: Output = OUTPUTS,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="Deployments; default: prefect.yaml here, else ours."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Names of deployments; may be repeated.")
    ] = None,
) -> None:
    """Run everything when it is due: one process, which must stay up; Ctrl-C ends it.

    Where PREFECT_API_URL is not set, it starts a Prefect server of its own on this machine, with
    its database in the output folder.
    """
    os.environ.setdefault("PREFECT_LOGGING_TO_API_ENABLED", "true")
    settings.apply(output.absolute())
    if not (output / "config.yaml").is_file():
        raise UserError(
            str(output),
            found="a folder that nothing was run in",
            expected="the output folder of a run",
            mend=f"first: stagecast run --config FILE --output {output}",
        )
    declared = read_deployments(file or deployments_file(), only)
    with _server(output.absolute()):
        _serve(declared, output.absolute())


def deployments_file() -> Path:
    """``prefect.yaml`` of the working directory, else the one that is shipped."""
    here = Path(FILE)
    return here if here.is_file() else find(FILE)


def read_deployments(file: Path, only: list[str] | None = None) -> list[dict[str, Any]]:
    """What a file declares, one mapping a deployment, of all or those named.

    Raises
    ------
    UserError
        Where the file cannot be read, or declares no deployment of that name.
    """
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        declared: list[dict[str, Any]] = list(content["deployments"])
        names = [each["name"] for each in declared]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise UserError(
            str(file),
            found=f"no deployments: {type(error).__name__}",
            expected="a file like the prefect.yaml of this project",
        ) from error
    if unknown := sorted(set(only or ()) - set(names)):
        raise UserError("--only", found=unknown[0], expected=f"one of: {', '.join(names)}")
    return [each for each in declared if only is None or each["name"] in only]


def served(declared: dict[str, Any], folder: Path) -> RunnerDeployment:
    """A deployment as declared, for one output folder."""
    from prefect.client.schemas.objects import ConcurrencyLimitConfig
    from prefect.deployments.runner import RunnerDeployment
    from prefect.flows import Flow, load_flow_from_entrypoint
    from prefect.schedules import Cron
    from prefect.types.entrypoint import EntrypointType

    limit = declared.get("concurrency_limit")
    schedules = [
        Cron(each["cron"], timezone=each.get("timezone", "UTC"), slug=each.get("slug"))
        for each in declared.get("schedules") or ()
        if each.get("active", True)
    ]
    flow: Flow[..., Any] = load_flow_from_entrypoint(
        declared["entrypoint"], use_placeholder_flow=False
    )
    made = flow.to_deployment(
        declared["name"],
        schedules=schedules,
        parameters={**(declared.get("parameters") or {}), "folder": str(folder)},
        concurrency_limit=ConcurrencyLimitConfig.model_validate(limit) if limit else None,
        description=declared.get("description"),
        tags=declared.get("tags"),
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    assert isinstance(made, RunnerDeployment)  # a coroutine only where an event loop runs
    return made


def _serve(declared: list[dict[str, Any]], folder: Path) -> None:
    from prefect import serve

    from flows.console import step

    for each in declared:
        hours = ", ".join(
            f"{one['cron']} {one.get('timezone', 'UTC')}" for one in each.get("schedules") or ()
        )
        step(f"{each['name']}: {hours or 'on request only'}")
    step(f"waiting; runs and artifacts: {os.environ['PREFECT_API_URL'].removesuffix('/api')}")
    # Schedules stay on while nobody serves: a restart must not leave them paused for good.
    serve(
        *(served(each, folder) for each in declared),
        limit=AT_ONCE,
        pause_on_shutdown=False,
        print_starting_message=False,
    )


@contextmanager
def _server(output: Path) -> Iterator[None]:
    """A Prefect server on loopback while the block runs, unless one is named already."""
    if "PREFECT_API_URL" in os.environ:
        yield
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
    server = subprocess.Popen(
        [*command, "--port", str(port)],
        env={**LEASES, **os.environ},
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for us: runs end first, then the server
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}/api/health", server, output)
        os.environ["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
        yield
    finally:
        server.terminate()
        server.wait(timeout=30)


def _wait_for(address: str, server: subprocess.Popen[bytes], output: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < end:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise UserError(
        "Prefect server",
        found="no answer" if server.poll() is None else f"it ended with {server.returncode}",
        expected=f"a server that starts within {START_SECONDS} seconds",
        mend=f"is another one using {output / 'prefect.db'}? else set PREFECT_API_URL",
    )
