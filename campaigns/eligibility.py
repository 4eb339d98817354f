"""Eligibility: who may enter a campaign, and the first reason against each other customer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from campaigns.addresses import address_kinds
from campaigns.calendar_triggers import anniversary_is_near, schedule_is_due
from campaigns.customer_context import Counts, CustomerContext, event_trigger_rule
from campaigns.holdout import in_global_holdout
from campaigns.playbook import Playbook
from campaigns.playbook_parts import Trigger
from campaigns.rule_wording import describe_rule
from campaigns.rules import (
    AudienceRule,
    BoolArray,
    RuleContext,
    RuleGroup,
    TextArray,
    numeric_column,
    rule_holds,
)
from campaigns.stage_set import StageSet
from features.config.customers import PROFILING
from features.contracts import ROLE_WORDS, column_label
from features.sources.channels import consent_channel

# Causes of a stage change that may start a campaign.
_MOVING_CAUSES = ("behaviour", "clock")


@dataclass(frozen=True)
class EligibilityGate:
    """A test that every member must pass.

    Attributes
    ----------
    reason
        Exclusion reason of those who fail; one text for all, or one per customer.
    passes
        Shape (customers,).
    """

    reason: str | TextArray
    passes: BoolArray


def playbook_gates(
    playbook: Playbook, scores: pd.DataFrame, *, taxonomy: StageSet, rule_context: RuleContext
) -> list[EligibilityGate]:
    """Gates of the playbook: its stages, then each clause of its audience rule."""
    stages = playbook.addressed(taxonomy)
    stage_reason = f"not in stage {' or '.join(stages)}" if stages else "none of its stages exists"
    in_stage: BoolArray = scores["stage"].isin(stages).to_numpy(dtype=bool)
    return [
        EligibilityGate(stage_reason, in_stage),
        *_rule_gates(playbook.audience, scores, rule_context),
    ]


def _rule_gates(
    rule: AudienceRule, scores: pd.DataFrame, rule_context: RuleContext
) -> list[EligibilityGate]:
    """One gate per clause of an ``all`` rule, else one for the whole rule."""
    clauses = rule.parts if isinstance(rule, RuleGroup) and rule.word == "all" else (rule,)
    return [
        EligibilityGate(
            _rule_reason(clause, rule_context), rule_holds(clause, scores, rule_context)
        )
        for clause in clauses
    ]


def _rule_reason(clause: AudienceRule, rule_context: RuleContext) -> str:
    """Exclusion reason of customers who fail a clause; of a ``not``, what excludes them."""
    if isinstance(clause, RuleGroup) and clause.word == "not":
        return f"excluded: {describe_rule(clause.parts[0], rule_context.parameters)}"
    return f"rule not met: {describe_rule(clause, rule_context.parameters)}"


def first_failure(gates: Sequence[EligibilityGate], customer_count: int) -> TextArray:
    """Reason of the first gate that each customer fails.

    Returns
    -------
    ndarray of str, shape (n,)
        Empty for customers who pass all gates.
    """
    reason = np.full(customer_count, "", dtype=object)
    for gate in gates:
        newly_failed = (reason == "") & ~gate.passes
        texts = gate.reason
        reason[newly_failed] = texts if isinstance(texts, str) else texts[newly_failed]
    return reason


def contact_gates(
    playbook: Playbook,
    scores: pd.DataFrame,
    context: CustomerContext,
    *,
    rule_context: RuleContext,
    salt: str,
) -> list[EligibilityGate]:
    """Gates on consent and suppression, which members must pass at any time.

    A service message needs only the consent for its channel; a list needs the consent for ads.
    """
    customers = pd.Index(scores["customer_id"])
    policy = context.policy
    gates = [_reason_gate(context.suppression_reasons(customers, None))]
    if policy.needs_profiling and context.records_consent(PROFILING):
        profiling = context.consents(PROFILING, customers)
        gates.append(EligibilityGate("no consent to profiling", profiling))
        gates.append(_reason_gate(context.address_reasons(customers, PROFILING)))
    if playbook.kind == "promotional":
        key_kinds = address_kinds(playbook.channels)
        suppression_rules = dict.fromkeys(policy.suppress, "suppress")
        if playbook.discount > 0:
            suppression_rules |= dict.fromkeys(policy.no_discount, "no_discount")
        for reason, rule_type in suppression_rules.items():
            holds_back = context.rule_answers(f"{rule_type} {reason}", customers)
            gates.append(EligibilityGate(reason, ~holds_back))
            if rule_type == "suppress":
                same_address = context.addresses.is_shared_with(holds_back, customers, key_kinds)
                gates.append(
                    EligibilityGate(f"{reason} (customer with the same address)", ~same_address)
                )
        if context.sunset is not None:
            in_sunset = context.sunset.reindex(customers, fill_value=False).to_numpy(dtype=bool)
            gates.append(EligibilityGate("sunset: many messages, no response", ~in_sunset))
        holdout = policy.global_holdout
        if holdout is not None and rule_context.snapshot_at.date() < holdout.until:
            held_out = in_global_holdout(list(customers), holdout, salt=salt)
            gates.append(EligibilityGate(f"global hold-out until {holdout.until}", ~held_out))
            same_address = context.addresses.is_shared_with(held_out, customers, key_kinds)
            gates.append(
                EligibilityGate(
                    "same address as a customer in the global hold-out",
                    ~same_address,
                )
            )
    # One reason for all channels: a suppression or address reason if there is one, else the
    # missing consent.
    reachable = np.zeros(len(scores), dtype=bool)
    channel_reason = np.full(len(scores), "", dtype=object)
    for channel in playbook.channels:
        is_open, barrier = _reachable_by(channel, customers, context)
        own_reason = f"no consent for {channel}" if len(playbook.channels) > 1 else None
        is_other_reason = (channel_reason == "") & (barrier != own_reason)
        channel_reason[is_other_reason] = barrier[is_other_reason]
        reachable |= is_open
    no_consent = f"no consent for {' or '.join(playbook.channels)}"
    channel_reason[(channel_reason == "") & ~reachable] = no_consent
    return [*gates, EligibilityGate(channel_reason, reachable)]


def _reason_gate(reasons: TextArray) -> EligibilityGate:
    return EligibilityGate(reasons, reasons == "")


def _reachable_by(
    channel: str, customers: pd.Index[str], context: CustomerContext
) -> tuple[BoolArray, TextArray]:
    """Customers whom a channel may reach, and the reason against each other customer."""
    reason = np.full(len(customers), "", dtype=object)
    reason[~context.consents(channel, customers)] = f"no consent for {channel}"
    suppressions = context.suppression_reasons(customers, channel)
    for barriers in (suppressions, context.address_reasons(customers, channel)):
        newly_barred = (barriers != "") & (reason == "")
        reason[newly_barred] = barriers[newly_barred]
    return reason == "", reason


def may_be_sent(
    playbook: Playbook, customers: pd.Index[str], context: CustomerContext
) -> BoolArray:
    """Customers whom a channel of the playbook may reach, and who may get its discount."""
    allowed: BoolArray = np.zeros(len(customers), dtype=bool)
    for channel in playbook.channels:
        allowed |= _reachable_by(channel, customers, context)[0]
    if playbook.discount > 0:
        for reason in context.policy.no_discount:
            allowed &= ~context.rule_answers(f"no_discount {reason}", customers)
    return allowed


def contacts_left(
    customers: pd.Index[str], context: CustomerContext, channels: Sequence[str]
) -> tuple[Counts, Counts]:
    """Promotional contacts left per customer: in total, and by channel.

    Returns
    -------
    ndarray of int, shape (customers,)
    ndarray of int, shape (customers, channels)
    """
    unlimited = np.iinfo(np.int32).max
    total_left = np.full(len(customers), unlimited, dtype=np.int64)
    by_channel = np.full((len(customers), len(channels)), unlimited, dtype=np.int64)
    for number, cap in enumerate(context.policy.caps):
        cap_left = np.maximum(cap.contacts - context.contacts_made(number, customers), 0)
        if cap.channel is None:
            total_left = np.minimum(total_left, cap_left)
        elif consent_channel(cap.channel) in channels:
            column = list(channels).index(consent_channel(cap.channel))
            by_channel[:, column] = np.minimum(by_channel[:, column], cap_left)
    return total_left, by_channel


def first_open_channel(
    playbook: Playbook,
    customers: pd.Index[str],
    context: CustomerContext,
    by_channel: Counts,
    channels: Sequence[str],
) -> Counts:
    """Position of the first channel that consent, suppression and caps allow; 0 if none does."""
    first_open = np.full(len(customers), -1, dtype=np.int64)
    for number, channel in enumerate(playbook.channels):
        is_open, _ = _reachable_by(channel, customers, context)
        if playbook.kind == "promotional":
            is_open = is_open & (by_channel[:, list(channels).index(consent_channel(channel))] > 0)
        first_open[(first_open < 0) & is_open] = number
    return np.maximum(first_open, 0)


def trigger_gate(
    playbook: Playbook,
    scores: pd.DataFrame,
    context: CustomerContext,
    *,
    taxonomy: StageSet,
    rule_context: RuleContext,
) -> EligibilityGate:
    """Gate on the playbook's triggers: one of them must have fired for a newcomer."""
    customer_count = len(scores)
    if playbook.campaign in context.held:
        return EligibilityGate("", np.ones(customer_count, dtype=bool))
    has_fired, not_fired_reason = (
        np.zeros(customer_count, dtype=bool),
        np.full(customer_count, "", dtype=object),
    )
    for trigger in playbook.trigger:
        passes, reason = _trigger_fired(trigger, playbook, scores, context, taxonomy, rule_context)
        has_fired |= passes
        not_fired_reason[not_fired_reason == ""] = reason[not_fired_reason == ""]
    return EligibilityGate(not_fired_reason, has_fired)


def _trigger_fired(
    trigger: Trigger,
    playbook: Playbook,
    scores: pd.DataFrame,
    context: CustomerContext,
    taxonomy: StageSet,
    rule_context: RuleContext,
) -> tuple[BoolArray, TextArray]:
    customer_count = len(scores)
    if trigger.when == "stage_entered":
        return _stage_entered(trigger, playbook, scores, taxonomy, rule_context)
    if trigger.when == "event" and trigger.role is not None:
        answer_name, _ = event_trigger_rule(trigger.role, trigger.after_days, trigger.within_days)
        passes = context.rule_answers(answer_name, pd.Index(scores["customer_id"]))
        explanation = _event_explanation(trigger)
    elif trigger.when == "flag_raised":
        passes = _has_flag(scores, trigger.flag or "")
        explanation = f"flag {trigger.flag} is not set"
    elif trigger.when == "score_risen":
        passes = _score_risen(scores, context.previous_scores, trigger.column or "")
        explanation = f"{column_label(trigger.column or '')} has not risen"
    elif trigger.when == "date" and trigger.column in scores:
        days_passed = (rule_context.snapshot_at - pd.to_datetime(scores[trigger.column])).dt.days
        latest_day = np.inf if trigger.within_days is None else trigger.within_days - 1
        passed = (days_passed >= trigger.after_days) & (
            days_passed <= trigger.after_days + latest_day
        )
        passes = passed.to_numpy(dtype=bool)
        explanation = f"date in {trigger.column} is not reached"
    elif trigger.when == "anniversary":
        passes = anniversary_is_near(trigger, context.dates, scores, rule_context.snapshot_at)
        explanation = f"{str(trigger.date).replace('_', ' ')} is unknown or not near"
    elif trigger.when == "schedule":
        is_due = schedule_is_due(trigger, rule_context.snapshot_at, context.previous_snapshot_at)
        passes = np.full(customer_count, is_due)
        explanation = f"newcomers enter at the first planning of a {trigger.every}"
    else:
        passes, explanation = np.zeros(customer_count, dtype=bool), f"{trigger.column} is unknown"
    reason = np.full(customer_count, f"trigger has not fired: {explanation}", dtype=object)
    return passes, reason


def _event_explanation(trigger: Trigger) -> str:
    """Say which days the last event of the trigger's role has to lie in."""
    event = ROLE_WORDS[str(trigger.role)][1]
    first = max(trigger.after_days, 1)
    if trigger.within_days is None:
        return f"last {event} not at least {first} day{'s' * (first > 1)} ago"
    last = first + trigger.within_days - 1
    span = f"{first} to {last} days" if last > first else f"{first} day{'s' * (first > 1)}"
    return f"last {event} not {span} ago"


def _has_flag(scores: pd.DataFrame, flag: str) -> BoolArray:
    """True where the scored row has the flag."""
    if "flags" not in scores:
        return np.zeros(len(scores), dtype=bool)
    listed: BoolArray = (
        scores["flags"].astype(str).str.contains(f'"{flag}"', regex=False).to_numpy(dtype=bool)
    )
    return listed


def _stage_entered(
    trigger: Trigger,
    playbook: Playbook,
    scores: pd.DataFrame,
    taxonomy: StageSet,
    rule_context: RuleContext,
) -> tuple[BoolArray, TextArray]:
    """Entries into the stage that may start the campaign, and the reason where there is none.

    A step down by the clock (to a silent stage or a lower rank) counts from the second day in the
    stage; a move by the customer's behaviour counts at once.
    """
    stages = (trigger.stage,) if trigger.stage in taxonomy.stages else playbook.addressed(taxonomy)
    customer_count = len(scores)
    in_stage: BoolArray = scores["stage"].isin(stages).to_numpy(dtype=bool)
    explanation = f"stage {' or '.join(map(str, stages))} not entered"
    reason = np.full(customer_count, f"trigger has not fired: {explanation}", dtype=object)
    if "stage_change_cause" not in scores or "stage_since" not in scores:
        return in_stage, reason
    causes = scores["stage_change_cause"].astype(object).to_numpy()
    has_moved = np.isin(causes.astype(str), _MOVING_CAUSES)
    days_in_stage = (rule_context.snapshot_at - pd.to_datetime(scores["stage_since"])).dt.days
    days_since_entry = days_in_stage.to_numpy(dtype=float, na_value=np.nan)
    awaits_second_day = (
        (causes.astype(str) == "clock") & _stepped_down(scores, taxonomy) & ~(days_since_entry >= 1)
    )
    is_recent = (
        np.ones(customer_count, dtype=bool)
        if trigger.within_days is None
        else days_since_entry < trigger.within_days
    )
    reason[in_stage & ~has_moved] = "stage not entered by the customer: " + causes[
        in_stage & ~has_moved
    ].astype(str)
    reason[in_stage & awaits_second_day] = (
        "stage change without activity: counts from the second day"
    )
    return in_stage & has_moved & is_recent & ~awaits_second_day, reason


def _stepped_down(scores: pd.DataFrame, taxonomy: StageSet) -> BoolArray:
    """True where the last move led to a silent stage or to a lower rank."""
    current_stage = scores["stage"].astype(object)
    stepped_down = current_stage.isin([*taxonomy.silent, "lapsed", "dormant"]).to_numpy(dtype=bool)
    if "previous_stage" in scores and taxonomy.ranks:
        stage_ranks = pd.Series(dict(taxonomy.ranks), dtype=float)
        previous_rank = (
            scores["previous_stage"].astype(object).map(stage_ranks).to_numpy(dtype=float)
        )
        stepped_down = stepped_down | (
            current_stage.map(stage_ranks).to_numpy(dtype=float) < previous_rank
        )
    result: BoolArray = stepped_down
    return result


def _score_risen(
    scores: pd.DataFrame, previous_scores: pd.DataFrame | None, column: str
) -> BoolArray:
    """True where a score exceeds the one of the previous snapshot, or has none to exceed."""
    current = numeric_column(scores, column)
    if previous_scores is None or column not in previous_scores:
        return ~np.isnan(current)
    earlier_scores = previous_scores.set_index("customer_id")[column].reindex(scores["customer_id"])
    earlier = earlier_scores.to_numpy(dtype=float, na_value=np.nan)
    risen: BoolArray = ~np.isnan(current) & ~(current <= earlier)
    return risen
