"""Customer facts beside the scores: consent, suppression, contacts made, addresses, margins."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from campaigns.addresses import (
    ADDRESS_KINDS,
    NO_ADDRESSES,
    REFUSED_THROUGH,
    Addresses,
    address_kinds,
)
from campaigns.contact_price import Fatigue
from campaigns.playbook import Playbook
from campaigns.rules import PAST, RESTOCKED, BoolArray, TextArray, rule_conditions
from campaigns.send_time import SendTimes
from features.config.customers import ALL, ContactPolicy
from features.sources.channels import NO_CONSENT_NEEDED, consent_channel
from features.sources.customer_attributes import channel_refusals
from features.sources.people_by_address import names_address

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class CustomerContext:
    """Facts on customers at the snapshot, beside their scores.

    Attributes
    ----------
    policy
        Contact policy of the config.
    consent
        Indexed by customer id, one bool column per channel or purpose; None: not recorded here.
    suppressed
        Columns customer_id, channel (null: every channel), reason.
    refused
        Indexed by customer id, one bool column per channel or purpose: refusals, also of customers
        without a score.
    addresses
        Addresses that several customer ids share.
    past
        Indexed by customer id: answers to rules on the history, columns by
        `campaigns.rules.history_rule_column`, and to the policy's suppressions, columns
        ``suppress REASON`` and ``no_discount REASON``.
    contacts
        Indexed by customer id: contacts made in the period of each cap, columns by cap number.
    sunset
        Indexed by customer id: True if the sunset rule holds.
    previous_scores
        Scored rows of the previous snapshot, for triggers on risen scores; None: there are none.
    previous_snapshot_at
        Date of the previous published scores, for triggers on a schedule; None: there are none.
    products
        Columns product_id, restocked_at and attributes, for restocked goods; None: unknown.
    margins
        Indexed by customer id: margin (0 to 1) of the products the customer buys; None: unknown,
        the policy's margin applies to all.
    send_times
        Own send times of customers, and the tests that allow them
        (`campaigns.send_time.send_times`); None: no playbook asks for them.
    dates
        Indexed by customer id: dates that come back every year, by name; empty: none are known.
    contact_prices
        Price of one more contact by customer id, in money; None: contacts have none.
    fatigue
        What the prices are made of, and where it comes from; None without prices.
    held
        Campaign -> why its export waits for a confirmation; its triggers then let all pass.
    suppression_reason_cache, address_reason_cache
        Computed reasons by channel; None before `aligned`.
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
    previous_snapshot_at: dt.date | None = None
    products: pd.DataFrame | None = None
    margins: pd.Series[Any] | None = None
    send_times: SendTimes | None = None
    dates: pd.DataFrame = field(default_factory=pd.DataFrame)
    contact_prices: pd.Series[float] | None = None
    fatigue: Fatigue | None = None
    held: Mapping[str, str] = field(default_factory=dict)
    suppression_reason_cache: dict[str | None, npt.NDArray[np.object_]] | None = None
    address_reason_cache: dict[str, TextArray] | None = None

    def aligned(self, customers: pd.Index[Any]) -> CustomerContext:
        """Reindex all tables to the order of the scored rows, once for all campaigns."""

        def reindexed(table: Any, missing: Any) -> Any:
            if table is None:
                return None
            return table.reindex(customers, fill_value=missing).set_axis(customers, axis=0)

        return replace(
            self,
            consent=reindexed(self.consent, missing=False),
            past=reindexed(self.past, missing=False),
            contacts=reindexed(self.contacts, missing=0),
            sunset=reindexed(self.sunset, missing=False),
            margins=reindexed(self.margins, missing=np.nan),
            dates=reindexed(self.dates, missing=pd.NaT),
            contact_prices=reindexed(self.contact_prices, missing=0.0),
            suppression_reason_cache={},
            address_reason_cache={},
        )

    def margin(self, customers: pd.Index[Any]) -> npt.NDArray[np.float64]:
        """Margin of each customer, a share of spend (0 to 1)."""
        if self.margins is None:
            return np.full(len(customers), self.policy.margin)
        known_margins = self.margins.reindex(customers).to_numpy(dtype=float, na_value=np.nan)
        return np.where(np.isnan(known_margins), self.policy.margin, known_margins)

    def rule_answers(self, name: str, customers: pd.Index[Any]) -> BoolArray:
        """Answer to a rule on the history per customer; False for unknown customers."""
        if self.past is None or name not in self.past:
            return np.zeros(len(customers), dtype=bool)
        column = self.past[name].reindex(customers, fill_value=False)
        return np.asarray(column.to_numpy(dtype=bool))

    def records_consent(self, purpose: str) -> bool:
        """True if consent to this very channel or purpose is recorded."""
        return purpose in self.refused or (self.consent is not None and purpose in self.consent)

    def consents(self, purpose: str, customers: pd.Index[Any]) -> BoolArray:
        """True for customers who consent; without recorded consents, for those who did not refuse.

        A consent to all channels applies to channels without a column of their own.
        """
        agreed = np.ones(len(customers), dtype=bool)
        if purpose in NO_CONSENT_NEEDED:
            return agreed
        consent_name = consent_channel(purpose)
        if self.consent is not None:
            column = self.consent.get(consent_name, self.consent.get(ALL))
            if column is None:
                return ~agreed
            agreed = column.reindex(customers, fill_value=False).to_numpy(dtype=bool)
        return np.asarray(agreed & ~customers.isin(self.refusers(purpose)))

    def refusers(self, purpose: str) -> pd.Index[Any]:
        """Ids of customers who refused a channel or purpose."""
        column = channel_refusals(self.refused, consent_channel(purpose))
        if column is None or purpose in NO_CONSENT_NEEDED:
            return pd.Index([], dtype=object)
        return column.index[column.to_numpy(dtype=bool)]

    def address_reasons(self, customers: pd.Index[Any], purpose: str) -> TextArray:
        """Why another customer of the same address blocks a channel or purpose; empty: none."""
        if self.address_reason_cache is None:
            return self._address_reasons(customers, purpose)
        if purpose not in self.address_reason_cache:
            self.address_reason_cache[purpose] = self._address_reasons(customers, purpose)
        return self.address_reason_cache[purpose]

    def _address_reasons(self, customers: pd.Index[Any], purpose: str) -> TextArray:
        reason = np.full(len(customers), "", dtype=object)
        kinds = address_kinds([purpose])
        if not len(self.addresses.rows):
            return reason
        refused = self._sharing(self.refusers(purpose), kinds)
        reason[customers.isin(refused)] = f"same address as a customer who refused {purpose}"
        for list_reason, listed_rows in self._listed(purpose).groupby("reason", sort=True):
            sharing = self._sharing(pd.Index(listed_rows["customer_id"]), kinds)
            reason[customers.isin(sharing) & (reason == "")] = (
                f"same address as a suppressed customer: {list_reason}"
            )
        return reason

    def _listed(self, purpose: str) -> pd.DataFrame:
        """Suppressions for all channels or this one."""
        suppressions = self.suppressed
        if suppressions is None or not len(suppressions):
            return pd.DataFrame(columns=["customer_id", "channel", "reason"])
        channels = suppressions["channel"].map(consent_channel, na_action="ignore")
        return suppressions[channels.isna() | (channels == consent_channel(purpose))]

    def withheld_from_exports(self, kind: str) -> pd.Index[Any]:
        """Ids of customers whose contact key of a kind no other channel may export."""
        withheld: pd.Index[Any] = pd.Index([], dtype=object)
        for channel in REFUSED_THROUGH.get(kind, ()):
            withheld = withheld.union(self.refusers(channel))
            withheld = withheld.union(self._listed(channel)["customer_id"])
        return withheld.union(self._sharing(withheld, [kind]))

    def _sharing(self, customers: pd.Index[Any], kinds: Sequence[str]) -> pd.Index[Any]:
        """Ids with an address of some customers, for kinds of address.

        An address that a table names in the place of an id is the person, whatever the channel.
        """
        named = customers[names_address(customers)]
        return self.addresses.shared_with(customers, kinds).union(
            self.addresses.shared_with(named, ADDRESS_KINDS)
        )

    def contacts_made(self, number: int, customers: pd.Index[Any]) -> Counts:
        """Contacts made in the period of a cap."""
        if self.contacts is None or number not in self.contacts:
            return np.zeros(len(customers), dtype=np.int64)
        counts = self.contacts[number].reindex(customers).fillna(0)
        return np.asarray(counts.to_numpy(dtype=np.int64))

    def suppression_reasons(
        self, customers: pd.Index[Any], channel: str | None
    ) -> npt.NDArray[np.object_]:
        """First suppression reason for a channel (None: for all channels); empty: none."""
        if self.suppression_reason_cache is None:
            return self._suppression_reasons(customers, channel)
        if channel not in self.suppression_reason_cache:
            self.suppression_reason_cache[channel] = self._suppression_reasons(customers, channel)
        return self.suppression_reason_cache[channel]

    def _suppression_reasons(
        self, customers: pd.Index[Any], channel: str | None
    ) -> npt.NDArray[np.object_]:
        reason = np.full(len(customers), "", dtype=object)
        if self.suppressed is None or not len(self.suppressed):
            return reason
        listed_rows = self.suppressed
        everywhere = listed_rows["channel"].isna()
        listed_rows = listed_rows[everywhere] if channel is None else self._listed(channel)
        first_reasons = listed_rows.drop_duplicates("customer_id").set_index("customer_id")[
            "reason"
        ]
        customer_reasons = first_reasons.reindex(customers)
        is_listed = customer_reasons.notna().to_numpy()
        reason[is_listed] = [
            f"suppressed: {text}" for text in customer_reasons.to_numpy()[is_listed]
        ]
        return reason


def rules_on_history(playbooks: Sequence[Playbook]) -> dict[str, Mapping[str, Any]]:
    """Rules on the history in playbooks and their triggers: name -> rule."""
    history_rules: dict[str, Mapping[str, Any]] = {}
    for playbook in playbooks:
        for rule in playbook.rules:
            for condition in rule_conditions(rule):
                if condition.node is not None and condition.column.startswith(PAST):
                    history_rules[condition.column] = condition.node
        for trigger in playbook.trigger:
            if trigger.when == "event" and trigger.role is not None:
                history_rules |= {
                    event_trigger_rule(trigger.role, trigger.after_days, trigger.within_days)[0]: (
                        event_trigger_rule(trigger.role, trigger.after_days, trigger.within_days)[1]
                    )
                }
    return history_rules


def event_trigger_rule(
    role: str, after_days: int, within_days: int | None
) -> tuple[str, Mapping[str, Any]]:
    """Name and rule for a number of days since the last event of a role."""
    rule_node: dict[str, Any] = {"days_since_last": role, ">=": max(after_days, 1)}
    if within_days is not None:
        rule_node["<="] = max(after_days, 1) + within_days - 1
    return f"{PAST}trigger {role} {after_days} {within_days}", rule_node


def policy_rules(policy: ContactPolicy) -> dict[str, Mapping[str, Any]]:
    """The policy's rules on the history, by their column in `CustomerContext.past`."""
    return {
        **{f"suppress {reason}": node for reason, node in policy.suppress.items()},
        **{f"no_discount {reason}": node for reason, node in policy.no_discount.items()},
    }


def add_rule_answers(
    scores: pd.DataFrame,
    playbooks: Sequence[Playbook],
    context: CustomerContext,
    snapshot_at: pd.Timestamp,
) -> pd.DataFrame:
    """Add a bool column for every rule on the history or on restocked goods."""
    customers = pd.Index(scores["customer_id"])
    answer_columns: dict[str, BoolArray] = {}
    for playbook in playbooks:
        for rule in playbook.rules:
            for condition in rule_conditions(rule):
                if condition.column.startswith(PAST):
                    answer_columns[condition.column] = context.rule_answers(
                        condition.column, customers
                    )
                if condition.column.startswith(RESTOCKED) and condition.node is not None:
                    answer_columns[condition.column] = _restocked(
                        scores, context.products, condition.node, snapshot_at
                    )
    return scores.assign(**answer_columns) if answer_columns else scores


def _restocked(
    scores: pd.DataFrame,
    products: pd.DataFrame | None,
    rule_node: Mapping[str, Any],
    snapshot_at: pd.Timestamp,
) -> BoolArray:
    """True for customers whose preferred or viewed attributes match a restocked product.

    One product must match all named attributes.
    """
    restocked = np.zeros(len(scores), dtype=bool)
    attributes: list[str] = rule_node["match"]
    if products is None or any(name not in products for name in attributes):
        return restocked
    days_since_restock = (snapshot_at - products["restocked_at"]).dt.days
    restocked_products = products[
        (days_since_restock >= 0) & (days_since_restock <= rule_node["within_days"])
    ]
    attribute_keys = pd.MultiIndex.from_frame(
        restocked_products[attributes].astype(str).drop_duplicates()
    )
    for affinity in ("preferred", "interest"):
        columns = [f"{affinity}_{name}" for name in attributes]
        if len(attribute_keys) and all(column in scores for column in columns):
            customer_keys = pd.MultiIndex.from_frame(scores[columns].astype(str))
            restocked |= np.asarray(customer_keys.isin(attribute_keys))
    return restocked
