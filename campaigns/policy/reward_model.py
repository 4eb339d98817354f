"""Expected reward of every offer in every decision, by models that have not seen the decision."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import Ridge

from campaigns.policy.decision_log import DecisionLog
from features.arrays import Array

_FOLDS = 5
_PULL = 20.0  # an offer with 20 decisions is believed half as much as the mean of all offers


@dataclass(frozen=True)
class ExpectedReward:
    """Expected reward as the sum of a part of the decision and a part of the offer.

    Attributes
    ----------
    of_decision
        One number a decision.
    of_offer
        Folds x offers.
    fold
        Fold of every decision.
    """

    of_decision: Array
    of_offer: Array
    fold: Array

    def of(self, offer: Array) -> Array:
        """Expected reward of one offer in each decision."""
        return self.of_decision + self.of_offer[self.fold, offer]

    def under(self, probability: Array) -> Array:
        """Expected reward of each decision if offers have some probability (decisions x offers)."""
        return self.of_decision + (probability * self.of_offer[self.fold]).sum(axis=1)


def expected_reward(log: DecisionLog, *, seed: int) -> ExpectedReward:
    """Cross-fitted ridge regression of the reward on offer, group and context.

    The estimates that use it are right whatever it says (doubly robust); a good one makes their
    intervals narrower.

    Parameters
    ----------
    log
        The decisions.
    seed
        Draws the folds; all decisions of a person are in one fold.
    """
    people, person = np.unique(log.person, return_inverse=True)
    fold = np.random.default_rng(seed).integers(0, _FOLDS, len(people))[person]
    offers = len(log.offers)
    columns = _columns(log)
    of_decision, of_offer = np.zeros(len(log)), np.zeros((_FOLDS, offers))
    for number in range(_FOLDS):
        known, left_out = fold != number, fold == number
        if not left_out.any() or not known.any():
            continue
        # One column an offer and one a group: the penalty pulls each towards the mean of all.
        model = Ridge(alpha=_PULL).fit(columns[known], log.reward[known])
        of_offer[number] = model.coef_[:offers]
        of_decision[left_out] = model.intercept_ + columns[left_out, offers:] @ model.coef_[offers:]
    return ExpectedReward(of_decision, of_offer, fold)


def _columns(log: DecisionLog) -> Array:
    """Offers and groups as zeros and ones, and the context with mean 0 and spread 1."""
    spread = log.context.std(axis=0)
    varying = log.context[:, spread > 0]
    context = (varying - varying.mean(axis=0)) / spread[spread > 0]
    groups = np.eye(len(log.groups))[log.group][:, : 0 if len(log.groups) == 1 else None]
    return np.hstack([np.eye(len(log.offers))[log.offer], groups, context])
