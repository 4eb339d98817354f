"""Conditions and counts on customers' pasts that campaigns ask for, at one date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features.aggregates.tallies import Tallies
from features.config.config import Config
from features.config.customers import ContactPolicy
from features.contracts import CUSTOMER, LIFELESS_ROLES, ROLES
from features.history.day_rows import Subject
from features.history.history import History, history
from features.lifecycle.rule_evaluation import Facts
from features.lifecycle.rule_language import Measure, Rule, subjects_of
from features.lifecycle.taxonomy_parser import load_taxonomy
from features.table.campaign_rules import FOREVER, MEDIAN_GAP, read_rules
from features.table.customer_partitions import of_each
from features.table.feature_store import read_days, required_manifest

# Signs that a human is there: what customers do themselves.
ALIVE_ROLES = tuple(role for role in ROLES if role not in LIFELESS_ROLES)


@dataclass(frozen=True)
class Past:
    """What campaigns asked of the customers' pasts, indexed by customer id.

    Attributes
    ----------
    rules
        One column of bool a rule, under the name it was asked by.
    contacts
        Messages sent in each cap's span, one column a cap in the policy's order (float).
    sunset
        Whether the sunset holds; all false where the data cannot tell.
    parameters
        The values rules could refer to: the taxonomy's, and ``median_gap`` (days from first to
        second order day, median over those with two).
    """

    rules: pd.DataFrame
    contacts: pd.DataFrame
    sunset: pd.Series[Any]
    parameters: Mapping[str, float]


def past(output: Path, config: Config, rules: Mapping[str, Mapping[str, Any]], *, at: int) -> Past:
    """Evaluate rules, caps and the sunset on what was known before a date.

    Parameters
    ----------
    output
        The output folder, where the features step stored tallies.
    config
        The data set.
    rules
        Name -> rule in the form of stage rules; amounts in currency. ``median_gap`` may stand
        beside the taxonomy's parameters.
    at
        Day number of the date.

    Raises
    ------
    UserError
        Where a rule cannot be read; the message names it.
    """
    taxonomy, policy = load_taxonomy(config), config.contact_policy
    event_types = required_manifest(output).event_types
    parameters = {**taxonomy.parameters, MEDIAN_GAP: _stored_gap(output, config, at)}
    parsed_rules = read_rules(rules, config, types=event_types, parameters=parameters)
    answers = of_each(output, config, _Question(parsed_rules, policy, config.role_types(), at))
    return Past(
        rules=pd.concat([each.rules for each in answers]),
        contacts=pd.concat([each.contacts for each in answers]),
        sunset=pd.concat([each.sunset for each in answers]),
        parameters=parameters,
    )


@dataclass(frozen=True)
class _Question:
    """What is asked of the pasts of some customers."""

    rules: Mapping[str, Rule]
    policy: ContactPolicy
    role_types: Mapping[str, Sequence[str]]
    at: int

    def __call__(self, tallies: Tallies) -> Past:
        subjects = {s for rule in self.rules.values() for s in subjects_of(rule)}
        subjects |= {sent_subject(cap.channel) for cap in self.policy.caps}
        customer_history = history(tallies, self.role_types, subjects, choices=False)
        facts = Facts(customer_history.known_before(self.at), self.at, self.at)
        index = pd.Index(customer_history.customers.astype(object), name=CUSTOMER)
        holds = {name: facts.holds(rule) for name, rule in self.rules.items()}
        sent = {
            number: facts.measure(Measure("count", sent_subject(cap.channel), cap.days))
            for number, cap in enumerate(self.policy.caps)
        }
        return Past(
            rules=pd.DataFrame(holds, index=index),
            contacts=pd.DataFrame(sent, index=index),
            sunset=pd.Series(_given_up(facts, self.policy), index=index),
            parameters={},
        )


def _stored_gap(output: Path, config: Config, at: int) -> float:
    """`median_gap` of the stored tallies, of which only purchases are read."""
    role_types = config.role_types()
    purchases = read_days(output, role_types.get("purchase", ()))
    return median_gap(history(purchases, role_types), at)


def sent_subject(channel: str | None) -> Subject:
    """Messages sent, in one channel or (None) in any."""
    return Subject("sent") if channel is None else Subject("sent", "channel", (channel,))


def median_gap(known: History, at: int) -> float:
    """Days from the first to the second order day, median over customers with two by a date.

    Ten years where nobody has two, so that no rule that waits for it holds.
    """
    rows = known.roles.get("purchase")
    if rows is None:
        return FOREVER
    is_before = rows.day < at
    customer, day = rows.customer[is_before], rows.day[is_before]
    if not len(day):
        return FOREVER
    second_rows = np.flatnonzero(np.r_[True, customer[1:] != customer[:-1]]) + 1
    second_rows = second_rows[second_rows < len(day)]
    second_rows = second_rows[customer[second_rows] == customer[second_rows - 1]]
    gaps = day[second_rows] - day[second_rows - 1]
    return float(np.median(gaps)) if len(gaps) else FOREVER


def _given_up(facts: Facts, policy: ContactPolicy) -> Any:
    """Many messages and no sign of life; only where the data could show one."""
    all_false = np.zeros(facts.customers, dtype=bool)
    rule = policy.sunset
    if rule is None or facts.history.roles.get("touch") is None:
        return all_false
    sends = facts.measure(Measure("count", Subject("sent"), rule.days))
    life_signs = sum(
        (facts.measure(Measure("count", Subject(role), rule.days)) for role in _alive(facts)),
        all_false,
    )
    return (sends >= rule.sends) & (life_signs == 0)


def _alive(facts: Facts) -> Sequence[str]:
    return [role for role in ALIVE_ROLES if role in facts.history.roles]
