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
    playbook_gates,
    trigger_gate,
)
from campaigns.expected_value import (
    ORDER_VALUE,
    ContactValue,
    CustomerValues,
    column_product,
    order_within_days,
    uplift_name,
)
from campaigns.holdout import TREATMENT
from campaigns.membership import EarlierMembership, earlier_membership
from campaigns.membership_reasons import SCORE_REASON_COLUMNS
from campaigns.offers import (
    OfferCandidates,
    best_open_offer,
    channels_of,
    offer_candidates,
    values_of,
)
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
_NO_OFFER_LEFT = "consent and the rules on discounts allow none of the offers"
_OFFER_CLOSED = "left: its offer may no longer be sent, or is no longer in the playbook"
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
    offers
        The offers of the campaign; a single one without a name if the playbook has no `offers`.
    offer
        Position in `offers` of each customer's offer: the best one until one is assigned.
    member, newcomer
        In the campaign; in it since this run.
    arm
        Arm of the members; None until it is drawn.
    propensity, propensities
        Probability with which the offer, or nothing, was drawn; JSON of those of all offers that
        could have been drawn. NaN and None without `offers`.
    assigned
        Position in `offers` before exploration.
    explored
        A random draw chose the offer.
    gave_way_to
        Position of a customer -> position of the preferred customer with the same address.
    """

    playbook: Playbook
    failure: TextArray
    earlier: EarlierMembership
    eligible: BoolArray
    barred: BoolArray
    rank: CustomerValues
    offers: tuple[OfferCandidates, ...]
    offer: Counts
    member: BoolArray
    newcomer: BoolArray
    arm: TextArray
    propensity: CustomerValues
    propensities: TextArray
    assigned: Counts
    explored: BoolArray
    gave_way_to: dict[int, int] = field(default_factory=dict)

    @property
    def contact_value(self) -> ContactValue:
        """Expected money and cost of a contact with each customer's offer."""
        return values_of(self.offers, self.offer)

    @property
    def channel(self) -> Counts:
        """Position in the playbook's channels of the channel that reaches each customer."""
        return channels_of(self.offers, self.offer)

    @property
    def offer_places(self) -> CustomerValues:
        """Free places of each offer beside the treated members who have it, shape (offers,)."""
        has_offer = self.member & (self.arm == TREATMENT)
        counts = np.bincount(self.offer[has_offer], minlength=len(self.offers))
        capacity = np.array([offer.capacity for offer in self.offers])
        places: CustomerValues = np.maximum(capacity - counts, 0.0)
        return places

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


def campaign_names(playbooks: Sequence[Playbook]) -> list[str]:
    """Names of the campaigns of playbooks, with their exclusion lists."""
    lists = [f"{p.campaign}{_EXCLUSION_SUFFIX}" for p in playbooks if p.exclude is not None]
    return [*(playbook.campaign for playbook in playbooks), *lists]


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
    customer_count = len(rows)
    playbook_tests = playbook_gates(playbook, rows, taxonomy=taxonomy, rule_context=rule_context)
    if playbook.kind == "site_rule":
        playbook_tests = [EligibilityGate(_SITE_RULE_REASON, np.zeros(customer_count, dtype=bool))]
    playbook_failure = first_failure(playbook_tests, customer_count)
    contact_failure = first_failure(
        contact_gates(playbook, rows, context, rule_context=rule_context, salt=salt), customer_count
    )
    offers = offer_candidates(playbook, rows, context, channel_room=channel_room, uplifts=uplifts)
    if playbook.offers:
        some_offer: BoolArray = np.any([offer.open for offer in offers], axis=0)
        contact_failure[(contact_failure == "") & ~some_offer] = _NO_OFFER_LEFT
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
    choice = best_open_offer(offers)
    if playbook.offers:
        earlier, choice = _with_kept_offers(earlier, offers, choice)
    trigger = trigger_gate(playbook, rows, context, taxonomy=taxonomy, rule_context=rule_context)
    not_triggered = (
        (failure == "") & (earlier.entry_barrier == "") & ~earlier.staying & ~trigger.passes
    )
    entry_barrier = np.where(earlier.staying, "", earlier.entry_barrier)
    failure = np.where(entry_barrier != "", entry_barrier, failure)
    failure[not_triggered] = (
        trigger.reason if isinstance(trigger.reason, str) else trigger.reason[not_triggered]
    )
    nobody = np.zeros(customer_count, dtype=bool)
    arm, propensities = earlier.arm.copy(), earlier.propensities.copy()
    arm[~earlier.staying] = propensities[~earlier.staying] = None
    return CampaignCandidates(
        playbook=playbook,
        failure=failure,
        earlier=replace(earlier, eligible=playbook_failure == ""),
        eligible=playbook_failure == "",
        barred=(playbook_failure == "") & (contact_failure != ""),
        rank=values_of(offers, choice).order(column_product(rows, playbook.rank_by)),
        offers=offers,
        offer=choice,
        member=nobody.copy(),
        newcomer=nobody.copy(),
        arm=arm,
        propensity=np.where(earlier.staying, earlier.propensity, np.nan),
        propensities=propensities,
        assigned=choice,
        explored=nobody,
    )


def _with_kept_offers(
    earlier: EarlierMembership, offers: Sequence[OfferCandidates], choice: Counts
) -> tuple[EarlierMembership, Counts]:
    """Treated members keep their offer, and leave if it may no longer be sent."""
    treated = np.flatnonzero(earlier.staying & (earlier.arm == TREATMENT))
    names = pd.Index([offer.name for offer in offers])
    kept_offer = names.get_indexer(pd.Index(earlier.offer[treated]))
    is_open = np.stack([offer.open for offer in offers])[kept_offer, treated] & (kept_offer >= 0)
    staying, entry_barrier = earlier.staying.copy(), earlier.entry_barrier.copy()
    staying[treated[~is_open]] = False
    entry_barrier[treated[~is_open]] = _OFFER_CLOSED
    choice = choice.copy()
    choice[treated[is_open]] = kept_offer[is_open]
    return replace(earlier, staying=staying, entry_barrier=entry_barrier), choice


def capped_channels(playbooks: Sequence[Playbook]) -> list[str]:
    """Channels of all playbooks, by the names under which contacts are counted."""
    channel_names = {
        consent_channel(channel) for playbook in playbooks for channel in playbook.channels
    }
    return sorted(channel_names)
