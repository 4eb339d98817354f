"""Eligibility: who may enter a campaign, and the first reason why anybody may not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from campaigns.playbook import Playbook, StageSet
from campaigns.rules import BoolArray, Group, Moment, Rule, Text, describe, holds


@dataclass(frozen=True)
class Gate:
    """One test that every member must pass.

    Attributes
    ----------
    reason
        What is said of those who fail it.
    passes
        Shape (customers,).
    """

    reason: str
    passes: BoolArray


def playbook_gates(
    playbook: Playbook, scores: pd.DataFrame, *, taxonomy: StageSet, moment: Moment
) -> list[Gate]:
    """The playbook's own tests: its stages, then each clause of its audience rule."""
    stages = playbook.addressed(taxonomy)
    named = f"not in stage {' or '.join(stages)}" if stages else "no such stage in the taxonomy"
    in_stage: BoolArray = scores["stage"].isin(stages).to_numpy(dtype=bool)
    return [Gate(named, in_stage), *rule_gates(playbook.audience, scores, moment)]


def rule_gates(rule: Rule, scores: pd.DataFrame, moment: Moment) -> list[Gate]:
    """A gate for each clause of an ``all``, else one for the whole rule."""
    clauses = rule.parts if isinstance(rule, Group) and rule.word == "all" else (rule,)
    return [
        Gate(f"rule not met: {describe(clause)}", holds(clause, scores, moment))
        for clause in clauses
    ]


def first_failure(gates: Sequence[Gate], n: int) -> Text:
    """Reason of the first gate that each customer fails.

    Returns
    -------
    ndarray of str, shape (n,)
        Empty text for those who pass all gates.
    """
    reason = np.full(n, "", dtype=object)
    for gate in gates:
        reason[(reason == "") & ~gate.passes] = gate.reason
    return reason
