"""Plan all campaigns from the scores of a run, with everything that the export files need."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from campaigns.addresses import ADDRESS_KINDS
from campaigns.audience_files import MANIFEST_FILE, ExportRun
from campaigns.candidates import with_exclusion_lists
from campaigns.customer_context import CustomerContext
from campaigns.entrant_guard import EntrantGuard, held_before_planning, held_for_many_entrants
from campaigns.expected_value import MIXED_LABEL, RESPONSE_LABEL
from campaigns.export_schema import TargetMap, load_targets
from campaigns.planning import CampaignPlan, plan_campaigns
from campaigns.playbook import Playbook
from campaigns.playbook_loading import load_playbooks, refuse_unknown_names
from campaigns.stage_set import StageSet
from campaigns.target_exports import Delivery
from features.calendar import day_number
from features.config.config import Config
from features.config.customers import ADS
from features.errors import UserError
from features.lifecycle.definition_changes import rules_mark
from features.lifecycle.taxonomy_parser import load_taxonomy
from features.sources.customer_attributes import CustomerFacts
from features.sources.near_twins import with_refusals_of_twins
from features.storage import scores_store
from features.storage.runs import run_folder
from flows.services.campaign_context import (
    campaign_context,
    load_customer_facts,
    with_contact_prices,
)
from flows.services.console import warn
from flows.services.workspace import Workspace

ALL_CAMPAIGNS = "*"


@dataclass(frozen=True)
class PlannedRun:
    """A campaign plan, and what its export files contain.

    Attributes
    ----------
    plan
        Members of every campaign.
    run
        Run metadata for the manifests.
    targets
        Column maps of the exports.
    delivery
        Contact keys and scores for the exports.
    """

    plan: CampaignPlan
    run: ExportRun
    targets: list[TargetMap]
    delivery: Delivery


def read_run_meta(folder: Path) -> dict[str, Any]:
    """Metadata that the scoring step wrote for a run."""
    content: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return content


def plan_run(
    space: Workspace, run_id: str, *, confirm: Collection[str] | None = None
) -> PlannedRun:
    """Plan every campaign of the config from the scores of a run.

    Parameters
    ----------
    space
        The output folder.
    run_id
        Run that holds the scores.
    confirm
        Campaigns whose entrants a person has confirmed (`ALL_CAMPAIGNS`: all); None: none.
    """
    config, folder = space.config(), run_folder(space.output, run_id)
    run_meta = read_run_meta(folder)
    snapshot_day = dt.date.fromisoformat(run_meta["snapshot_at"])
    playbooks = load_playbooks([Path(path) for path in config.campaigns])
    lifecycle_taxonomy = load_taxonomy(config)
    stage_set = StageSet.of(lifecycle_taxonomy)
    refuse_unknown_names(playbooks, config.channels, stage_set, config.customer_dates())
    scores = pd.read_parquet(folder / "scores")
    customers = pd.Index(scores["customer_id"])
    planned_at = dt.datetime.now(dt.UTC)
    facts, twin_count = with_refusals_of_twins(
        load_customer_facts(config, day_number(snapshot_day), written_at=planned_at), customers
    )
    if twin_count:
        warn(
            f"{twin_count} refused ids match a customer only if case and the dashes of a UUID are "
            "ignored: they count for that customer"
        )
    context, parameters = campaign_context(
        space, playbooks, day_number(snapshot_day), facts=facts, customers=customers
    )
    context = with_contact_prices(space, context, scores, day_number(snapshot_day))
    stage_set = replace(stage_set, parameters={**stage_set.parameters, **parameters})
    campaign_names = [book.campaign for book in with_exclusion_lists(playbooks, stage_set)]
    confirmed = campaign_names if confirm is not None and ALL_CAMPAIGNS in confirm else confirm
    previous_guard = _previous_guard(space, run_id)
    held_campaigns = held_before_planning(
        campaign_names,
        previous_guard,
        taxonomy=rules_mark(lifecycle_taxonomy),
        scorer_version=str(run_meta["scorer_version"]),
        confirmed=confirmed,
    )
    plan = _guarded(
        scores,
        playbooks,
        config,
        replace(context, held=held_campaigns),
        stage_set,
        snapshot_day,
        space,
        confirmed,
    )
    _refuse_response_as_objective(plan, config)
    guard_state = EntrantGuard(
        rules_mark(lifecycle_taxonomy),
        str(run_meta["scorer_version"]),
        {row.campaign_id: row.held for row in plan.table.itertuples() if row.held},
        tuple(plan.table["campaign_id"]),
    )
    export_run = ExportRun(
        run_id=run_id,
        scorer_version=str(run_meta["scorer_version"]),
        model_versions=run_meta.get("part_versions", {}),
        written_at=planned_at,
        consent_as_of=planned_at,
        guard=guard_state.to_manifest(),
    )
    return PlannedRun(
        plan,
        export_run,
        _targets(config),
        _delivery(config, scores, facts, context, previous_guard),
    )


def _refuse_response_as_objective(plan: CampaignPlan, config: Config) -> None:
    """Refuse the objective ``value`` for campaigns with a value that is response, not an effect.

    It would spend the money on customers who buy anyway.
    """
    if config.contact_policy.objective != "value":
        return
    is_response = (plan.table["kind"] == "promotional") & plan.table["value_label"].isin(
        [RESPONSE_LABEL, MIXED_LABEL]
    )
    campaigns = list(plan.table.loc[is_response, "campaign_id"])
    if campaigns:
        raise UserError(
            "contact_policy: objective",
            found=f"value, but only the response is known for {', '.join(campaigns)}",
            expected="a known uplift, or an assumed share of the spend that the message causes",
            hint="write `incremental_share` under `value` of these playbooks (0.1: a tenth of the "
            "expected spend), or use `objective: priority` until control groups have taught it",
        )


def _guarded(
    scores: pd.DataFrame,
    playbooks: Sequence[Playbook],
    config: Config,
    context: CustomerContext,
    stage_set: StageSet,
    snapshot_day: dt.date,
    space: Workspace,
    confirmed: Collection[str] | None,
) -> CampaignPlan:
    """Plan the campaigns; plan again if a campaign has too many entrants to go unconfirmed."""
    previous_audience = scores_store.previous_audience(space.output, before=snapshot_day)

    def planned(current_context: CustomerContext) -> CampaignPlan:
        return plan_campaigns(
            scores,
            playbooks,
            snapshot_at=snapshot_day,
            taxonomy=stage_set,
            previous=previous_audience,
            consent=config.consent,
            salt=f"{config.name}:{config.seed}",
            context=current_context,
            seed=config.seed,
        )

    plan = planned(context)
    entrant_counts = dict(zip(plan.table["campaign_id"], plan.table["added"], strict=True))
    newly_held = held_for_many_entrants(
        {name: int(n) for name, n in entrant_counts.items() if name not in context.held},
        scores_store.entrants_by_snapshot(space.output, before=snapshot_day),
        confirmed=confirmed,
    )
    return planned(replace(context, held={**context.held, **newly_held})) if newly_held else plan


def _previous_guard(space: Workspace, run_id: str) -> EntrantGuard | None:
    """Guard state of the last published run; None if nothing was published."""
    earlier_runs = [
        run for run in scores_store.published_runs(space.output) if run.run_id != run_id
    ]
    for run in sorted(earlier_runs, key=lambda run: run.sequence, reverse=True):
        manifest = run_folder(space.output, run.run_id) / "audiences" / MANIFEST_FILE
        if manifest.is_file():
            return _guard_in(manifest)
    return None


def _guard_in(manifest: Path) -> EntrantGuard | None:
    return EntrantGuard.from_manifest(json.loads(manifest.read_text(encoding="utf-8")))


def exported_campaigns(space: Workspace, run_id: str) -> tuple[str, ...]:
    """Campaigns with an export that the run has written and not held; none without audiences."""
    manifest = run_folder(space.output, run_id) / "audiences" / MANIFEST_FILE
    guard = _guard_in(manifest) if manifest.is_file() else None
    return () if guard is None else tuple(n for n in guard.campaigns if n not in guard.held)


def _targets(config: Config) -> list[TargetMap]:
    return load_targets([Path(path) for path in config.exports])


def _delivery(
    config: Config,
    scores: pd.DataFrame,
    facts: CustomerFacts,
    context: CustomerContext,
    previous_guard: EntrantGuard | None,
) -> Delivery:
    consenting = None
    if config.consent == "recorded" and facts.consent is not None:
        customer_ids = facts.consent.index
        consenting = frozenset(customer_ids[context.consents(ADS, customer_ids)])
    refusing_ads = context.refusers(ADS)
    return Delivery(
        scores=scores.set_index("customer_id"),
        contacts=facts.contacts,
        ads=consenting,
        mode=config.export_mode,
        relisted=frozenset(previous_guard.held) if previous_guard is not None else frozenset(),
        addresses=context.addresses,
        no_ads=frozenset(
            refusing_ads.union(context.addresses.shared_with(refusing_ads, ADDRESS_KINDS))
        ),
        withheld={kind: frozenset(context.withheld_from_exports(kind)) for kind in ADDRESS_KINDS},
    )
