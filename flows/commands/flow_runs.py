"""Prepare the output folder for commands, and execute flows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.services.flow_history import history_kept
from flows.services.prefect_server import named_server, require_named_server
from models.registry.tracking_server import check_tracking_server

if TYPE_CHECKING:
    from flows.services.steps import Step


def prepare_output(output: Path, config: str | None, overrides: list[str] | None) -> str:
    """Write the resolved config into the output folder; return its path."""
    from flows.services.workspace import prepare_workspace

    return str(prepare_workspace(output, config, tuple(overrides or ())).output)


def prepare_for_flow(
    output: Path, config: str | None, overrides: list[str] | None, *, registry: bool = True
) -> str:
    """As `prepare_output`, after checking named servers.

    The check comes before the config is replaced, so that a failure changes nothing.
    """
    if registry:
        check_tracking_server()
    require_named_server()
    return prepare_output(output, config, overrides)


def check_and_prepare(output: Path, config: str | None, overrides: list[str] | None) -> str:
    """As `prepare_for_flow`, after checking everything that the config names."""
    from flows.checks.check import prepare_checked

    return str(prepare_checked(output, config, tuple(overrides or ())).output)


def execute_flow(flow: Step[..., Any], *arguments: Any) -> Any:
    """Execute a flow on the named Prefect server, else noted in the history of its folder.

    Its error is raised unchanged.
    """
    from flows.services.console import grouped_warnings
    from flows.services.workspace import settle_config

    output, succeeded = Path(arguments[0]), False
    try:
        with grouped_warnings():
            if named_server() is not None:
                result = _execute_in_prefect(flow, *arguments)
            else:
                with history_kept(output):
                    result = flow(*arguments)
        succeeded = True
    finally:
        # After a failure, restore the config that belongs to the stored results.
        settle_config(output, keep=succeeded)
    return result


def _execute_in_prefect(flow: Step[..., Any], *arguments: Any) -> Any:
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    require_named_server()
    # The heartbeat thread costs every flow a second, and a command's end is noticed without it.
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        return flow.in_prefect(*arguments)


def deliver_next(result: Any, json_file: Path | None, following: str) -> None:
    """Print the command that follows; of a result without a table, the JSON if it is wanted."""
    from flows.services.console import deliver_result

    deliver_result(result, json_file, lambda: print_next(following))


def print_next(command: str) -> None:
    """Print the command that follows, as it is typed here."""
    from flows.services.console import bold, command_text, console

    console.print("next:", bold(command_text(command)), soft_wrap=True)
