"""Names and tags of runs on Prefect's pages: data set and date, not random words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def run_tags(folder: Path) -> Iterator[None]:
    """Tag the flow that begins in the block with its data set; a command's own with the product.

    An automation on the tag ``stagecast`` then reports a failure once: not for the flows within a
    scheduled run, too, which fail with it.
    """
    from prefect.context import FlowRunContext, TagsContext

    is_within = FlowRunContext.get() is not None
    tags = {dataset_name(folder)} if is_within else {dataset_name(folder), "stagecast"}
    with TagsContext(current_tags=tags):
        yield


def dataset_name(folder: Path) -> str:
    """Name of the data set of an output folder, or of the folder without a readable config."""
    try:
        return Workspace(folder.absolute()).config().name
    except UserError:
        return folder.absolute().name
