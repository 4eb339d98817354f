"""How often the intervals of `stagecast policy evaluate` hold the truth, on made-up decisions.

    uv run python -m benchmarks.policy_evaluation --runs 200

Every decision has a customer with two traits, four offers (one of them nothing) and a chance of an
order that depends on both; margins are log-normal, and offers cost something. The log draws offers
by a policy that prefers some. The truth of a policy is its expected margin over the same customers
and a hundred thousand others, by the known chances.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from campaigns.policy.decision_log import (
    DecisionLog,
    Policy,
    chosen_policy,
    constant_policy,
    uniform_policy,
)
from campaigns.policy.estimates import policy_value
from campaigns.policy.reward_model import expected_reward

OFFERS = ("nothing", "reminder", "voucher", "gift")
COSTS = np.array([0.0, 0.1, 3.0, 5.0])
MANY = 100_000
# decisions, chance of an order, spread of log margins, how much the log prefers some offers
CELLS = [
    (2_000, 0.10, 0.5, 0.5),
    (5_000, 0.05, 1.0, 1.0),
    (10_000, 0.02, 1.0, 1.0),
    (10_000, 0.10, 1.5, 1.5),
    (50_000, 0.01, 1.0, 1.0),
]


@dataclass(frozen=True)
class Customers:
    """Traits of made-up customers, and expected margin of every offer to each of them."""

    traits: np.ndarray
    chance: np.ndarray
    expected: np.ndarray


def customers(count: int, rate: float, spread: float, rng: np.random.Generator) -> Customers:
    """Customers who react differently to the offers."""
    traits = rng.normal(size=(count, 2))
    lift = np.stack([traits[:, 0] * 0, 0.2 + 0.1 * traits[:, 0], 0.5 - 0.4 * traits[:, 1],
                     0.4 + 0.4 * traits[:, 0]], axis=1)  # fmt: skip
    odds = rate / (1 - rate) * np.exp(0.5 * traits[:, :1] + lift)
    chance = odds / (1 + odds)
    margin = 40 * np.exp(spread**2 / 2)
    return Customers(traits, chance, chance * margin - COSTS)


def preferences(people: Customers, strength: float) -> np.ndarray:
    """Probability of every offer under a policy that prefers some (decisions x offers)."""
    scores = np.stack([people.traits[:, 0] * 0, people.traits[:, 0], -people.traits[:, 1],
                       people.traits.sum(axis=1)], axis=1)  # fmt: skip
    weights = np.exp(strength * scores)
    return 0.8 * weights / weights.sum(axis=1, keepdims=True) + 0.2 / len(OFFERS)


def drawn_log(people: Customers, strength: float, spread: float, seed: int) -> DecisionLog:
    """Decisions of one campaign."""
    rng = np.random.default_rng([seed, 2])
    probability, count = preferences(people, strength), len(people.traits)
    offer = (probability.cumsum(axis=1) < rng.random((count, 1))).sum(axis=1)
    row = np.arange(count)
    bought = rng.random(count) < people.chance[row, offer]
    margin = bought * 40 * rng.lognormal(0, spread, count) - COSTS[offer]
    return DecisionLog(
        OFFERS, offer, probability[row, offer], margin, ("all",), np.zeros(count, dtype=int),
        people.traits, row,
    )  # fmt: skip


def policies(log: DecisionLog, people: Customers) -> dict[str, tuple[Policy, np.ndarray]]:
    """Policies of a log, and the probability of every offer to the many customers of the truth."""
    best = people.expected.argmax(axis=1)
    eye = np.eye(len(OFFERS))
    return {
        "uniform": (uniform_policy(log), np.full_like(people.expected, 1 / len(OFFERS))),
        "always voucher": (constant_policy(log, 2), np.tile(eye[2], (len(best), 1))),
        "best offer": (chosen_policy("best offer", log, best[: len(log)]), eye[best]),
    }


def one_cell(cell: tuple[int, float, float, float], runs: int, seed: int) -> list[dict[str, Any]]:
    """Shares of runs in which an interval held the truth, by policy."""
    count, rate, spread, strength = cell
    covering: dict[str, list[bool]] = {}
    answered: dict[str, int] = {}
    for run in range(runs):
        rng = np.random.default_rng([seed, run, 1])
        people = customers(MANY + count, rate, spread, rng)
        first = Customers(people.traits[:count], people.chance[:count], people.expected[:count])
        log = drawn_log(first, strength, spread, seed=seed + run)
        expected = expected_reward(log, seed=seed + run)
        for name, (policy, everywhere) in policies(log, people).items():
            truth = float((everywhere * people.expected).sum(axis=1).mean())
            value = policy_value(log, policy, expected)
            answered[name] = answered.get(name, 0) + (not value.unknown)
            if not value.unknown:
                covering.setdefault(name, []).append(value.low <= truth <= value.high)
    named = {"decisions": count, "rate": rate, "spread": spread, "strength": strength}
    return [
        {
            **named,
            "policy": name,
            "answered": answered[name] / runs,
            "covered": _mean(covering.get(name)),
        }
        for name in answered
    ]


def _mean(values: list[bool] | None) -> float | None:
    return float(np.mean(values)) if values else None


def main() -> None:
    """Print one line per cell and policy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results = []
    for cell in CELLS:
        for result in one_cell(cell, arguments.runs, arguments.seed):
            results.append(result)
            print(" | ".join(str(value) for value in result.values()), flush=True)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
