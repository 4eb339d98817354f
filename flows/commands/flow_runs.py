"""Prepare the output folder for commands, and execute flows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.registry.tracking_server import check_tracking_server


def prepare_output(output: Path, config: str | None, overrides: list[str] | None) -> str:
    """Write the resolved config into the output folder; return its path."""
    from flows.services.workspace import prepare_workspace

    return str(prepare_workspace(output, config, tuple(overrides or ())).output)


def prepare_for_flow(
    output: Path, config: str | None, overrides: list[str] | None, *, registry: bool = True
) -> str:
    """As `prepare_output`, after checking named servers; then start our own Prefect server.

    The check comes before the config is replaced, so that a failure changes nothing.
    """
    from flows.services import prefect_server

    if registry:
        check_tracking_server()
    prefect_server.require_named_server()
    folder = prepare_output(output, config, overrides)
    prefect_server.start_server()
    return folder


def check_and_prepare(output: Path, config: str | None, overrides: list[str] | None) -> str:
    """As `prepare_for_flow`, after checking everything that the config names."""
    from flows.checks.check import prepare_checked
    from flows.services import prefect_server

    folder = str(prepare_checked(output, config, tuple(overrides or ())).output)
    prefect_server.start_server()
    return folder


def execute_flow(flow: Callable[..., Any], *arguments: Any) -> Any:
    """Execute a flow with local settings; its error is raised unchanged."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    from flows.services import prefect_server
    from flows.services.workspace import settle_config

    succeeded = False
    try:
        # The heartbeat thread costs every flow a second and is useless locally.
        without_heartbeat = temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})
        with prefect_server.server_ready(Path(arguments[0])), without_heartbeat:
            result = flow(*arguments)
        succeeded = True
    finally:
        # After a failure, restore the config that belongs to the stored results.
        settle_config(Path(arguments[0]), keep=succeeded)
    return result
