"""What campaigns know of customers beside their scores, in the order of the scored rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from campaigns.addresses import NO_ADDRESSES, REFUSED_THROUGH, Addresses, kinds_of
from campaigns.playbook import Playbook
from campaigns.rules import PAST, RESTOCKED, BoolArray, Text, conditions
from features.config.customers import ALL, ContactPolicy
from features.sources.channels import NO_CONSENT_NEEDED, consent_channel
from features.sources.customer_attributes import channel_refusals

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
    refused
        Indexed by customer id, one column of bool a channel or purpose: who has said no, also of
        customers who are not scored.
    addresses
        Addresses that stand under several ids.
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
    known_marks, known_address_marks
        Reasons found before, by channel, where everything is `aligned`.
    """

    policy: ContactPolicy = field(default_factory=ContactPolicy)
    consent: pd.DataFrame | None = None
    suppressed: pd.DataFrame | None = None
    refused: pd.DataFrame = field(default_factory=pd.DataFrame)
    addresses: Addresses = NO_ADDRESSES
    past: pd.DataFrame | None = None
    contacts: pd.DataFrame | None = None
    sunset: pd.Series[Any] | None = None
    previous_scores: pd.DataFrame | None = None
    products: pd.DataFrame | None = None
    margins: pd.Series[Any] | None = None
    held: Mapping[str, str] = field(default_factory=dict)
    known_marks: dict[str | None, npt.NDArray[np.object_]] | None = None
    known_address_marks: dict[str, Text] | None = None

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
            known_address_marks={},
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

    def records(self, purpose: str) -> bool:
        """Whether consent to a channel or purpose is recorded by its own name."""
        return purpose in self.refused or (self.consent is not None and purpose in self.consent)

    def consents(self, purpose: str, customers: pd.Index[Any]) -> BoolArray:
        """Who consents to a channel or purpose, or where that is not recorded here did not refuse.

        A consent of every channel covers those that have none of their own.
        """
        agreed = np.ones(len(customers), dtype=bool)
        if purpose in NO_CONSENT_NEEDED:
            return agreed
        key = consent_channel(purpose)
        if self.consent is not None:
            column = self.consent.get(key, self.consent.get(ALL))
            if column is None:
                return ~agreed
            agreed = column.reindex(customers, fill_value=False).to_numpy(dtype=bool)
        return np.asarray(agreed & ~customers.isin(self.refusing(purpose)))

    def refusing(self, purpose: str) -> pd.Index[Any]:
        """Ids of those who said no to a channel or purpose."""
        column = channel_refusals(self.refused, consent_channel(purpose))
        if column is None or purpose in NO_CONSENT_NEEDED:
            return pd.Index([], dtype=object)
        return column.index[column.to_numpy(dtype=bool)]

    def address_marks(self, customers: pd.Index[Any], purpose: str) -> Text:
        """Why another customer of the same address shuts a channel or purpose; empty: none does."""
        if self.known_address_marks is None:
            return self._address_marks(customers, purpose)
        if purpose not in self.known_address_marks:
            self.known_address_marks[purpose] = self._address_marks(customers, purpose)
        return self.known_address_marks[purpose]

    def _address_marks(self, customers: pd.Index[Any], purpose: str) -> Text:
        reason = np.full(len(customers), "", dtype=object)
        kinds = kinds_of([purpose])
        if not len(self.addresses.rows):
            return reason
        refused = self.addresses.others(self.refusing(purpose), kinds)
        reason[customers.isin(refused)] = f"address refused {purpose} under another id"
        for text, rows in self._listed(purpose).groupby("reason", sort=True):
            hit = customers.isin(self.addresses.others(rows["customer_id"], kinds))
            reason[hit & (reason == "")] = f"address suppressed: {text}"
        return reason

    def _listed(self, purpose: str) -> pd.DataFrame:
        """Rows of the suppression lists for every channel or this one."""
        rows = self.suppressed
        if rows is None or not len(rows):
            return pd.DataFrame(columns=["customer_id", "channel", "reason"])
        same = rows["channel"].map(consent_channel, na_action="ignore") == consent_channel(purpose)
        return rows[rows["channel"].isna() | same]

    def kept_out(self, kind: str) -> pd.Index[Any]:
        """Whose contact key of a kind is in no export, unless for a channel that it allows."""
        shut: pd.Index[Any] = pd.Index([], dtype=object)
        for channel in REFUSED_THROUGH.get(kind, ()):
            shut = shut.union(self.refusing(channel)).union(self._listed(channel)["customer_id"])
        return shut.union(self.addresses.others(shut, [kind]))

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
        rows = rows[everywhere] if channel is None else self._listed(channel)
        first = rows.drop_duplicates("customer_id").set_index("customer_id")["reason"]
        found = first.reindex(customers)
        known = found.notna().to_numpy()
        reason[known] = [f"suppressed: {text}" for text in found.to_numpy()[known]]
        return reason


def cap_channel(channel: str) -> str:
    """Name of a channel as contacts are counted: all pushes are one, all calls are one."""
    return consent_channel(channel)


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
