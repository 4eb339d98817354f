"""What campaigns know of customers beside their scores, in the order of the scored rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from campaigns.playbook import Playbook
from campaigns.rules import PAST, RESTOCKED, BoolArray, conditions
from features.config.customers import ADS, ContactPolicy

# Channels of playbooks -> the consent that covers them; others are asked for by their own name.
CONSENT_FOR = {
    "mobile_push": "push",
    "web_push": "push",
    "text": "sms",
    "sales_call": "call",
    "letter": "direct_mail",
    "paid_social": ADS,
    "paid_search": ADS,
}
# The customer asks, or nobody is contacted.
NO_CONSENT_NEEDED = ("on_site", "support_task", "chat")

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Circumstances:
    """What was true of customers at the snapshot, beside their scores.

    Attributes
    ----------
    policy
        The rules of contact.
    consent
        Indexed by customer id, one column of bool a channel or purpose; None: not recorded here.
    suppressed
        customer_id, channel (null: every one), reason.
    past
        Indexed by customer id: answers to rules on the past by `campaigns.rules.past_name`, and to
        the policy's suppressions by ``suppress REASON`` and ``no_discount REASON``.
    contacts
        Indexed by customer id: contacts made in the span of each cap, columns by its number.
    sunset
        Indexed by customer id: whether the sunset holds.
    previous_scores
        Scored rows of the snapshot before, for triggers on risen scores; None: there are none.
    products
        product_id, restocked_at and attributes, for affinity to restocked goods; None: unknown.
    margins
        Indexed by customer id: share of what the customer pays that is earned, by what they buy;
        None: the products' margins are unknown, and the policy's holds for all.
    held
        Campaign -> why its export must wait for a confirmation (its triggers then let all pass).
    known_marks
        Suppression reasons found before, by channel, where everything is `aligned`.
    """

    policy: ContactPolicy = field(default_factory=ContactPolicy)
    consent: pd.DataFrame | None = None
    suppressed: pd.DataFrame | None = None
    past: pd.DataFrame | None = None
    contacts: pd.DataFrame | None = None
    sunset: pd.Series[Any] | None = None
    previous_scores: pd.DataFrame | None = None
    products: pd.DataFrame | None = None
    margins: pd.Series[Any] | None = None
    held: Mapping[str, str] = field(default_factory=dict)
    known_marks: dict[str | None, npt.NDArray[np.object_]] | None = None

    def aligned(self, customers: pd.Index[Any]) -> Circumstances:
        """The same in the order of the scored rows, so that no campaign looks for people anew."""

        def placed(found: Any, missing: Any) -> Any:
            if found is None:
                return None
            rows = found.reindex(customers, fill_value=missing)
            return rows.set_axis(customers, axis=0)

        return replace(
            self,
            consent=placed(self.consent, missing=False),
            past=placed(self.past, missing=False),
            contacts=placed(self.contacts, missing=0),
            sunset=placed(self.sunset, missing=False),
            margins=placed(self.margins, missing=np.nan),
            known_marks={},
        )

    def margin(self, customers: pd.Index[Any]) -> npt.NDArray[np.float64]:
        """Share of each customer's spend that is earned."""
        if self.margins is None:
            return np.full(len(customers), self.policy.margin)
        known = self.margins.reindex(customers).to_numpy(dtype=float, na_value=np.nan)
        return np.where(np.isnan(known), self.policy.margin, known)

    def answers(self, name: str, customers: pd.Index[Any]) -> BoolArray:
        """Answer to a rule on the past for every customer; unknown customers answer no."""
        if self.past is None or name not in self.past:
            return np.zeros(len(customers), dtype=bool)
        column = self.past[name].reindex(customers, fill_value=False)
        return np.asarray(column.to_numpy(dtype=bool))

    def consents(self, purpose: str, customers: pd.Index[Any]) -> BoolArray:
        """Who consents to a channel or purpose; everyone where consent is not recorded here."""
        if self.consent is None or purpose in NO_CONSENT_NEEDED:
            return np.ones(len(customers), dtype=bool)
        key = CONSENT_FOR.get(purpose, purpose)
        if key not in self.consent:
            return np.zeros(len(customers), dtype=bool)
        given = self.consent[key].reindex(customers, fill_value=False)
        return np.asarray(given.to_numpy(dtype=bool))

    def made(self, number: int, customers: pd.Index[Any]) -> Counts:
        """Contacts already made in the span of a cap."""
        if self.contacts is None or number not in self.contacts:
            return np.zeros(len(customers), dtype=np.int64)
        return np.asarray(
            self.contacts[number].reindex(customers).fillna(0).to_numpy(dtype=np.int64)
        )

    def marks(self, customers: pd.Index[Any], channel: str | None) -> npt.NDArray[np.object_]:
        """First reason on a suppression list, of every channel or of this one; empty: none."""
        if self.known_marks is None:
            return self._marks(customers, channel)
        if channel not in self.known_marks:
            self.known_marks[channel] = self._marks(customers, channel)
        return self.known_marks[channel]

    def _marks(self, customers: pd.Index[Any], channel: str | None) -> npt.NDArray[np.object_]:
        reason = np.full(len(customers), "", dtype=object)
        if self.suppressed is None or not len(self.suppressed):
            return reason
        rows = self.suppressed
        everywhere = rows["channel"].isna()
        key = None if channel is None else CONSENT_FOR.get(channel, channel)
        named = rows["channel"].isin([channel, key]) if channel is not None else ~everywhere
        rows = rows[everywhere if channel is None else named & ~everywhere]
        first = rows.drop_duplicates("customer_id").set_index("customer_id")["reason"]
        found = first.reindex(customers)
        known = found.notna().to_numpy()
        reason[known] = [f"suppressed: {text}" for text in found.to_numpy()[known]]
        return reason


def cap_channel(channel: str) -> str:
    """Name of a channel as contacts are counted: all pushes are one, all calls are one."""
    return CONSENT_FOR.get(channel, channel)


def asked_of_the_past(playbooks: Sequence[Playbook]) -> dict[str, Mapping[str, Any]]:
    """Rules on the past that some playbooks ask for: name -> rule, triggers included."""
    found: dict[str, Mapping[str, Any]] = {}
    for playbook in playbooks:
        for rule in playbook.rules:
            for each in conditions(rule):
                if each.node is not None and each.column.startswith(PAST):
                    found[each.column] = each.node
        for trigger in playbook.trigger:
            if trigger.when == "event" and trigger.role is not None:
                found |= {
                    event_trigger(trigger.role, trigger.after_days, trigger.within_days)[0]: (
                        event_trigger(trigger.role, trigger.after_days, trigger.within_days)[1]
                    )
                }
    return found


def event_trigger(
    role: str, after_days: int, within_days: int | None
) -> tuple[str, Mapping[str, Any]]:
    """Name and rule of: so many days have passed since the last event of a role."""
    node: dict[str, Any] = {"days_since_last": role, ">=": max(after_days, 1)}
    if within_days is not None:
        node["<="] = max(after_days, 1) + within_days - 1
    return f"{PAST}trigger {role} {after_days} {within_days}", node


def policy_rules(policy: ContactPolicy) -> dict[str, Mapping[str, Any]]:
    """The policy's own rules on the past, by the name under which `Circumstances` looks."""
    return {
        **{f"suppress {reason}": node for reason, node in policy.suppress.items()},
        **{f"no_discount {reason}": node for reason, node in policy.no_discount.items()},
    }


def with_answers(
    scores: pd.DataFrame, playbooks: Sequence[Playbook], around: Circumstances, at: pd.Timestamp
) -> pd.DataFrame:
    """The scored rows with a column for every rule on the past and every restocked affinity."""
    customers = pd.Index(scores["customer_id"])
    added: dict[str, BoolArray] = {}
    for playbook in playbooks:
        for rule in playbook.rules:
            for each in conditions(rule):
                if each.column.startswith(PAST):
                    added[each.column] = around.answers(each.column, customers)
                if each.column.startswith(RESTOCKED) and each.node is not None:
                    added[each.column] = _restocked(scores, around.products, each.node, at)
    return scores.assign(**added) if added else scores


def _restocked(
    scores: pd.DataFrame,
    products: pd.DataFrame | None,
    node: Mapping[str, Any],
    at: pd.Timestamp,
) -> BoolArray:
    """Whether what a customer mostly buys, or mostly looks at, has just come back to stock.

    All named attributes must be those of one and the same product.
    """
    found = np.zeros(len(scores), dtype=bool)
    match: list[str] = node["match"]
    if products is None or any(name not in products for name in match):
        return found
    days = (at - products["restocked_at"]).dt.days
    back = products[(days >= 0) & (days <= node["within_days"])]
    keys = pd.MultiIndex.from_frame(back[match].astype(str).drop_duplicates())
    for kind in ("preferred", "interest"):
        columns = [f"{kind}_{name}" for name in match]
        if len(keys) and all(column in scores for column in columns):
            mine = pd.MultiIndex.from_frame(scores[columns].astype(str))
            found |= np.asarray(mine.isin(keys))
    return found
