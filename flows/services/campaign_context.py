"""What campaigns need beside the scores, gathered from the sources and the stored tallies."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import pandas as pd

from campaigns.addresses import Addresses
from campaigns.customer_context import Circumstances, asked_of_the_past, policy_rules
from campaigns.playbook import Playbook
from features.calendar import day_date
from features.config.config import Config
from features.sources.customer_attributes import CustomerFacts, customer_facts
from features.sources.products import read_products
from features.storage import scores_store
from features.storage.runs import run_folder
from features.table.campaign_conditions import past
from features.table.product_margins import margin_shares
from flows.services.workspace import Workspace


def circumstances(
    space: Workspace, playbooks: Sequence[Playbook], at: int, *, people: CustomerFacts
) -> tuple[Circumstances, dict[str, float]]:
    """Consent, suppression, past and contacts at a date, and the parameters rules may name."""
    config = space.config()
    policy = config.contact_policy
    rules = {**asked_of_the_past(playbooks), **policy_rules(policy)}
    found = past(space.output, config, rules, at=at)
    around = Circumstances(
        policy=policy,
        consent=people.consent if config.consent == "recorded" else None,
        suppressed=people.suppressed,
        refused=people.refused,
        addresses=Addresses.of(people.contacts),
        past=found.rules,
        contacts=found.contacts,
        sunset=found.sunset,
        previous_scores=_previous_scores(space, playbooks, at),
        products=read_products(config, day_date(at)),
        margins=margin_shares(space.output, config, at=at, day=day_date(at)),
    )
    return around, dict(found.parameters)


def people(config: Config, at: int, *, written_at: dt.datetime) -> CustomerFacts:
    """Contact keys, consent and suppression for an export of the scores of a date."""
    return customer_facts(config, day_date(at), written_at=written_at)


def _previous_scores(
    space: Workspace, playbooks: Sequence[Playbook], at: int
) -> pd.DataFrame | None:
    """Columns that triggers on risen scores compare, from the latest snapshot before."""
    columns = {
        trigger.column
        for playbook in playbooks
        for trigger in playbook.trigger
        if trigger.when == "score_risen" and trigger.column is not None
    }
    earlier = [
        run
        for run in scores_store.published_runs(space.output)
        if run.status == "published" and run.snapshot_at < day_date(at)
    ]
    if not columns or not earlier:
        return None
    last = max(earlier, key=lambda run: run.snapshot_at)
    folder = run_folder(space.output, last.run_id) / "scores"
    if not folder.is_dir():
        return None
    scores = pd.read_parquet(folder)
    return scores[["customer_id", *(column for column in scores if column in columns)]]
