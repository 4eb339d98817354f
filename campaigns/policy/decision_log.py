"""Logged decisions with their probabilities, and the policies that are compared on them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.arrays import Array


@dataclass(frozen=True)
class DecisionLog:
    """Decisions that were drawn at random, each with the probability of what was drawn.

    Attributes
    ----------
    offers
        Names of the offers; "nothing" may be one of them.
    offer
        Position in `offers` of what was done, one a decision.
    propensity
        Probability with which the logging policy did that, above 0 and at most 1.
    reward
        What came of it: clicks, orders, margin less cost.
    groups
        Names of the groups between which policies differ; at least one.
    group
        Position in `groups`, one a decision.
    context
        Numbers that help to predict the reward (decisions x columns; perhaps no column).
    person
        Number of the person, one a decision: rewards of one person are not independent.
    could_be
        Whether each offer could have been drawn (decisions x offers); None where the log does not
        say it.
    """

    offers: tuple[str, ...]
    offer: Array
    propensity: Array
    reward: Array
    groups: tuple[str, ...]
    group: Array
    context: Array
    person: Array
    could_be: Array | None = None

    def __len__(self) -> int:
        """Number of decisions."""
        return len(self.offer)

    def counts(self) -> Array:
        """Decisions by group and offer (groups x offers)."""
        cell = self.group * len(self.offers) + self.offer
        size = len(self.groups) * len(self.offers)
        return np.bincount(cell, minlength=size).reshape(len(self.groups), len(self.offers))


@dataclass(frozen=True)
class Policy:
    """How likely each offer is in each decision of a log.

    Attributes
    ----------
    name
        For tables and messages.
    probability
        Decisions x offers; every row adds up to 1.
    """

    name: str
    probability: Array


def uniform_policy(log: DecisionLog) -> Policy:
    """Every offer equally often."""
    share = 1 / len(log.offers)
    return Policy("uniform", np.full((len(log), len(log.offers)), share))


def constant_policy(log: DecisionLog, offer: int) -> Policy:
    """One offer in every decision."""
    return chosen_policy(f"always {log.offers[offer]}", log, np.full(len(log), offer))


def chosen_policy(name: str, log: DecisionLog, offer: Array) -> Policy:
    """One offer in each decision, by its position in the log's offers."""
    probability = np.zeros((len(log), len(log.offers)))
    probability[np.arange(len(log)), offer] = 1.0
    return Policy(name, probability)


def group_policy(name: str, log: DecisionLog, shares: Array) -> Policy:
    """Shares of offers that depend on the group only (groups x offers)."""
    return Policy(name, shares[log.group])
