"""`stagecast schedule`: the deployments of prefect.yaml, served by one process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from features.config.yaml_loading import find, parse_yaml
from features.errors import UserError
from flows.commands.options import DEFAULT_OUTPUT, OutputFolder
from flows.services import prefect_server, settings

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment

_DEPLOYMENTS_FILE = "prefect.yaml"
_AT_ONCE = 4  # parallel runs; runs that write to the same folder wait for each other


def schedule(
    output: OutputFolder = DEFAULT_OUTPUT,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            help="Deployments; default: prefect.yaml in this folder, else the shipped one.",
        ),
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
    settings.apply_settings(output.absolute())
    if not (output / "config.yaml").is_file():
        raise UserError(
            str(output),
            found="a folder that nothing was run in",
            expected="the output folder of a run",
            hint=f"first: stagecast run --config FILE --output {output}",
        )
    declared = read_deployments(file or deployments_file(), only)
    with prefect_server.server_with_page(output.absolute()) as page:
        _serve(declared, output.absolute(), page)


def deployments_file() -> Path:
    """``prefect.yaml`` of the working directory, else the shipped one."""
    here = Path(_DEPLOYMENTS_FILE)
    return here if here.is_file() else find(_DEPLOYMENTS_FILE)


def read_deployments(file: Path, only: list[str] | None = None) -> list[dict[str, Any]]:
    """What a file declares, one mapping a deployment, of all or those named.

    Raises
    ------
    UserError
        Where the file cannot be read, or declares no deployment of that name.
    """
    try:
        content = parse_yaml(file)
        declared: list[dict[str, Any]] = list(content["deployments"])
        names = [str(each["name"]) for each in declared]
    except (KeyError, TypeError) as error:
        raise UserError(
            str(file),
            found=f"no deployments: {type(error).__name__}",
            expected="a file like the prefect.yaml of this project",
        ) from error
    if unknown := sorted(set(only or ()) - set(names)):
        raise UserError("--only", found=unknown[0], expected=f"one of: {', '.join(names)}")
    return [each for each in declared if only is None or each["name"] in only]


def served(declared: dict[str, Any], folder: Path) -> RunnerDeployment:
    """Deployment of a declaration, for one output folder."""
    from prefect.client.schemas.objects import ConcurrencyLimitConfig
    from prefect.deployments.runner import RunnerDeployment
    from prefect.flows import Flow, load_flow_from_entrypoint
    from prefect.schedules import Cron
    from prefect.types.entrypoint import EntrypointType

    from flows.services.prefect_names import dataset_name

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
        tags=[*(declared.get("tags") or ()), dataset_name(folder)],
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    assert isinstance(made, RunnerDeployment)  # a coroutine only where an event loop runs
    return made


def _serve(declared: list[dict[str, Any]], folder: Path, page: str) -> None:
    from prefect import serve

    from flows.services.console import step

    for each in declared:
        hours = ", ".join(
            f"{one['cron']} {one.get('timezone', 'UTC')}" for one in each.get("schedules") or ()
        )
        step(f"{each['name']}: {hours or 'on request only'}")
    step(f"waiting; runs and artifacts: {page}")
    # Schedules stay on while nobody serves: a restart must not leave them paused for good.
    serve(
        *(served(each, folder) for each in declared),
        limit=_AT_ONCE,
        pause_on_shutdown=False,
        print_starting_message=False,
    )
