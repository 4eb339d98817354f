"""What commands that run a flow do before it begins, and how they run it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.registry.tracking_server import check_tracking_server


def prepare_output(output: Path, config: str | None, overrides: list[str] | None) -> str:
    """Path of the output folder, once the config is in it."""
    from flows.services.workspace import prepare_workspace

    return str(prepare_workspace(output, config, tuple(overrides or ())).output)


def prepare_for_flow(
    output: Path, config: str | None, overrides: list[str] | None, *, registry: bool = True
) -> str:
    """As `prepared`; servers that are named answer, and our own starts while the flow is imported.

    Asked before the config is replaced, as a refusal leaves everything as it was.
    """
    from flows.services import prefect_server

    if registry:
        check_tracking_server()
    prefect_server.require_named_server()
    folder = prepare_output(output, config, overrides)
    prefect_server.start_server()
    return folder


def check_and_prepare(output: Path, config: str | None, overrides: list[str] | None) -> str:
    """As `prepared_for_flow`, once everything is checked that the config names."""
    from flows.checks.check import prepare_checked
    from flows.services import prefect_server

    folder = str(prepare_checked(output, config, tuple(overrides or ())).output)
    prefect_server.start_server()
    return folder


def execute_flow(flow: Callable[..., Any], *arguments: Any) -> Any:
    """Run a flow in the local settings; the flow's own error is what the user sees."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    from flows.services import prefect_server
    from flows.services.workspace import settle_config

    succeeded = False
    try:
        # The heartbeat thread costs every flow a second, and tells a local user nothing.
        without_heartbeat = temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})
        with prefect_server.server_ready(Path(arguments[0])), without_heartbeat:
            result = flow(*arguments)
        succeeded = True
    finally:
        # A run that was refused must not leave its settings beside the result of the one before.
        settle_config(Path(arguments[0]), keep=succeeded)
    return result
