"""What uplift ranking reaches on the simulator's reference scenario, where effects are known.

    uv run python -m benchmarks.uplift --customers 100000 --seeds 10 --json result.json

For every seed: an X-learner (`models.fitting.uplift_learner`) learns from five sends and ranks the
people of the
sixth, made later. Compared are the Qini of that ranking by the true effects with the Qini of
E[effect | observed history] (a regression of the true effects of an independent sample), and what
both that ranking and one by churn risk earn at the same budget. Then the interval of
`stagecast measure` is tried against the truth in many repetitions.
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

from benchmarks.sends import COVARIATES, Send, sends
from campaigns.measurement import CampaignEntries, campaign_effects
from models.fitting.uplift_curves import true_qini
from models.fitting.uplift_learner import Experiment, fit_effect
from models.scorer.uplift import uplift_effect

LAST = "C6-autumn-sale"
CHURN_FROM = "C4-summer-sale"  # its 13 weeks have passed when the last send goes out
SHARE = 0.3  # of the list is addressed: the budget
MARGIN, CONTACT = 0.4, 0.05
INDEPENDENT = 10**6  # seed of the independent sample
REPEATED = 2 * 10**6  # first seed of the repetitions
OPTIONS = {"learning_rate": 0.05, "num_leaves": 63, "min_data_in_leaf": 100, "verbosity": -1}


def inputs(people: pd.DataFrame) -> pd.DataFrame:
    return people[COVARIATES].astype(float)


def experiment(people: pd.DataFrame) -> Experiment:
    return Experiment(
        inputs(people),
        people["treatment"].to_numpy(dtype=float),
        people["responded"].to_numpy(dtype=float),
        people["propensity"].to_numpy(dtype=float),
        people["customer"].to_numpy(),
    )


def expected_effect(customers: int, threads: int) -> tuple[lgb.Booster, int]:
    """E[effect | observed history], from the true effects of an independent sample."""
    people = sends(INDEPENDENT, customers)[LAST].people
    data = lgb.Dataset(inputs(people), people["uplift"])
    options = {**OPTIONS, "objective": "regression", "num_threads": threads}
    return lgb.train(options, data, 300), len(people)


def churn_risk(made: dict[str, Send], threads: int) -> lgb.Booster:
    """Chance of no order in 13 weeks, learned from those left alone in an earlier send."""
    people = made[CHURN_FROM].people
    people = people[people["treatment"] == 0]
    options = {**OPTIONS, "num_leaves": 15, "objective": "binary", "num_threads": threads}
    return lgb.train(options, lgb.Dataset(inputs(people), people["silent"]), 60)


def auc(score: Any, truth: Any) -> float:
    ranks = pd.Series(score).rank().to_numpy()
    n = int(truth.sum())
    return float((ranks[truth > 0].sum() - n * (n + 1) / 2) / (n * (len(truth) - n)))


def earned(score: Any, people: pd.DataFrame) -> float:
    """Margin that the messages really add, less their cost, for the best `SHARE` of the list."""
    best = np.argsort(-score, kind="stable")[: int(SHARE * len(people))]
    chosen = people.iloc[best]
    return float((chosen["uplift"] * chosen["order_value"]).sum() * MARGIN - CONTACT * len(best))


def one_seed(seed: int, customers: int, expected: lgb.Booster, threads: int) -> dict[str, Any]:
    start = time.process_time()
    made = sends(seed, customers)
    past = [made[name].people for name in made if name != LAST]
    people = made[LAST].people
    data = experiment(pd.concat(past, ignore_index=True))
    part = fit_effect(data, seed=seed, threads=threads)
    scores = {
        "uplift": uplift_effect(part, inputs(people)),
        "expected effect": np.asarray(expected.predict(inputs(people))),
        "churn risk": np.asarray(churn_risk(made, threads).predict(inputs(people))),
        "random": np.random.default_rng(seed).random(len(people)),
    }
    true = people["uplift"].to_numpy(dtype=float)
    qini = {name: true_qini(score, true) for name, score in scores.items()}
    control = (people["treatment"] == 0).to_numpy()
    silent = people["silent"].to_numpy()
    return {
        "seed": seed,
        "learned_from": len(data.outcome),
        "ranked": len(people),
        "share_of_qini": qini["uplift"] / qini["expected effect"],
        "qini": qini,
        "earned": {name: earned(score, people) for name, score in scores.items()},
        "churn_auc": auc(scores["churn risk"][control], silent[control]),
        "processor_seconds": time.process_time() - start,
    }


def covered(repetitions: int, customers: int) -> dict[str, Any]:
    """How often the 95 % interval of `stagecast measure` holds the true effect of a send."""
    hits = {"response": 0, "revenue": 0}
    for number in range(repetitions):
        people = sends(REPEATED + number, customers)[LAST].people
        truth = {
            "response": people["uplift"].mean(),
            "revenue": (people["uplift"] * people["order_value"]).mean(),
        }
        rows = pd.DataFrame(
            {
                "campaign_id": LAST,
                "entered_at": pd.Timestamp("2024-10-01"),
                "arm": np.where(people["treatment"] == 1, "treatment", "control"),
                "channel": "email",
                "stage": "all",
                "control_share": 1 - people["propensity"],
                "matures_at": pd.Timestamp("2024-12-01"),
                "response": people["responded"].astype(float),
                "revenue": people["spend"],
                "margin": people["spend"] * MARGIN,
            }
        )
        found = campaign_effects(
            CampaignEntries(rows, pd.Timestamp("2024-12-31")), seed=number, dimensions=()
        )
        found = found[found["by"] == "all"].set_index("outcome")
        for outcome, true in truth.items():
            row = found.loc[outcome]
            hits[outcome] += int(row["low"] <= true <= row["high"])
    return {
        "repetitions": repetitions,
        "customers": customers,
        **{outcome: count / repetitions for outcome, count in hits.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sample", type=int, default=100_000, help="independent sample")
    parser.add_argument("--repetitions", type=int, default=20, help="of the measurement")
    parser.add_argument("--measured", type=int, default=10_000, help="customers a repetition")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    expected, listed = expected_effect(asked.sample, asked.threads)
    print(f"E[effect | history] from {asked.sample:,} customers, {listed:,} of them on the list")
    seeds = []
    for seed in range(1, asked.seeds + 1):
        seeds.append(one_seed(seed, asked.customers, expected, asked.threads))
        told = seeds[-1]
        print(
            f"seed {seed}: {told['share_of_qini']:.1%} of the Qini; earned by uplift "
            f"{told['earned']['uplift']:,.0f}, by churn risk {told['earned']['churn risk']:,.0f}, "
            f"at random {told['earned']['random']:,.0f}",
            flush=True,
        )
    cover = covered(asked.repetitions, asked.measured)
    shares = [each["share_of_qini"] for each in seeds]
    more = sum(each["earned"]["uplift"] > each["earned"]["churn risk"] for each in seeds)
    result = {
        "arguments": {k: str(v) for k, v in vars(asked).items()},
        "median_share_of_qini": float(np.median(shares)),
        "lowest_share_of_qini": min(shares),
        "uplift_earns_more_in_seeds": f"{more} of {len(seeds)}",
        "median_earned": {
            name: float(np.median([each["earned"][name] for each in seeds]))
            for name in seeds[0]["earned"]
        },
        "median_churn_auc": float(np.median([each["churn_auc"] for each in seeds])),
        "coverage": cover,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "processor_seconds": time.process_time(),
        "seeds": seeds,
    }
    print(json.dumps({k: v for k, v in result.items() if k != "seeds"}, indent=1))
    if asked.json is not None:
        asked.json.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
