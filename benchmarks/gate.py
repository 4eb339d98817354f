"""How often the gate of a promotion is right, on predictions of known quality.

    uv run python -m benchmarks.gate --runs 50 --champions 30 --customers 10000,1000
    uv run python -m benchmarks.gate --runs 400 --champions 200 --json result.json

Each run draws customers with true chances and amounts, outcomes on three snapshots (windows that
overlap: outcomes of a customer are alike), and two scorers that err in the logit or the logarithm
of the truth. Equal scorers err by the same spread, independently of each other; the spread makes an
equal refresh of 1,000 customers as uncertain as the measured one (standard error .8 % of the loss).
A better scorer errs by a smaller spread than the champion, so that its expected loss is lower by a
given share. All verdicts come from `models.registry.promotion.compare_outputs` and
`decide_promotion`. Worse scorers are drawn for small sizes alone: the intervals of guards that are
far off take seconds a draw with many customers.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, softmax
from scipy.stats import norm

from features.arrays import Array
from features.table.prediction_targets import TASK_NAMES, TaskName
from models.registry.promotion import Decision, GateOutputs, compare_outputs, decide_promotion

STAGES = ["new", "active", "quiet", "lapsed"]
SNAPSHOTS, SEEN = 3, 0.9  # snapshots, and the share of customers at each one
ALIKE = 0.6  # correlation of a customer's outcomes, and of a scorer's errors, over snapshots
SPREAD, LEVEL = 0.25, 0.02  # of the errors of a scorer by customer, and of its level
AMOUNT = 1.0  # spread of log amounts
LOOKS = 10
SIZES = (500, 1_000, 2_230, 10_000)
MOST_FOR_WORSE = 2_500  # customers above which no worse scorer is drawn


def normals(customers: int, random: np.random.Generator, width: int = 1) -> Array:
    """Snapshots x customers x width: normal, alike within a customer."""
    own = random.standard_normal((1, customers, width), dtype=np.float32)
    other = random.standard_normal((SNAPSHOTS, customers, width), dtype=np.float32)
    return np.asarray(ALIKE**0.5 * own + (1 - ALIKE) ** 0.5 * other)


def true_scores(task: TaskName, customers: int, random: np.random.Generator) -> Array:
    """Logits (churn, stage, transition) or logarithms of expected spend, by snapshot."""
    width = {"churn": 1, "clv": 1, "stage": len(STAGES), "transition": len(STAGES) + 1}[task]
    spread = {"churn": 1.5, "clv": 1.0, "stage": 2.0, "transition": 1.5}[task]
    return spread * normals(customers, random, width)


def outputs_of(task: TaskName, scores: Array) -> dict[str, Array]:
    """Outputs of a scorer at one snapshot."""
    if task == "churn":
        return {"p_churn": expit(scores[:, 0])}
    if task == "clv":
        return {"clv": np.exp(scores[:, 0])}
    return {"probabilities": softmax(scores, axis=1)}


def labels_of(task: TaskName, scores: Array, chance: Array, random: np.random.Generator) -> Any:
    """Label columns of one snapshot; `chance` is uniform, and alike over snapshots."""
    if task == "churn":
        return {"no_purchase": (chance < expit(scores[:, 0])).astype(float)}
    if task == "clv":
        buys = expit(scores[:, 0])
        amounts = np.exp(random.normal(-(AMOUNT**2) / 2, AMOUNT, len(chance)))
        return {"spend": (chance < buys) * amounts * np.exp(scores[:, 0]) / buys}
    shares = np.cumsum(softmax(scores, axis=1), axis=1)
    code = (chance[:, None] > shares[:, :-1]).sum(axis=1)
    if task == "stage":
        return {"truth_code": code}
    moved = code < len(STAGES)
    return {"next_code": np.where(moved, code, 0), "period": moved.astype(int)}


def errors_of(
    truth: Array, spread: float, random: np.random.Generator, *, amounts: bool = False
) -> Array:
    """Scores of a scorer that errs by a spread; amounts stay right in the mean."""
    error = spread * normals(truth.shape[1], random, truth.shape[2])
    shift = -(spread**2) / 2 if amounts else 0.0
    return truth + error + shift + LEVEL * random.normal()


@cache
def spread_of(task: TaskName, better: float) -> float:
    """Spread of a champion with a loss that a scorer of `SPREAD` undercuts by a share.

    Found by bisection on 60,000 customers with the expected loss: under the truth, not outcomes.
    """
    low, high = SPREAD, 4.0
    target = expected_loss(task, SPREAD) / (1 - better)
    for _ in range(25):
        middle = (low + high) / 2
        low, high = (middle, high) if expected_loss(task, middle) < target else (low, middle)
    return (low + high) / 2


@cache
def expected_loss(task: TaskName, spread: float) -> float:
    """Mean loss of a scorer under the truth."""
    random = np.random.default_rng(7)
    truth = true_scores(task, 20_000, random)
    guess = errors_of(truth, spread, random, amounts=task == "clv")
    truth, guess = truth.reshape(-1, truth.shape[2]), guess.reshape(-1, truth.shape[2])
    if task == "churn":
        p, q = expit(truth[:, 0]), expit(guess[:, 0])
        return float(-np.mean(p * np.log(q) + (1 - p) * np.log(1 - q)))
    if task == "clv":
        labels = labels_of("clv", truth, random.random(len(truth)), random)["spend"]
        # The share of the deviance that does not depend on the guess comes from drawn amounts.
        scale, mean = labels.mean(), np.exp(truth[:, 0])
        guess_mean = np.exp(guess[:, 0]) / scale
        constant = -4.0 * np.mean(np.sqrt(labels / scale))
        return float(
            2.0 * (constant + np.mean(2.0 * mean / scale / np.sqrt(guess_mean)))
            + 4.0 * np.mean(np.sqrt(guess_mean))
        )
    return float(-np.mean(np.sum(softmax(truth, axis=1) * np.log(softmax(guess, axis=1)), axis=1)))


def gates_of(
    task: TaskName, customers: int, spreads: tuple[float, float], random: np.random.Generator
) -> list[GateOutputs]:
    """Rows and outputs of challenger and champion on each snapshot."""
    truth = true_scores(task, customers, random)
    new, old = (errors_of(truth, each, random, amounts=task == "clv") for each in spreads)
    chance = norm.cdf(normals(customers, random)[:, :, 0])
    stage = random.integers(0, len(STAGES), customers)
    gates = []
    for at in range(SNAPSHOTS):
        seen = np.flatnonzero(random.random(customers) < SEEN)
        labels = labels_of(task, truth[at, seen], chance[at, seen], random)
        rows = pd.DataFrame({"customer_id": seen, "stage__code": stage[seen], **labels})
        gates.append(
            GateOutputs(rows, outputs_of(task, new[at, seen]), outputs_of(task, old[at, seen]))
        )
    return gates


def decide(
    customers: int, better: dict[TaskName, float], *, same_recipe: bool, look: int, seed: int
) -> Decision:
    """The gate's decision on one draw; `better` says by which share the challenger is."""
    random = np.random.default_rng(seed)
    compared = []
    for task in TASK_NAMES:
        share = better.get(task, 0.0)
        other = spread_of(task, abs(share)) if share else SPREAD
        spreads = (SPREAD, other) if share >= 0 else (other, SPREAD)
        gates = gates_of(task, customers, spreads, random)
        compared += compare_outputs(task, gates, STAGES, seed=seed)
    return decide_promotion(compared, same_recipe=same_recipe, look=look)


def accepted_share(
    customers: int, better: dict[TaskName, float], *, same_recipe: bool, look: int, runs: int
) -> float:
    """Share of draws in which the challenger is accepted."""
    verdicts = [
        decide(customers, better, same_recipe=same_recipe, look=look, seed=run).accepted
        for run in range(runs)
    ]
    return float(np.mean(verdicts))


def accepted_in_looks(customers: int, runs: int) -> float:
    """Share of champions with any of ten equal scorers of other recipes accepted."""
    seeds = np.random.SeedSequence(5).generate_state(runs)
    verdicts = [
        any(
            decide(customers, {}, same_recipe=False, look=look, seed=int(seed) + look).accepted
            for look in range(1, LOOKS + 1)
        )
        for seed in seeds
    ]
    return float(np.mean(verdicts))


def all_tasks(share: float) -> dict[TaskName, float]:
    """A challenger better by a share at every task; negative: worse."""
    return dict.fromkeys(TASK_NAMES, share)


def characteristics(sizes: Sequence[int], runs: int, champions: int) -> list[dict[str, Any]]:
    """One row a size: shares of accepted challengers by kind, printed as they come."""
    results = []
    for customers in sizes:
        start = time.process_time()
        row: dict[str, Any] = {"customers": customers}
        print(f"{customers:,} customers, {runs} runs, {champions} champions", flush=True)
        cases: list[tuple[str, float | dict[TaskName, float], bool, int]] = [
            ("refresh, equal", 0.0, True, 1),
            ("new recipe, 2 % better, first look", 0.02, False, 1),
            ("new recipe, 2 % better, tenth look", 0.02, False, LOOKS),
            ("new recipe, 2 % better at churn alone", {"churn": 0.02}, False, 1),
        ]
        if customers <= MOST_FOR_WORSE:
            cases.append(("refresh, 5 % worse", -0.05, True, 1))
        for name, share, same, look in cases:
            better = share if isinstance(share, dict) else all_tasks(share)
            row[name] = accepted_share(customers, better, same_recipe=same, look=look, runs=runs)
            print(f"  {name:<40} {row[name]:6.1%}", flush=True)
        name = f"new recipe, equal, in {LOOKS} looks"
        row[name] = accepted_in_looks(customers, champions)
        row["processor_seconds"] = round(time.process_time() - start, 1)
        print(f"  {name:<40} {row[name]:6.1%}  ({row['processor_seconds']:.0f} s)", flush=True)
        results.append(row)
    return results


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--champions", type=int, default=100)
    parser.add_argument("--customers", default=",".join(map(str, SIZES)))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    sizes = [int(size) for size in arguments.customers.split(",")]
    results = characteristics(sizes, arguments.runs, arguments.champions)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
