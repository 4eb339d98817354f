"""What learned offers earn on simulated customers, where the effect of every offer is known.

    uv run python -m benchmarks.offers --customers 20000 --seeds 3

Five past sends of the reference scenario drew one of three offers, or nothing, for each customer on
their lists, with logged probabilities. `models.fitting.offer_effects` learns from them. On the list
of a sixth send, policies are compared by the true expected margin against nothing:

- oracle: the best offer of each customer by the true effects, hidden traits included;
- learned: the best offer by the learned effects, or nothing;
- single: the best of the policies that send one offer to customers with a positive learned value;
- all: the best single offer for all customers, or nothing;
- propensity: that offer for as many customers, those most likely to order.

`share` is (learned - all) / (oracle - all); `reach` is the same for an oracle that knows the
effects without the hidden traits. Then `campaigns.policy` estimates the learned policy's margin on
further logs of the sixth send; `covered` is the share of them with the truth in the interval.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pandas as pd

from benchmarks.sends import COVARIATES, sends, shared
from campaigns.policy.decision_log import DecisionLog, chosen_policy
from campaigns.policy.estimates import policy_value
from campaigns.policy.reward_model import expected_reward
from models.fitting.offer_effects import OfferExperiment, fit_offer_effects
from models.scorer.uplift import uplift_effect
from simulator.scenario import ScenarioOffer

LAST = "C6-autumn-sale"
MARGIN = 0.4
OFFERS = shared(0).scenario.offers
NAMES = tuple(offer.name for offer in OFFERS)


def uplifts(people: pd.DataFrame) -> np.ndarray:
    """True effects, customers x offers."""
    return people[[f"uplift_{name}" for name in NAMES]].to_numpy(dtype=float)


def log_of(
    people: pd.DataFrame, chances: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """What was done to each customer (0: nothing), and whether they ordered.

    `chances` are those of nothing (first column) and of each offer, customers x (offers + 1).
    """
    draws = rng.random((2, len(people)))
    done = (chances.cumsum(axis=1)[:, :-1] <= draws[0][:, None]).sum(axis=1)
    with_nothing = np.column_stack([np.zeros(len(people)), uplifts(people)])
    chance = people["base"].to_numpy(dtype=float) + with_nothing[np.arange(len(people)), done]
    return done, (draws[1] < chance).astype(float)


def margins(base: np.ndarray, effects: np.ndarray, order_value: np.ndarray) -> np.ndarray:
    """Expected margin of nothing (0) and of each offer against nothing, customers x (offers + 1).

    Margin of the added orders, less the discount on all orders and the cost of the contact.
    """
    columns = [np.zeros(len(base))]
    for number, offer in enumerate(OFFERS):
        added = effects[:, number] * order_value * MARGIN
        given = offer.discount * (base + effects[:, number]) * order_value
        columns.append(added - given - offer.cost)
    return np.column_stack(columns)


def uniform_chances(count: int, control: float) -> np.ndarray:
    """A control share, and every offer equally often."""
    offers = np.full((count, len(OFFERS)), (1 - control) / len(OFFERS))
    return np.column_stack([np.full(count, control), offers])


def experiment(people: pd.DataFrame, chances: np.ndarray, seed: int) -> OfferExperiment:
    """Decisions of past sends as input of the learner."""
    done, ordered = log_of(people, chances, np.random.default_rng([seed, 24]))
    covariates = people[COVARIATES].astype(float).reset_index(drop=True)
    customer = people["customer"].to_numpy()
    return OfferExperiment(covariates, NAMES, done.astype(float), ordered, chances, customer)


def true_margin(people: pd.DataFrame) -> np.ndarray:
    """True expected margin of nothing and every offer against nothing."""
    base, value = (people[name].to_numpy(dtype=float) for name in ("base", "order_value"))
    return margins(base, uplifts(people), value)


def estimated_margin(people: pd.DataFrame, effects: np.ndarray, base: float) -> np.ndarray:
    """Expected margin by learned effects; the base response is the mean one of nothing."""
    value, count = people["order_value"].to_numpy(dtype=float), len(people)
    return margins(np.full(count, base), effects, value)


def value_of(choice: np.ndarray, truth: np.ndarray) -> float:
    """True margin per customer of a choice of offers (0: nothing)."""
    return float(truth[np.arange(len(truth)), choice].mean())


def response_model(past: OfferExperiment, frame: pd.DataFrame) -> np.ndarray:
    """Chance of an order after any message, which says nothing of what the message changes."""
    treated = np.flatnonzero(past.offer > 0)
    data = lgb.Dataset(past.covariates.iloc[treated], past.outcome[treated])
    options = {"objective": "binary", "learning_rate": 0.05, "num_leaves": 15, "num_threads": 1}
    booster = lgb.train({**options, "verbosity": -1}, data, 60)
    return np.asarray(booster.predict(frame))


def one_seed(seed: int, customers: int, control: float, threads: int) -> dict[str, Any]:
    """Values of all policies on the last send."""
    start = time.process_time()
    made = sends(seed, customers)
    blind = sends(
        seed,
        customers,
        [offer.model_copy(update={"deals": 0.0, "sd": _seen_sd(offer)}) for offer in OFFERS],
    )
    past = pd.concat([made[name].people for name in made if name != LAST], ignore_index=True)
    people = made[LAST].people
    truth = true_margin(people)
    seen = true_margin(
        people.assign(**{f"uplift_{n}": blind[LAST].people[f"uplift_{n}"] for n in NAMES})
    )
    learned_from = experiment(past, uniform_chances(len(past), control), seed)
    learned = fit_offer_effects(learned_from, seed=seed, threads=threads)
    frame = people[COVARIATES].astype(float)
    effects = np.column_stack([uplift_effect(learned[name].part, frame) for name in NAMES])
    base = float(learned_from.outcome[learned_from.offer == 0].mean())
    estimated = estimated_margin(people, effects, base)
    everybody = [value_of(np.full(len(people), k), truth) for k in range(len(OFFERS) + 1)]
    single = [np.where(estimated[:, k] > 0, k, 0) for k in range(1, len(OFFERS) + 1)]
    best = int(np.argmax([value_of(choice, truth) for choice in single]))
    addressed = int((single[best] > 0).sum())
    likely = np.argsort(-response_model(learned_from, frame), kind="stable")[:addressed]
    by_propensity = np.zeros(len(people), dtype=int)
    by_propensity[likely] = best + 1
    choice = np.argmax(estimated, axis=1)
    values = {
        "oracle": value_of(np.argmax(truth, axis=1), truth),
        "oracle of the observable": value_of(np.argmax(seen, axis=1), truth),
        "learned": value_of(choice, truth),
        "single": value_of(single[best], truth),
        "all": max(everybody),
        "propensity": value_of(by_propensity, truth),
    }
    gain = values["oracle"] - values["all"]
    return {
        "seed": seed,
        "learned_from": len(past),
        "ranked": len(people),
        "values": values,
        "share": (values["learned"] - values["all"]) / gain,
        "reach": (values["oracle of the observable"] - values["all"]) / gain,
        "means": {n: [learned[n].mean, learned[n].low, learned[n].high] for n in NAMES},
        "covered": covered(people, choice, truth, seed=seed, control=control),
        "processor_seconds": time.process_time() - start,
    }


def _seen_sd(offer: ScenarioOffer) -> float:
    """Spread of the effect that the observable traits explain."""
    seen = offer.age**2 + offer.distance**2
    return offer.sd * float(np.sqrt(seen / (seen + offer.deals**2)))


def covered(
    people: pd.DataFrame, choice: np.ndarray, truth: np.ndarray, *, seed: int, control: float
) -> list[bool]:
    """Whether the interval of the learned policy's gain over nothing holds the truth."""
    held = []
    base, value = (people[name].to_numpy(dtype=float) for name in ("base", "order_value"))
    nothing_value = float((base * value * MARGIN).mean())
    for repetition in range(20):
        rng = np.random.default_rng([seed, repetition, 7])
        chances = uniform_chances(len(people), control)
        done, ordered = log_of(people, chances, rng)
        discount = np.array([0.0, *(offer.discount for offer in OFFERS)])[done]
        cost = np.array([0.0, *(offer.cost for offer in OFFERS)])[done]
        reward = ordered * value * (MARGIN - discount) - cost
        rows = np.arange(len(people))
        log = DecisionLog(
            ("nothing", *NAMES), done, chances[rows, done], reward, ("all",),
            np.zeros(len(people), dtype=int), people[COVARIATES].to_numpy(dtype=float), rows,
        )  # fmt: skip
        estimate = policy_value(
            log, chosen_policy("learned", log, choice), expected_reward(log, seed=repetition)
        )
        held.append(estimate.low <= value_of(choice, truth) + nothing_value <= estimate.high)
    return held


def main() -> None:
    """Print one line per seed, then the medians as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--control", type=float, default=0.25)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results = []
    for seed in range(1, arguments.seeds + 1):
        result = one_seed(seed, arguments.customers, arguments.control, arguments.threads)
        results.append(result)
        shown = {name: round(value, 4) for name, value in result["values"].items()}
        print(
            f"seed {seed}: share {result['share']:.2f} of {result['reach']:.2f}; {shown}",
            flush=True,
        )
    summary = {
        "median_share": float(np.median([result["share"] for result in results])),
        "median_reach": float(np.median([result["reach"] for result in results])),
        "median_values": {
            name: float(np.median([result["values"][name] for result in results]))
            for name in results[0]["values"]
        },
        "covered": float(np.mean([held for result in results for held in result["covered"]])),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "processor_seconds": time.process_time(),
    }
    print(json.dumps(summary, indent=1))
    if arguments.json is not None:
        content = {"arguments": {k: str(v) for k, v in vars(arguments).items()}, **summary}
        content["seeds"] = results
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
