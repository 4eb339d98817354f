"""Collect what campaign planning needs besides the scores, from sources and stored tallies."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from campaigns.addresses import Addresses
from campaigns.contact_price import NO_SENDS, contact_prices, learned_fatigue
from campaigns.customer_context import CustomerContext, policy_rules, rules_on_history
from campaigns.playbook import Playbook
from campaigns.send_time import SendTimes, send_times
from features.calendar import day_date
from features.config.config import Config
from features.sources.customer_attributes import CustomerFacts, customer_facts
from features.sources.near_twins import contacts_with_twins
from features.sources.opt_outs import opt_out_days
from features.sources.products import read_products
from features.storage import scores_store
from features.storage.runs import PublishedRun, run_folder
from features.table.activity_hours import activity_hours
from features.table.campaign_conditions import past
from features.table.message_days import message_days
from features.table.product_margins import margin_shares
from flows.services.workspace import Workspace


def campaign_context(
    space: Workspace,
    playbooks: Sequence[Playbook],
    at: int,
    *,
    facts: CustomerFacts,
    customers: pd.Index[str],
) -> tuple[CustomerContext, dict[str, float]]:
    """Consent, suppressions, past rules and contacts at a date, and the parameters of rules."""
    config = space.config()
    policy = config.contact_policy
    condition_rules = {**rules_on_history(playbooks), **policy_rules(policy)}
    conditions = past(space.output, config, condition_rules, at=at)
    earlier = _earlier_run(space, at)
    context = CustomerContext(
        policy=policy,
        consent=facts.consent if config.consent == "recorded" else None,
        suppressed=facts.suppressed,
        refused=facts.refused,
        addresses=Addresses.of(contacts_with_twins(facts.contacts, customers)),
        past=conditions.rules,
        contacts=conditions.contacts,
        sunset=conditions.sunset,
        previous_scores=None if earlier is None else _previous_scores(space, playbooks, earlier),
        previous_snapshot_at=None if earlier is None else earlier.snapshot_at,
        products=read_products(config, day_date(at)),
        dates=facts.dates,
        margins=margin_shares(space.output, config, at=at, day=day_date(at)),
        send_times=_send_times(space, playbooks, at),
    )
    return context, dict(conditions.parameters)


def _send_times(space: Workspace, playbooks: Sequence[Playbook], at: int) -> SendTimes | None:
    """Own send times of the customers; None if no playbook asks for them."""
    if not any(playbook.send_time == "customer" for playbook in playbooks):
        return None
    activity = activity_hours(space.output, space.config(), at=at)
    return send_times(
        activity.customers,
        (activity.hours, activity.later_hours),
        (activity.weekdays, activity.later_weekdays),
    )


def with_contact_prices(
    space: Workspace, context: CustomerContext, scores: pd.DataFrame, at: int
) -> CustomerContext:
    """Customer context with the price of one more contact, if the policy has one."""
    price = context.policy.contact_price
    if price is None:
        return context
    config = space.config()
    messages = message_days(space.output, config, at=at, days=price.days)
    fatigue = learned_fatigue(
        NO_SENDS if messages is None else messages.sends,
        opt_out_days(config, at=at),
        at=at,
        stated_risk=price.opt_out_risk,
        stated_drop=price.response_drop,
    )
    prices = contact_prices(
        fatigue,
        scores,
        None if messages is None else messages.contacts,
        margin=context.margin(pd.Index(scores["customer_id"])),
        lost_share=price.lost_share,
        days=price.days,
    )
    return replace(context, contact_prices=prices, fatigue=fatigue)


def load_customer_facts(config: Config, at: int, *, written_at: dt.datetime) -> CustomerFacts:
    """Contact keys, consent and suppressions of all customers on a day."""
    return customer_facts(config, day_date(at), written_at=written_at)


def _earlier_run(space: Workspace, at: int) -> PublishedRun | None:
    """Published run of the latest snapshot before a day; None if there is none."""
    earlier_runs = [
        run
        for run in scores_store.published_runs(space.output)
        if run.status == "published" and run.snapshot_at < day_date(at)
    ]
    return max(earlier_runs, key=lambda run: run.snapshot_at, default=None)


def _previous_scores(
    space: Workspace, playbooks: Sequence[Playbook], earlier: PublishedRun
) -> pd.DataFrame | None:
    """Previous scores that `score_risen` triggers compare with; None if none are needed."""
    columns = {
        trigger.column
        for playbook in playbooks
        for trigger in playbook.trigger
        if trigger.when == "score_risen" and trigger.column is not None
    }
    folder = run_folder(space.output, earlier.run_id) / "scores"
    if not columns or not folder.is_dir():
        return None
    scores = pd.read_parquet(folder)
    return scores[["customer_id", *(column for column in scores if column in columns)]]
