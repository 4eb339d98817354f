"""What a plan's offers would have earned in past decisions of the campaign, against nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd

from campaigns.measurement import COVARIATES
from campaigns.playbook_parts import NOTHING
from campaigns.policy.decision_log import DecisionLog, Policy, constant_policy
from campaigns.policy.estimates import PolicyValue, policy_value
from campaigns.policy.reward_model import expected_reward
from features.arrays import Array


@dataclass(frozen=True)
class PlanValue:
    """Margin that a plan's offers would have added to past decisions of one campaign.

    Attributes
    ----------
    campaign
        Its id.
    decisions
        Past decisions, with a complete measurement period.
    over_nothing, over_past
        Gain a person over nothing for everybody, and over what was done in these decisions
        (`campaigns.policy.estimates.PolicyValue.gain`).
    """

    campaign: str
    decisions: int
    over_nothing: PolicyValue
    over_past: PolicyValue


def plan_value(
    campaign: str, decisions: pd.DataFrame, members: pd.DataFrame, *, seed: int
) -> PlanValue:
    """Estimate what the offers of a plan would have earned in past decisions.

    The plan is taken as its shares of offers in each stage, among the offers that each person could
    get; in a stage without members it sends nothing.

    Parameters
    ----------
    campaign
        A campaign with ``offers``.
    decisions
        Its past decisions (`campaigns.policy.own_decisions.own_decisions`), at least one.
    members
        Planned members of the treatment arm: ``stage`` and ``offer_name``.
    seed
        Draws the folds of the reward model.
    """
    chances = pd.DataFrame([json.loads(text) for text in decisions["propensities"]]).fillna(0.0)
    offers = tuple(sorted({NOTHING, *chances.columns}))
    chances = chances.reindex(columns=list(offers), fill_value=0.0)
    stages = decisions["stage"].astype(object).fillna("unknown").astype(str)
    groups = tuple(sorted(stages.unique()))
    scores = decisions.reindex(columns=[name for name in COVARIATES if name in decisions])
    log = DecisionLog(
        offers=offers,
        offer=pd.Index(offers).get_indexer(decisions["offer"]),
        propensity=decisions["propensity"].to_numpy(dtype=float),
        reward=decisions["reward"].to_numpy(dtype=float),
        groups=groups,
        group=pd.Index(groups).get_indexer(stages),
        context=scores.fillna(scores.mean()).fillna(0.0).to_numpy(dtype=float),
        person=decisions["person"].to_numpy(),
    )
    plan = Policy("plan", _plan_shares(stages, chances, members))
    expected = expected_reward(log, seed=seed)
    nothing = constant_policy(log, offers.index(NOTHING))
    return PlanValue(
        campaign,
        len(log),
        policy_value(log, plan, expected, against=nothing),
        policy_value(log, plan, expected),
    )


def _plan_shares(stages: pd.Series, chances: pd.DataFrame, members: pd.DataFrame) -> Array:
    """Probability of each offer in each decision, if it were made as in the plan."""
    shares = pd.crosstab(members["stage"].astype(str), members["offer_name"].astype(str))
    shares = shares.reindex(index=pd.Index(stages), columns=chances.columns, fill_value=0)
    could_get = chances.to_numpy(dtype=float) > 0
    wanted = np.where(could_get, shares.to_numpy(dtype=float), 0.0)
    total = wanted.sum(axis=1, keepdims=True)
    nothing = (chances.columns == NOTHING).astype(float)
    return np.where(total > 0, wanted / np.maximum(total, 1e-300), nothing)
