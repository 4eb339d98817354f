"""Campaigns while they are being filled: who could enter, who stays, what each is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from campaigns.customer_context import Circumstances, Counts, cap_channel, with_answers
from campaigns.eligibility import (
    Gate,
    chosen_channel,
    contact_gates,
    first_failure,
    playbook_gates,
    trigger_gate,
)
from campaigns.expected_value import Numbers, Worth, product, uplift_name, worth
from campaigns.membership import Standing, standing
from campaigns.playbook import OTHER, Playbook, StageSet, by_priority
from campaigns.rules import UPLIFT, BoolArray, Moment, Text, holds

EXCLUDE = "_exclude"
SITE_RULE = "a rule for the site tool: its visitors have no names"


@dataclass
class Draft:
    """A campaign while it is being filled; all arrays are of shape (customers,).

    Attributes
    ----------
    playbook
        The campaign.
    failure
        First reason why each customer is not in it; empty for members and candidates.
    standing
        From the audience before.
    eligible
        Meets stage and audience rule.
    barred
        Meets them, and consent, suppression or the global hold-out shuts out.
    rank
        What orders the customers, highest first.
    worth
        Money of a contact.
    channel
        Position in the playbook's channels through which each would be reached.
    member, newcomer
        In the campaign; in it for the first time.
    yielded
        Position of a customer -> of the one with the same address who goes first.
    """

    playbook: Playbook
    failure: Text
    standing: Standing
    eligible: BoolArray
    barred: BoolArray
    rank: Numbers
    worth: Worth
    channel: Counts
    member: BoolArray
    newcomer: BoolArray
    yielded: dict[int, int] = field(default_factory=dict)

    @property
    def promotional(self) -> bool:
        """Whether it shares customers and caps with other campaigns."""
        return self.playbook.kind == "promotional"

    @property
    def candidates(self) -> BoolArray:
        """Who may enter, as far as this campaign alone is concerned."""
        return ~self.member & (self.failure == "")


def with_exclusions(playbooks: Sequence[Playbook], taxonomy: StageSet) -> list[Playbook]:
    """The playbooks in the order served; a list's ``exclude`` becomes a second list."""
    found = []
    for playbook in playbooks:
        found.append(playbook)
        if playbook.exclude is not None:
            changes = {
                "campaign": playbook.campaign + EXCLUDE,
                "title": f"{playbook.title}: leave these out",
                "stages": {OTHER: taxonomy.stages},
                "audience": playbook.exclude,
                "exclude": None,
                "exit_on": None,
            }
            found.append(playbook.model_copy(update=changes))
    return by_priority(found)


def needed_columns(scores: pd.DataFrame, playbooks: Sequence[Playbook]) -> list[str]:
    """Columns of the scored rows that planning reads."""
    from campaigns.expected_value import ORDER_VALUE
    from campaigns.membership_reasons import REASON_COLUMNS
    from campaigns.rules import conditions

    asked = {"customer_id", "stage", "stage_since", "stage_change_cause", "previous_stage"}
    asked |= {"flags", "uplift", ORDER_VALUE, *REASON_COLUMNS}
    for playbook in playbooks:
        asked |= set(playbook.fixed_columns)
        asked |= {each.column for rule in playbook.rules for each in conditions(rule)}
        asked |= {trigger.column for trigger in playbook.trigger if trigger.column is not None}
        for rule in playbook.rules:
            for each in conditions(rule):
                for name in (each.node or {}).get("match", []):
                    asked |= {f"preferred_{name}", f"interest_{name}"}
    return [column for column in scores if column in asked]


def drafted(
    playbook: Playbook,
    rows: pd.DataFrame,
    previous: pd.DataFrame | None,
    *,
    taxonomy: StageSet,
    moment: Moment,
    around: Circumstances,
    salt: str,
    room: tuple[Counts, Sequence[str]],
    uplifts: Mapping[str, Numbers],
) -> Draft:
    """A campaign with its earlier members and everybody's first failure, nobody chosen yet."""
    rows = with_answers(rows, [playbook], around, moment.snapshot_at)
    rows = rows.assign(**{UPLIFT: uplifts[uplift_name(playbook)]})
    n, customers = len(rows), pd.Index(rows["customer_id"])
    own = playbook_gates(playbook, rows, taxonomy=taxonomy, moment=moment)
    if playbook.kind == "site_rule":
        own = [Gate(SITE_RULE, np.zeros(n, dtype=bool))]
    fit = first_failure(own, n)
    contact = first_failure(contact_gates(playbook, rows, around, moment=moment, salt=salt), n)
    failure = np.where(fit == "", contact, fit)
    leaving = fit != ""
    if playbook.exit_on is not None:
        leaving = ~own[0].passes | holds(playbook.exit_on, rows, moment)
    leaving = leaving | (contact != "")
    found = standing(
        playbook, rows["customer_id"], previous, failure=failure, leaving=leaving, moment=moment
    )
    trigger = trigger_gate(playbook, rows, around, taxonomy=taxonomy, moment=moment)
    quiet = (failure == "") & (found.bar == "") & ~found.staying & ~trigger.passes
    late = np.where(found.staying, "", found.bar)
    failure = np.where(late != "", late, failure)
    failure[quiet] = trigger.reason if isinstance(trigger.reason, str) else trigger.reason[quiet]
    by_channel, channels = room
    money = worth(playbook, rows, margin=around.margin(customers))
    return Draft(
        playbook=playbook,
        failure=failure,
        standing=replace(found, eligible=fit == ""),
        eligible=fit == "",
        barred=(fit == "") & (contact != ""),
        rank=money.order(product(rows, playbook.rank_by)),
        worth=money,
        channel=chosen_channel(playbook, customers, around, by_channel, channels),
        member=np.zeros(n, dtype=bool),
        newcomer=np.zeros(n, dtype=bool),
    )


def counted_channels(playbooks: Sequence[Playbook]) -> list[str]:
    """Channels under which contacts are counted, of all playbooks."""
    names = {cap_channel(channel) for playbook in playbooks for channel in playbook.channels}
    return sorted(names)
