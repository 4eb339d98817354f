"""The main job: features, train, promote, score, target, published as one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from features.storage.output_lock import exclusive
from features.storage.scores_store import check_dataset
from flows.features import features_flow
from flows.promote import promote_flow
from flows.score import score_flow
from flows.services.steps import flow
from flows.services.workspace import Workspace, new_run_id
from flows.target import target_flow
from flows.train import train_flow


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
    return {"features": counts, "training": training, "promotion": promotion, "scored": scored}
