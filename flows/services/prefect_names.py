"""Names and tags of runs on Prefect's pages: data set and date, not random words."""

from __future__ import annotations

from pathlib import Path

from features.errors import UserError
from flows.services.workspace import Workspace


def run_name() -> str:
    """Name of a flow run by flow, data set and start: ``train my-shop 2026-11-30 03:30``.

    Prefect calls it when a run begins; the flow's first parameter is the output folder. Without a
    config that can be read the folder's own name takes the place of the data set's.
    """
    from prefect.runtime import flow_run

    parameters = flow_run.get_parameters()
    folder = Path(str(parameters.get("output") or parameters.get("folder") or "."))
    started = flow_run.get_scheduled_start_time()
    return f"{flow_run.get_flow_name()} {dataset_name(folder)} {started:%Y-%m-%d %H:%M}"


def dataset_name(folder: Path) -> str:
    """Name of the data set of an output folder, or of the folder without a readable config."""
    try:
        return Workspace(folder.absolute()).config().name
    except UserError:
        return folder.absolute().name
