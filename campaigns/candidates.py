"""Candidates of each campaign: who may enter, who stays, and the value of each contact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from campaigns.customer_context import Counts, CustomerContext, add_rule_answers
from campaigns.eligibility import (
    EligibilityGate,
    contact_gates,
    first_failure,
    first_open_channel,
    playbook_gates,
    trigger_gate,
)
from campaigns.expected_value import (
    ORDER_VALUE,
    ContactValue,
    CustomerValues,
    column_product,
    contact_value,
    order_within_days,
    uplift_name,
)
from campaigns.membership import EarlierMembership, earlier_membership
from campaigns.membership_reasons import SCORE_REASON_COLUMNS
from campaigns.playbook import OTHER_TAXONOMIES, Playbook, by_priority
from campaigns.rules import (
    ORDER_WITHIN_DAYS,
    UPLIFT,
    BoolArray,
    RuleContext,
    TextArray,
    rule_conditions,
    rule_holds,
)
from campaigns.stage_set import StageSet
from features.sources.channels import consent_channel

_EXCLUSION_SUFFIX = "_exclude"
_SITE_RULE_REASON = "a rule for the website tool: visitors have no customer id"


@dataclass
class CampaignCandidates:
    """A campaign and its candidates during planning; all arrays have shape (customers,).

    Attributes
    ----------
    playbook
        The campaign.
    failure
        First reason why each customer is not in the campaign; empty for members and candidates.
    earlier
        Membership in the previous audience.
    eligible
        Customer meets the stage and the audience rule.
    barred
        Eligible, but excluded by consent, suppression or the global hold-out.
    rank
        Sort key of the customers, highest first.
    contact_value
        Expected money and cost of a contact.
    channel
        Position in the playbook's channels of the channel that reaches each customer.
    member, newcomer
        In the campaign; in it since this run.
    gave_way_to
        Position of a customer -> position of the preferred customer with the same address.
    """

    playbook: Playbook
    failure: TextArray
    earlier: EarlierMembership
    eligible: BoolArray
    barred: BoolArray
    rank: CustomerValues
    contact_value: ContactValue
    channel: Counts
    member: BoolArray
    newcomer: BoolArray
    gave_way_to: dict[int, int] = field(default_factory=dict)

    @property
    def promotional(self) -> bool:
        """True if the campaign competes with others for customers and contact caps."""
        return self.playbook.kind == "promotional"

    @property
    def candidates(self) -> BoolArray:
        """Customers who may enter by the rules of this campaign alone."""
        return ~self.member & (self.failure == "")


def with_exclusion_lists(playbooks: Sequence[Playbook], taxonomy: StageSet) -> list[Playbook]:
    """Playbooks by priority; the ``exclude`` rule of a list becomes a second list."""
    expanded = []
    for playbook in playbooks:
        expanded.append(playbook)
        if playbook.exclude is not None:
            changes = {
                "campaign": playbook.campaign + _EXCLUSION_SUFFIX,
                "title": f"{playbook.title}: exclude these buyers",
                "stages": {OTHER_TAXONOMIES: taxonomy.stages},
                "audience": playbook.exclude,
                "exclude": None,
                "exit_on": None,
            }
            expanded.append(playbook.model_copy(update=changes))
    return by_priority(expanded)


def needed_columns(scores: pd.DataFrame, playbooks: Sequence[Playbook]) -> list[str]:
    """Scored columns that planning reads."""
    wanted_columns = {"customer_id", "stage", "stage_since", "stage_change_cause", "previous_stage"}
    wanted_columns |= {"flags", "uplift", ORDER_VALUE, *SCORE_REASON_COLUMNS}
    for playbook in playbooks:
        wanted_columns |= set(playbook.fixed_columns)
        wanted_columns |= {trigger.column for trigger in playbook.trigger if trigger.column}
        for condition in (part for rule in playbook.rules for part in rule_conditions(rule)):
            wanted_columns.add(condition.column)
            for attribute in (condition.node or {}).get("match", []):
                wanted_columns |= {f"preferred_{attribute}", f"interest_{attribute}"}
    return [column for column in scores if column in wanted_columns]


def campaign_candidates(
    playbook: Playbook,
    rows: pd.DataFrame,
    previous: pd.DataFrame | None,
    *,
    taxonomy: StageSet,
    rule_context: RuleContext,
    context: CustomerContext,
    salt: str,
    channel_room: tuple[Counts, Sequence[str]],
    uplifts: Mapping[str, CustomerValues],
) -> CampaignCandidates:
    """Evaluate all rules of one campaign, before any newcomer is chosen."""
    rows = add_rule_answers(rows, [playbook], context, rule_context.snapshot_at)
    rows = rows.assign(
        **{
            UPLIFT: uplifts[uplift_name(playbook)],
            ORDER_WITHIN_DAYS: order_within_days(playbook, rows),
        }
    )
    customer_count, customers = len(rows), pd.Index(rows["customer_id"])
    playbook_tests = playbook_gates(playbook, rows, taxonomy=taxonomy, rule_context=rule_context)
    if playbook.kind == "site_rule":
        playbook_tests = [EligibilityGate(_SITE_RULE_REASON, np.zeros(customer_count, dtype=bool))]
    playbook_failure = first_failure(playbook_tests, customer_count)
    contact_failure = first_failure(
        contact_gates(playbook, rows, context, rule_context=rule_context, salt=salt), customer_count
    )
    failure = np.where(playbook_failure == "", contact_failure, playbook_failure)
    leaving = playbook_failure != ""
    if playbook.exit_on is not None:
        leaving = ~playbook_tests[0].passes | rule_holds(playbook.exit_on, rows, rule_context)
    leaving = leaving | (contact_failure != "")
    earlier = earlier_membership(
        playbook,
        rows["customer_id"],
        previous,
        failure=failure,
        leaving=leaving,
        rule_context=rule_context,
    )
    trigger = trigger_gate(playbook, rows, context, taxonomy=taxonomy, rule_context=rule_context)
    not_triggered = (
        (failure == "") & (earlier.entry_barrier == "") & ~earlier.staying & ~trigger.passes
    )
    entry_barrier = np.where(earlier.staying, "", earlier.entry_barrier)
    failure = np.where(entry_barrier != "", entry_barrier, failure)
    failure[not_triggered] = (
        trigger.reason if isinstance(trigger.reason, str) else trigger.reason[not_triggered]
    )
    by_channel, channels = channel_room
    contact_values = contact_value(playbook, rows, margin=context.margin(customers))
    return CampaignCandidates(
        playbook=playbook,
        failure=failure,
        earlier=replace(earlier, eligible=playbook_failure == ""),
        eligible=playbook_failure == "",
        barred=(playbook_failure == "") & (contact_failure != ""),
        rank=contact_values.order(column_product(rows, playbook.rank_by)),
        contact_value=contact_values,
        channel=first_open_channel(playbook, customers, context, by_channel, channels),
        member=np.zeros(customer_count, dtype=bool),
        newcomer=np.zeros(customer_count, dtype=bool),
    )


def capped_channels(playbooks: Sequence[Playbook]) -> list[str]:
    """Channels of all playbooks, by the names under which contacts are counted."""
    channel_names = {
        consent_channel(channel) for playbook in playbooks for channel in playbook.channels
    }
    return sorted(channel_names)
