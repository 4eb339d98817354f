"""A plan of all campaigns from a run's scores, with everything its files need."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from campaigns.addresses import KINDS
from campaigns.audience_files import MANIFEST_FILE, ExportRun
from campaigns.candidates import with_exclusions
from campaigns.customer_context import Circumstances
from campaigns.entrant_guard import GuardState, held_before_planning, held_for_entrants
from campaigns.export_schema import TargetMap, load_targets
from campaigns.planning import CampaignPlan, plan_campaigns
from campaigns.playbook import Playbook, StageSet, load_playbooks
from campaigns.target_exports import Delivery
from features.calendar import day_number
from features.config.config import Config
from features.config.customers import ADS
from features.lifecycle.definition_changes import rules_mark
from features.lifecycle.taxonomy_parser import load_taxonomy
from features.sources.customer_attributes import CustomerFacts
from features.sources.near_twins import with_refusals_of_twins
from features.storage import scores_store
from features.storage.runs import run_folder
from flows.services.campaign_context import circumstances, people
from flows.services.console import warn
from flows.services.workspace import Workspace

ALL = "*"


@dataclass(frozen=True)
class Planned:
    """A plan, and what its files say and need.

    Attributes
    ----------
    plan
        Who is in which campaign.
    run
        What the manifests say of the run.
    targets
        Column maps of the exports.
    delivery
        Contact keys and scores for them.
    """

    plan: CampaignPlan
    run: ExportRun
    targets: list[TargetMap]
    delivery: Delivery


def read_meta(folder: Path) -> dict[str, Any]:
    """What the scoring step said of a run."""
    content: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return content


def planned_from(
    space: Workspace, run_id: str, *, confirm: Collection[str] | None = None
) -> Planned:
    """Plan every campaign of the config from the scores of a run.

    Parameters
    ----------
    space
        The output folder.
    run_id
        Whose scores.
    confirm
        Campaigns whose entrants a person has confirmed (`ALL`: all); None: nobody did.
    """
    config, folder = space.config(), run_folder(space.output, run_id)
    meta = read_meta(folder)
    day = dt.date.fromisoformat(meta["snapshot_at"])
    playbooks = load_playbooks([Path(path) for path in config.campaigns])
    scores = pd.read_parquet(folder / "scores")
    moment = dt.datetime.now(dt.UTC)
    facts, twins = with_refusals_of_twins(
        people(config, day_number(day), written_at=moment), pd.Index(scores["customer_id"])
    )
    if twins:
        warn(
            f"{twins} refused ids are no customer's, but for capitals and small letters: they "
            "count for whom they resemble"
        )
    around, parameters = circumstances(space, playbooks, day_number(day), people=facts)
    rules = load_taxonomy(config)
    taxonomy = StageSet.of(rules)
    taxonomy = replace(taxonomy, parameters={**taxonomy.parameters, **parameters})
    names = [book.campaign for book in with_exclusions(playbooks, taxonomy)]
    confirmed = names if confirm is not None and ALL in confirm else confirm
    before = guard_before(space, run_id)
    held = held_before_planning(
        names,
        before,
        taxonomy=rules_mark(rules),
        scorer_version=str(meta["scorer_version"]),
        confirmed=confirmed,
    )
    plan = _guarded(
        scores, playbooks, config, replace(around, held=held), taxonomy, day, space, confirmed
    )
    state = GuardState(
        rules_mark(rules),
        str(meta["scorer_version"]),
        {row.campaign_id: row.held for row in plan.table.itertuples() if row.held},
        tuple(plan.table["campaign_id"]),
    )
    run = ExportRun(
        run_id=run_id,
        scorer_version=str(meta["scorer_version"]),
        model_versions=meta.get("part_versions", {}),
        written_at=moment,
        consent_as_of=moment,
        guard=state.told(),
    )
    return Planned(plan, run, _targets(config), _delivery(config, scores, facts, around, before))


def _guarded(
    scores: pd.DataFrame,
    playbooks: Sequence[Playbook],
    config: Config,
    around: Circumstances,
    taxonomy: StageSet,
    day: dt.date,
    space: Workspace,
    confirmed: Collection[str] | None,
) -> CampaignPlan:
    """The plan; made once more where some campaign has too many entrants to go out unseen."""
    previous = scores_store.previous_audience(space.output, before=day)

    def planned(now: Circumstances) -> CampaignPlan:
        return plan_campaigns(
            scores,
            playbooks,
            snapshot_at=day,
            taxonomy=taxonomy,
            previous=previous,
            consent=config.consent,
            salt=f"{config.name}:{config.seed}",
            around=now,
            seed=config.seed,
        )

    plan = planned(around)
    added = dict(zip(plan.table["campaign_id"], plan.table["added"], strict=True))
    many = held_for_entrants(
        {name: int(n) for name, n in added.items() if name not in around.held},
        scores_store.entrants_by_snapshot(space.output, before=day),
        confirmed=confirmed,
    )
    return planned(replace(around, held={**around.held, **many})) if many else plan


def guard_before(space: Workspace, run_id: str) -> GuardState | None:
    """What the guard of the last published run said; None where nothing was published."""
    runs = [run for run in scores_store.published_runs(space.output) if run.run_id != run_id]
    for run in sorted(runs, key=lambda run: run.sequence, reverse=True):
        manifest = run_folder(space.output, run.run_id) / "audiences" / MANIFEST_FILE
        if manifest.is_file():
            return GuardState.of(json.loads(manifest.read_text(encoding="utf-8")))
    return None


def _targets(config: Config) -> list[TargetMap]:
    return load_targets([Path(path) for path in config.exports])


def _delivery(
    config: Config,
    scores: pd.DataFrame,
    facts: CustomerFacts,
    around: Circumstances,
    before: GuardState | None,
) -> Delivery:
    ads = None
    if config.consent == "recorded" and facts.consent is not None:
        known = facts.consent.index
        ads = frozenset(known[around.consents(ADS, known)])
    refused = around.refusing(ADS)
    return Delivery(
        scores=scores.set_index("customer_id"),
        contacts=facts.contacts,
        ads=ads,
        mode=config.export_mode,
        anew=frozenset(before.held) if before is not None else frozenset(),
        addresses=around.addresses,
        no_ads=frozenset(refused.union(around.addresses.others(refused, KINDS))),
        kept_out={kind: frozenset(around.kept_out(kind)) for kind in KINDS},
    )
