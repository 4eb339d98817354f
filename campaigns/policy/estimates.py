"""What a policy would have earned by the decisions of another one, or why a log cannot tell.

Estimates weigh each logged reward by how much more likely the policy takes the same offer. Inverse
propensity scoring (IPS): Horvitz and Thompson (1952). Self-normalised (SNIPS): Swaminathan and
Joachims (2015). Doubly robust (DR): Dudik, Langford and Li (2011), equation 6. Switch-DR: Wang,
Agarwal and Dudik (2017), section 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from campaigns.policy.decision_log import DecisionLog, Policy
from campaigns.policy.reward_model import ExpectedReward
from campaigns.policy.skewed_mean import mean_interval
from features.arrays import Array

# Limits of what a log can tell, with reasons in docs/policies.md.
_LEAST_EFFECTIVE = 50  # decisions, after weighing
_LEAST_REWARDED = 10  # decisions with a reward, after weighing
_MOST_UNSEEN = 0.01  # of the policy's probability, on offers that a group never got
_WEIGHT_ERRORS = 4.0  # standard errors of the mean weight from 1
_WEIGHT_SHARE = 0.05  # and at least this far
_SWITCHES = (0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 1.0)  # quantiles of the weights


@dataclass(frozen=True)
class PolicyValue:
    """Estimated reward per decision of one policy.

    Attributes
    ----------
    policy
        Its name.
    effective
        Effective number of decisions: (sum of weights)^2 / sum of squared weights.
    largest_weight
        Share of the largest weight in the sum of weights.
    unknown
        Why the log cannot tell; empty if it can. All values are NaN if it cannot.
    value, low, high
        Doubly robust estimate with its 95 % interval.
    gain, gain_low, gain_high
        The same for the difference to the rewards of the log itself, or to another policy.
    ips, snips, switch
        Other estimates of the value, for comparison.
    """

    policy: str
    effective: float
    largest_weight: float
    unknown: str = ""
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    gain: float = math.nan
    gain_low: float = math.nan
    gain_high: float = math.nan
    ips: float = math.nan
    snips: float = math.nan
    switch: float = math.nan


def logged_value(log: DecisionLog) -> tuple[float, float, float]:
    """Reward per decision of the log itself, with its 95 % interval."""
    low, high = mean_interval(_by_person(log.reward, log.person))
    return float(log.reward.mean()), low, high


def policy_value(
    log: DecisionLog, policy: Policy, expected: ExpectedReward, *, against: Policy | None = None
) -> PolicyValue:
    """Estimate what a policy would have earned in the decisions of a log.

    Parameters
    ----------
    log
        The decisions.
    policy
        Any policy over the same offers.
    expected
        Of the same log (`campaigns.policy.reward_model.expected_reward`).
    against
        The policy that the gain is over; None: the log itself.
    """
    weight = _weight(log, policy)
    total = float(weight.sum())
    effective = total**2 / float((weight**2).sum()) if total else 0.0
    largest = float(weight.max()) / total if total else 1.0
    unknown = _unknown(log, policy, weight, effective)
    compared = log.reward
    if against is not None and not unknown:
        unknown = _unknown_policy(log, against)
        compared = _robust(log, against, expected)
    if unknown:
        return PolicyValue(policy.name, effective, largest, unknown)
    under_policy = expected.under(policy.probability)
    surprise = log.reward - expected.of(log.offer)
    robust = under_policy + weight * surprise
    gain = robust - compared
    value_ends = mean_interval(_by_person(robust, log.person))
    gain_ends = mean_interval(_by_person(gain, log.person))
    weighted = float((weight * log.reward).sum())
    return PolicyValue(
        policy=policy.name,
        effective=effective,
        largest_weight=largest,
        value=float(robust.mean()),
        low=value_ends[0],
        high=value_ends[1],
        gain=float(gain.mean()),
        gain_low=gain_ends[0],
        gain_high=gain_ends[1],
        ips=weighted / len(log),
        snips=weighted / total,
        switch=_switch_value(weight, under_policy, surprise, log.reward),
    )


def _weight(log: DecisionLog, policy: Policy) -> Array:
    """How much more likely the policy does what was done."""
    return policy.probability[np.arange(len(log)), log.offer] / log.propensity


def _robust(log: DecisionLog, policy: Policy, expected: ExpectedReward) -> Array:
    """Doubly robust reward of each decision under a policy."""
    surprise = log.reward - expected.of(log.offer)
    return expected.under(policy.probability) + _weight(log, policy) * surprise


def _unknown_policy(log: DecisionLog, policy: Policy) -> str:
    """Why a log cannot tell what a policy earns, with its name; empty if it can."""
    weight = _weight(log, policy)
    effective = float(weight.sum()) ** 2 / max(float((weight**2).sum()), 1e-300)
    reason = _unknown(log, policy, weight, effective)
    return f"{policy.name}: {reason}" if reason else ""


def _by_person(values: Array, person: Array) -> Array:
    """Sums by person, scaled so that their mean is that of the decisions."""
    _, position = np.unique(person, return_inverse=True)
    sums = np.bincount(position, weights=values)
    return sums * (len(sums) / len(values))


def _switch_value(weight: Array, under_policy: Array, surprise: Array, reward: Array) -> float:
    """Doubly robust below a weight, the model alone above it.

    The weight is the one with the least sum of variance and squared bound of the bias, which is
    the largest reward times the policy's probability above the weight, itself estimated.
    """
    best_error, best_value = math.inf, math.nan
    largest_reward = float(np.abs(reward).max())
    for limit in np.quantile(weight, _SWITCHES):
        below = weight <= limit
        values = under_policy + np.where(below, weight * surprise, 0.0)
        bias = largest_reward * float(np.where(below, 0.0, weight).mean())
        error = float(values.var()) / len(values) + bias**2
        if error < best_error:
            best_error, best_value = error, float(values.mean())
    return best_value


def _unknown(log: DecisionLog, policy: Policy, weight: Array, effective: float) -> str:
    """Why a log cannot tell what a policy earns; empty if it can."""
    shares = _unseen_shares(log, policy)
    if shares.sum() > _MOST_UNSEEN:
        group, offer = np.unravel_index(int(shares.argmax()), shares.shape)
        where = "" if len(log.groups) == 1 else f" in {log.groups[group]}"
        return (
            f"{shares.sum():.0%} of its decisions take offers that could not be drawn there, such "
            f"as {log.offers[offer]}{where}"
        )
    if effective < _LEAST_EFFECTIVE:
        return (
            f"the log holds about {effective:,.0f} decisions as this policy would take them; "
            f"{_LEAST_EFFECTIVE} are needed"
        )
    weighted = weight * log.reward
    squares = float((weighted**2).sum())
    rewarded = float(np.abs(weighted).sum()) ** 2 / squares if squares else 0.0
    if rewarded < _LEAST_REWARDED:
        return (
            f"about {rewarded:,.0f} rewarded decisions of the log are as this policy would take "
            f"them; {_LEAST_REWARDED} are needed"
        )
    error = float(weight.std(ddof=1)) / math.sqrt(len(weight))
    distance = abs(float(weight.mean()) - 1)
    if distance > max(_WEIGHT_ERRORS * error, _WEIGHT_SHARE):
        return (
            f"the weights average {weight.mean():.2f} and not 1: the propensities are not those "
            "with which the offers of this log were drawn"
        )
    return ""


def _unseen_shares(log: DecisionLog, policy: Policy) -> Array:
    """Share of the policy's decisions by group and offer that the log cannot hold.

    The log never took the offer in the group, or says that it could not be drawn in a decision.
    """
    never = (log.counts() == 0)[log.group]
    if log.could_be is not None:
        never |= ~log.could_be
    sums = np.zeros((len(log.groups), len(log.offers)))
    np.add.at(sums, log.group, np.where(never, policy.probability, 0.0))
    shares: Array = sums / len(log)
    return shares
