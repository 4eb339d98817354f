"""What a plan would earn by the logged decisions of the own campaigns with several offers."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from campaigns.holdout import TREATMENT
from campaigns.measurement import CampaignEntries
from campaigns.planning import CampaignPlan
from campaigns.policy.own_decisions import own_decisions
from campaigns.policy.plan_value import PlanValue, plan_value
from features.storage import scores_store
from features.storage.runs import run_folder
from features.table.campaign_outcomes import data_through
from features.table.customer_partitions import too_large
from flows.services.measure import campaign_entries, with_outcomes
from flows.services.workspace import Workspace


def plan_values(space: Workspace, plan: CampaignPlan, run_id: str) -> list[PlanValue]:
    """Estimate each campaign with several offers; none without decisions that are measurable.

    Parameters
    ----------
    space
        The output folder.
    plan
        The proposed plan, made from the scores of the run.
    run_id
        That run.
    """
    books = [book for book in plan.playbooks if book.offers and book.control_share > 0]
    runs = [run for run in scores_store.published_runs(space.output) if run.status == "published"]
    config = space.config()
    # Like `stagecast measure` after a run: outcomes need data that fit into memory.
    if not books or not runs or config.engine == "spark" or too_large(space.output, config):
        return []
    through = pd.Timestamp(data_through(space.output, config))
    entries = campaign_entries(space.output, runs, books)
    entries = entries[entries["propensities"].notna()]
    entries = entries[pd.to_datetime(entries["matures_at"]) <= through].reset_index(drop=True)
    if entries.empty:
        return []
    measured = CampaignEntries(with_outcomes(space.output, config, entries, through), through)
    decisions = own_decisions(measured)
    members = _treated_members(space.output, plan, run_id)
    return [
        plan_value(
            str(campaign),
            rows,
            members[members["campaign_id"] == campaign],
            seed=config.seed,
        )
        for campaign, rows in decisions.groupby("campaign", sort=True)
    ]


def _treated_members(output: Path, plan: CampaignPlan, run_id: str) -> pd.DataFrame:
    """Planned members of the treatment arms, with their stage."""
    audience = plan.audience
    treated = audience[(audience["change"] != "removed") & (audience["arm"] == TREATMENT)]
    scores = pd.read_parquet(
        run_folder(output, run_id) / "scores", columns=["customer_id", "stage"]
    )
    return treated.merge(scores, on="customer_id", how="left")
