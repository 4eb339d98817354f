"""A policy learned from one randomised promotion, judged on customers that it never saw.

    uv run python -m benchmarks.promotion promotion_rct_train.parquet --repetitions 2

The data (not shipped) are a public experiment: `Promotion` says yes or no, `purchase` 0 or 1, V1 to
V7 are facts about the customer. A purchase earns 10, a promotion costs .15, so whoever buys more
often by over .015 gets it. The customers are cut into five parts; for each part the others teach
the policy. Per policy, over all customers whom it would send the promotion to:

- IRR: share of buyers with the promotion less the share without;
- NIR: 10 x buyers with the promotion - .15 x promotions - 10 x buyers without, scaled to half of
  the customers, which is the size of the test half that is not in the file;
- share: of the customers, who get it.

Peers: everybody, and the difference of two logistic regressions with one column a level.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from models.fitting.offer_effects import OfferExperiment, fit_offer_effects
from models.fitting.response_models import person_folds

PURCHASE, PROMOTION = 10.0, 0.15
FACTS = [f"V{number}" for number in range(1, 8)]
LEVELS = ["V1", "V4", "V5", "V6", "V7"]  # whole numbers from 0 to 4


def figures(chosen: np.ndarray, treated: np.ndarray, bought: np.ndarray) -> dict[str, float]:
    """IRR, NIR and the share of customers of a policy."""
    with_it, without = chosen & treated, chosen & ~treated
    earned = PURCHASE * bought[with_it].sum() - PROMOTION * with_it.sum()
    lost = PURCHASE * bought[without].sum()
    return {
        "IRR": float(bought[with_it].mean() - bought[without].mean()),
        "NIR": float(earned - lost) / 2,
        "share": float(chosen.mean()),
    }


def two_regressions(
    facts: pd.DataFrame, treated: np.ndarray, bought: np.ndarray, unseen: pd.DataFrame
) -> np.ndarray:
    """Effect on unseen customers: difference of two logistic regressions."""
    chances = []
    for arm in (False, True):
        columns = make_column_transformer(
            (OneHotEncoder(), LEVELS), (StandardScaler(), ["V2", "V3"])
        )
        model = make_pipeline(columns, LogisticRegression(max_iter=1000))
        model.fit(facts[treated == arm], bought[treated == arm])
        chances.append(model.predict_proba(unseen)[:, 1])
    return np.asarray(chances[1] - chances[0])


def one_repetition(table: pd.DataFrame, seed: int) -> dict[str, dict[str, float]]:
    """Figures of every policy; each customer is judged by policies that never saw them."""
    facts = table[FACTS].astype(float)
    treated = (table["Promotion"] == "Yes").to_numpy()
    bought = table["purchase"].to_numpy(dtype=float)
    people = np.arange(len(table))
    experiment = OfferExperiment(
        facts, ("promotion",), treated.astype(float), bought, np.full((len(table), 2), 0.5), people
    )
    learned = fit_offer_effects(experiment, seed=seed)["promotion"].out_of_fold
    regressions = np.zeros(len(table))
    folds = person_folds(people, seed=seed + 2)  # those of the learner
    for fold in np.unique(folds):
        known, held_out = folds != fold, folds == fold
        regressions[held_out] = two_regressions(
            facts[known], treated[known], bought[known], facts[held_out]
        )
    worth = PROMOTION / PURCHASE
    return {
        "learned": figures(learned > worth, treated, bought),
        "two logistic regressions": figures(regressions > worth, treated, bought),
        "everybody": figures(np.ones(len(table), dtype=bool), treated, bought),
    }


def main() -> None:
    """Print the figures of every repetition, and their medians as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--repetitions", type=int, default=2)
    arguments = parser.parse_args()
    table = pd.read_parquet(arguments.file)
    results = []
    for seed in range(arguments.repetitions):
        results.append(one_repetition(table, seed))
        print(f"seed {seed}: {json.dumps(results[-1])}", flush=True)
    medians = {
        policy: {
            name: round(float(np.median([result[policy][name] for result in results])), 4)
            for name in results[0][policy]
        }
        for policy in results[0]
    }
    print(json.dumps(medians, indent=1))


if __name__ == "__main__":
    main()
