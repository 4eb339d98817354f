"""Eligibility: who may enter a campaign, and the first reason why anybody may not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from campaigns.addresses import kinds_of
from campaigns.customer_context import Circumstances, Counts, cap_channel, event_trigger
from campaigns.holdout import in_global_holdout
from campaigns.playbook import Playbook, StageSet, Trigger
from campaigns.rules import BoolArray, Group, Moment, Rule, Text, describe, holds, numbers
from features.config.customers import PROFILING

# What moved a customer, where the move may start a campaign.
MOVING_CAUSES = ("behaviour", "clock")


@dataclass(frozen=True)
class Gate:
    """One test that every member must pass.

    Attributes
    ----------
    reason
        What is said of those who fail it; one text for all, or one a customer.
    passes
        Shape (customers,).
    """

    reason: str | Text
    passes: BoolArray


def playbook_gates(
    playbook: Playbook, scores: pd.DataFrame, *, taxonomy: StageSet, moment: Moment
) -> list[Gate]:
    """The playbook's own tests: its stages, then each clause of its audience rule."""
    stages = playbook.addressed(taxonomy)
    named = f"not in stage {' or '.join(stages)}" if stages else "no such stage in the taxonomy"
    in_stage: BoolArray = scores["stage"].isin(stages).to_numpy(dtype=bool)
    return [Gate(named, in_stage), *rule_gates(playbook.audience, scores, moment)]


def rule_gates(rule: Rule, scores: pd.DataFrame, moment: Moment) -> list[Gate]:
    """A gate for each clause of an ``all``, else one for the whole rule."""
    clauses = rule.parts if isinstance(rule, Group) and rule.word == "all" else (rule,)
    return [
        Gate(f"rule not met: {describe(clause)}", holds(clause, scores, moment))
        for clause in clauses
    ]


def first_failure(gates: Sequence[Gate], n: int) -> Text:
    """Reason of the first gate that each customer fails.

    Returns
    -------
    ndarray of str, shape (n,)
        Empty text for those who pass all gates.
    """
    reason = np.full(n, "", dtype=object)
    for gate in gates:
        fails = (reason == "") & ~gate.passes
        reason[fails] = gate.reason if isinstance(gate.reason, str) else gate.reason[fails]
    return reason


def contact_gates(
    playbook: Playbook, scores: pd.DataFrame, around: Circumstances, *, moment: Moment, salt: str
) -> list[Gate]:
    """What must be true of everyone in a campaign at any time: consent and no suppression.

    A service message needs consent for its channel and nothing else; a list needs that for ads.
    """
    customers = pd.Index(scores["customer_id"])
    policy, n = around.policy, len(scores)
    gates = [_unmarked(around.marks(customers, None))]
    if policy.needs_profiling and around.records(PROFILING):
        gates.append(Gate("no consent to profiling", around.consents(PROFILING, customers)))
        gates.append(_unmarked(around.address_marks(customers, PROFILING)))
    if playbook.kind == "promotional":
        kinds = kinds_of(playbook.channels)
        rules = dict.fromkeys(policy.suppress, "suppress")
        if playbook.offer.discount > 0:
            rules |= dict.fromkeys(policy.no_discount, "no_discount")
        for reason, word in rules.items():
            holds_back = around.answers(f"{word} {reason}", customers)
            gates.append(Gate(reason, ~holds_back))
            if word == "suppress":
                alike = around.addresses.sharing(holds_back, customers, kinds)
                gates.append(Gate(f"{reason}, under another id of the address", ~alike))
        if around.sunset is not None:
            over = around.sunset.reindex(customers, fill_value=False).to_numpy(dtype=bool)
            gates.append(Gate("sunset: many messages, no sign of life", ~over))
        held = policy.global_holdout
        if held is not None and moment.snapshot_at.date() < held.until:
            drawn = in_global_holdout(list(customers), held, salt=salt)
            gates.append(Gate(f"global hold-out until {held.until}", ~drawn))
            alike = around.addresses.sharing(drawn, customers, kinds)
            gates.append(Gate("address in the global hold-out under another id", ~alike))
    # One reason for all channels: what is known of the customer or the address, else that no
    # channel is allowed; the channel's own where there is only one.
    reachable, why = np.zeros(n, dtype=bool), np.full(n, "", dtype=object)
    for channel in playbook.channels:
        open_, barrier = _reach(channel, customers, around)
        several = len(playbook.channels) > 1
        own = f"no consent for {channel}" if several else None
        named = (why == "") & (barrier != own)
        why[named] = barrier[named]
        reachable |= open_
    why[(why == "") & ~reachable] = f"no consent for {' or '.join(playbook.channels)}"
    return [*gates, Gate(why, reachable)]


def _unmarked(marks: Text) -> Gate:
    return Gate(marks, marks == "")


def _reach(channel: str, customers: pd.Index[str], around: Circumstances) -> tuple[BoolArray, Text]:
    """Who may be reached through a channel, and why the others may not."""
    reason = np.full(len(customers), "", dtype=object)
    reason[~around.consents(channel, customers)] = f"no consent for {channel}"
    marks = around.marks(customers, channel)
    for texts in (marks, around.address_marks(customers, channel)):
        marked = (texts != "") & (reason == "")
        reason[marked] = texts[marked]
    return reason == "", reason


def cap_room(
    customers: pd.Index[str], around: Circumstances, channels: Sequence[str]
) -> tuple[Counts, Counts]:
    """Promotional contacts that each customer may still get: in all, and by channel.

    Returns
    -------
    ndarray of int, shape (customers,)
    ndarray of int, shape (customers, channels)
    """
    many = np.iinfo(np.int32).max
    total = np.full(len(customers), many, dtype=np.int64)
    by_channel = np.full((len(customers), len(channels)), many, dtype=np.int64)
    for number, cap in enumerate(around.policy.caps):
        left = np.maximum(cap.contacts - around.made(number, customers), 0)
        if cap.channel is None:
            total = np.minimum(total, left)
        elif cap_channel(cap.channel) in channels:
            column = list(channels).index(cap_channel(cap.channel))
            by_channel[:, column] = np.minimum(by_channel[:, column], left)
    return total, by_channel


def chosen_channel(
    playbook: Playbook,
    customers: pd.Index[str],
    around: Circumstances,
    room: Counts,
    channels: Sequence[str],
) -> Counts:
    """Position in the playbook's channels through which each customer would be reached.

    The first that consent, suppression and caps allow; the first of all where none does.
    """  # fmt: skip
    found = np.full(len(customers), -1, dtype=np.int64)
    for number, channel in enumerate(playbook.channels):
        open_, _ = _reach(channel, customers, around)
        if playbook.kind == "promotional":
            open_ = open_ & (room[:, list(channels).index(cap_channel(channel))] > 0)
        found[(found < 0) & open_] = number
    return np.maximum(found, 0)


def trigger_gate(
    playbook: Playbook,
    scores: pd.DataFrame,
    around: Circumstances,
    *,
    taxonomy: StageSet,
    moment: Moment,
) -> Gate:
    """Whether one of the playbook's triggers has fired for a newcomer."""
    n = len(scores)
    if playbook.campaign in around.held:
        return Gate("", np.ones(n, dtype=bool))
    fired, why = np.zeros(n, dtype=bool), np.full(n, "", dtype=object)
    for trigger in playbook.trigger:
        passes, reason = _fired(trigger, playbook, scores, around, taxonomy, moment)
        fired |= passes
        why[why == ""] = reason[why == ""]
    return Gate(why, fired)


def _fired(
    trigger: Trigger,
    playbook: Playbook,
    scores: pd.DataFrame,
    around: Circumstances,
    taxonomy: StageSet,
    moment: Moment,
) -> tuple[BoolArray, Text]:
    n = len(scores)
    if trigger.when == "stage_entered":
        return _entered(trigger, playbook, scores, taxonomy, moment)
    if trigger.when == "event" and trigger.role is not None:
        name, _ = event_trigger(trigger.role, trigger.after_days, trigger.within_days)
        passes = around.answers(name, pd.Index(scores["customer_id"]))
        told = f"no {trigger.role} {trigger.after_days} days ago"
    elif trigger.when == "flag_raised":
        passes = holds_flag(scores, trigger.flag or "")
        told = f"flag {trigger.flag} not raised"
    elif trigger.when == "score_risen":
        passes = _risen(scores, around.previous_scores, trigger.column or "")
        told = f"{trigger.column} has not risen"
    elif trigger.when == "date" and trigger.column in scores:
        days = (moment.snapshot_at - pd.to_datetime(scores[trigger.column])).dt.days
        most = np.inf if trigger.within_days is None else trigger.within_days - 1
        passed = (days >= trigger.after_days) & (days <= trigger.after_days + most)
        passes = passed.to_numpy(dtype=bool)
        told = f"{trigger.column} not reached"
    else:
        passes, told = np.full(n, trigger.when == "schedule"), f"{trigger.column} unknown"
    reason = np.full(n, f"trigger has not fired: {told}", dtype=object)
    return passes, reason


def holds_flag(scores: pd.DataFrame, flag: str) -> BoolArray:
    """Whether a flag holds beside the stage."""
    if "flags" not in scores:
        return np.zeros(len(scores), dtype=bool)
    listed: BoolArray = (
        scores["flags"].astype(str).str.contains(f'"{flag}"', regex=False).to_numpy(dtype=bool)
    )
    return listed


def _entered(
    trigger: Trigger,
    playbook: Playbook,
    scores: pd.DataFrame,
    taxonomy: StageSet,
    moment: Moment,
) -> tuple[BoolArray, Text]:
    """Moves into the stage that may start the campaign.

    A step down by the clock (to a silent stage, or to one of lower rank) counts once the rule has
    given the same stage on the day before too; what the customer did counts at once.
    """
    stages = (trigger.stage,) if trigger.stage in taxonomy.stages else playbook.addressed(taxonomy)
    n = len(scores)
    there: BoolArray = scores["stage"].isin(stages).to_numpy(dtype=bool)
    told = f"stage {' or '.join(map(str, stages))} not entered"
    reason = np.full(n, f"trigger has not fired: {told}", dtype=object)
    if "stage_change_cause" not in scores or "stage_since" not in scores:
        return there, reason
    cause = scores["stage_change_cause"].astype(object).to_numpy()
    moved = np.isin(cause.astype(str), MOVING_CAUSES)
    days = (moment.snapshot_at - pd.to_datetime(scores["stage_since"])).dt.days
    since = days.to_numpy(dtype=float, na_value=np.nan)
    waiting = (cause.astype(str) == "clock") & step_down(scores, taxonomy) & ~(since >= 1)
    recent = np.ones(n, dtype=bool) if trigger.within_days is None else since < trigger.within_days
    reason[there & ~moved] = "no move into the stage: " + cause[there & ~moved].astype(str)
    reason[there & waiting] = "step down by the clock: waits for a second equal day"
    return there & moved & recent & ~waiting, reason


def step_down(scores: pd.DataFrame, taxonomy: StageSet) -> BoolArray:
    """Whether the last move led to a silent stage, or to one of lower rank."""
    to = scores["stage"].astype(object)
    down = to.isin([*taxonomy.silent, "lapsed", "dormant"]).to_numpy(dtype=bool)
    if "previous_stage" in scores and taxonomy.ranks:
        ranks = pd.Series(dict(taxonomy.ranks), dtype=float)
        was = scores["previous_stage"].astype(object).map(ranks).to_numpy(dtype=float)
        down = down | (to.map(ranks).to_numpy(dtype=float) < was)
    result: BoolArray = down
    return result


def _risen(scores: pd.DataFrame, before: pd.DataFrame | None, column: str) -> BoolArray:
    """Whether a score is higher than at the snapshot before; those without one count as risen."""
    now = numbers(scores, column)
    if before is None or column not in before:
        return ~np.isnan(now)
    then = before.set_index("customer_id")[column].reindex(scores["customer_id"])
    earlier = then.to_numpy(dtype=float, na_value=np.nan)
    risen: BoolArray = ~np.isnan(now) & ~(now <= earlier)
    return risen
