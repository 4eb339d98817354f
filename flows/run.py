"""The main job: features, train, promote, score, target, published as one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from features.storage.output_lock import exclusive
from features.storage.scores_store import check_dataset
from flows.features import features_flow
from flows.promote import promote_flow
from flows.score import score_flow
from flows.services.console import warn
from flows.services.steps import flow, task
from flows.services.workspace import Workspace, new_run_id
from flows.target import target_flow
from flows.train import train_flow


@task(name="log the summary")
def record_run(output: str, run_id: str) -> None:
    """Log the aggregates of the published run beside its training in MLflow.

    The run is published already: a server that no longer answers costs this copy and nothing else.
    """
    from flows.report.summary import log_summary

    try:
        log_summary(Workspace(Path(output)), run_id)
    except Exception as error:  # any failure of the server, the network or the disk
        warn(f"the summary is not in MLflow: {type(error).__name__}")


@flow(name="run")
def run_flow(output: str) -> dict[str, Any]:
    """From sources to a published table of scores and audiences."""
    run_id = new_run_id("run")
    space = Workspace(Path(output))
    check_dataset(space.output, space.config().name)
    with exclusive(Path(output), run_id):
        counts = features_flow(output)
        training = train_flow(output)
        promotion = promote_flow(output)
        scored = score_flow(output, run_id) | target_flow(output, run_id)
        record_run(output, run_id)
    return {"features": counts, "training": training, "promotion": promotion, "scored": scored}
