"""Campaigns without an effect, and with a known one, through the product's own measurement.

    uv run python -m benchmarks.aa_tests --runs 1000 --json result.json
    uv run python -m benchmarks.aa_tests --daily 200

With --daily, a campaign without an effect is measured on each of 60 days while people enter; a
reader errs if any interval ever excludes zero, or any answer is ever a gain or a loss.

A cell is a size, a rate of response, a spread of amounts, and a way to draw the arms. In every run
the arms are drawn anew. Without an effect, an interval above zero is a false gain (nominally
2.5 %). With one, the interval must hold it (nominally 95 %). Results that the product does not
show ("too small") do not count; their share is printed.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from campaigns.holdout import CONTROL, TREATMENT
from campaigns.measurement import CampaignEntries, campaign_effects

AMOUNT_LOG_MEAN = 3.0
MORE_ORDERS = 0.3  # of a buyer, beside the first
OUTCOMES = ("response", "orders", "revenue", "revenue_per_order")
DAYS = 60
_TEST_SEED = 7_000_000  # the permutations share no random numbers with the data
# people, response, spread, control share; people enter over the days
DAILY_CELLS = [(300, 0.2, 1.5, 0.5), (3_000, 0.1, 1.5, 0.1), (6_000, 0.02, 1.5, 0.3)]
# size, response, spread of log amounts, planned control share of each wave, lift of the response
CELLS: dict[str, list[tuple[int, float, float, tuple[float, ...], float]]] = {
    "no effect": [
        (30, 0.2, 1.5, (0.5,), 0.0),
        (100, 0.2, 1.5, (0.5,), 0.0),
        (300, 0.2, 1.5, (0.1,), 0.0),
        (300, 0.2, 1.5, (0.5,), 0.0),
        (300, 0.02, 1.0, (0.1,), 0.0),
        (1_000, 0.05, 1.5, (0.1,), 0.0),
        (1_000, 0.01, 1.0, (0.1,), 0.0),
        (1_000, 0.1, 1.5, (0.3,), 0.0),
        (3_000, 0.005, 1.5, (0.5,), 0.0),
        (3_000, 0.05, 1.5, (0.2,), 0.0),
        (10_000, 0.05, 1.5, (0.1,), 0.0),
        (10_000, 0.005, 1.5, (0.5,), 0.0),
        (30_000, 0.02, 1.5, (0.1,), 0.0),
        (100_000, 0.005, 1.5, (0.1,), 0.0),
        (100_000, 0.2, 1.5, (0.1,), 0.0),
    ],
    "many waves, changing shares": [
        (1_000, 0.2, 1.5, (0.5, 0.1), 0.0),
        (3_000, 0.05, 1.5, (0.5, 0.1), 0.0),
        (3_000, 0.1, 1.5, (0.1,) * 30, 0.0),
        (10_000, 0.05, 1.5, (0.5, 0.3, 0.1), 0.0),
        (10_000, 0.05, 1.5, (0.5,) * 10 + (0.1,) * 50, 0.0),
    ],
    "an effect": [
        (1_000, 0.2, 1.5, (0.3,), 0.5),
        (3_000, 0.1, 1.5, (0.1,), 0.5),
        (10_000, 0.05, 1.5, (0.1,), 0.3),
        (10_000, 0.1, 1.5, (0.5, 0.1), 0.3),
        (100_000, 0.02, 1.5, (0.1,), 0.3),
    ],
}


def entries(
    people: int, rate: float, spread: float, shares: tuple[float, ...], lift: float, seed: int
) -> CampaignEntries:
    """Entries of one run; later waves respond less often, as later waves of a campaign do."""
    rng = np.random.default_rng(seed)
    wave = rng.integers(0, len(shares), people)
    control_share = np.array(shares)[wave]
    treated = rng.random(people) >= control_share
    base = rate * (1.5 - wave / max(len(shares) - 1, 1)) if len(shares) > 1 else rate
    bought = rng.random(people) < base * (1 + lift * treated)
    orders = bought * (1 + rng.poisson(MORE_ORDERS, people))
    revenue = orders * rng.lognormal(AMOUNT_LOG_MEAN, spread, people)
    rows = pd.DataFrame(
        {
            "campaign_id": "campaign",
            "entered_at": pd.Timestamp("2024-01-01") + pd.to_timedelta(wave, unit="D"),
            "arm": np.where(treated, TREATMENT, CONTROL),
            "control_share": control_share,
            "matures_at": pd.Timestamp("2024-06-01"),
            "response": bought.astype(float),
            "orders": orders.astype(float),
            "revenue": revenue,
            "margin": np.nan,
        }
    )
    return CampaignEntries(rows, pd.Timestamp("2024-12-31"))


def true_effect(
    outcome: str, rate: float, spread: float, shares: tuple[float, ...], lift: float
) -> float:
    """Effect that the strata's weights aim at: rates differ by wave, and so do weights."""
    weight = np.array(shares) * (1 - np.array(shares))
    waves = np.arange(len(shares)) / max(len(shares) - 1, 1)
    base = rate * (1.5 - waves) if len(shares) > 1 else np.array([rate])
    extra = float(lift * (weight @ base) / weight.sum())
    orders, amount = 1 + MORE_ORDERS, math.exp(AMOUNT_LOG_MEAN + spread**2 / 2)
    # More people buy; an order costs the same.
    factor = {"response": 1.0, "orders": orders, "revenue": orders * amount}
    return extra * factor.get(outcome, 0.0)


def one_cell(
    cell: tuple[int, float, float, tuple[float, ...], float], runs: int, seed: int
) -> list[dict[str, Any]]:
    """Shares of runs: shown, false gains, covered, for one look and for any number of looks."""
    people, rate, spread, shares, lift = cell
    start = time.process_time()
    parts = [
        campaign_effects(entries(*cell, seed=seed + run), seed=_TEST_SEED + run, dimensions=())
        for run in range(runs)
    ]
    effects = pd.concat(parts, ignore_index=True)
    results = []
    for outcome in OUTCOMES:
        shown = effects[(effects["outcome"] == outcome) & effects["low"].notna()]
        truth = true_effect(outcome, rate, spread, shares, lift)
        results.append(
            {
                "people": people,
                "rate": rate,
                "spread": spread,
                "shares": "/".join(f"{share:.0%}" for share in dict.fromkeys(shares)),
                "waves": len(shares),
                "lift": lift,
                "outcome": outcome,
                "shown": len(shown) / runs,
                "gains": float((shown["low"] > 0).mean()),
                "losses": float((shown["high"] < 0).mean()),
                "covered": float(((shown["low"] <= truth) & (truth <= shown["high"])).mean()),
                "gains_any_time": float((shown["low_any_time"] > 0).mean()),
                "answers": float(shown["answer"].isin(["gain", "loss"]).mean()),
                "processor_seconds": round(time.process_time() - start, 1),
            }
        )
    return results


def daily_reading(
    cell: tuple[int, float, float, float], runs: int, seed: int
) -> list[dict[str, Any]]:
    """Shares of campaigns without an effect in which a daily reader ever errs."""
    people, rate, spread, share = cell
    ever: dict[str, list[dict[str, bool]]] = {outcome: [] for outcome in OUTCOMES}
    for run in range(runs):
        whole = entries(people, rate, spread, (share,), 0.0, seed=seed + run).rows
        day = np.random.default_rng(seed + run).integers(0, DAYS, people)
        start = pd.Timestamp("2024-01-01")
        whole["entered_at"] = start + pd.to_timedelta(day, unit="D")
        looks = []
        for today in range(1, DAYS + 1):
            through = start + pd.Timedelta(days=today)
            seen = whole[day < today].assign(matures_at=through)
            looks.append(
                campaign_effects(
                    CampaignEntries(seen, through), seed=_TEST_SEED + run, dimensions=()
                )
            )
        read = pd.concat(looks)
        for outcome in OUTCOMES:
            lines = read[read["outcome"] == outcome]
            ever[outcome].append(
                {
                    "once": bool(((lines["low"] > 0) | (lines["high"] < 0)).any()),
                    "any_time": bool(
                        ((lines["low_any_time"] > 0) | (lines["high_any_time"] < 0)).any()
                    ),
                    "answer": bool(lines["answer"].isin(["gain", "loss"]).any()),
                }
            )
    return [
        {"people": people, "rate": rate, "spread": spread, "share": share, "outcome": outcome}
        | {name: float(pd.DataFrame(found)[name].mean()) for name in found[0]}
        for outcome, found in ever.items()
    ]


def print_daily(runs: int, seed: int) -> list[dict[str, Any]]:
    """Print one line per cell and outcome: ever an error, by kind of interval."""
    print(f"read on {DAYS} days, {runs} runs: ever an interval without zero")
    results = []
    for cell in DAILY_CELLS:
        for result in daily_reading(cell, runs, seed):
            results.append(result)
            print(
                f"  {result['people']:>7,} {result['rate']:6.1%} {result['share']:5.0%} "
                f"{result['outcome']:<17} one look {result['once']:6.1%}, "
                f"any time {result['any_time']:6.1%}, answer {result['answer']:6.1%}",
                flush=True,
            )
    return results


def main() -> None:
    """Print one line per cell and outcome."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--largest", type=int, default=100_000, help="largest size of a cell")
    parser.add_argument("--only", choices=list(CELLS))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--daily", type=int, default=0, help="runs of the daily reading, alone")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    results = print_daily(asked.daily, asked.seed) if asked.daily else []
    for group, cells in CELLS.items():
        if asked.daily or asked.only not in (None, group):
            continue
        print(f"{group}: people, response, spread, control shares, waves")
        for cell in cells:
            if cell[0] > asked.largest:
                continue
            for result in one_cell(cell, asked.runs, asked.seed):
                results.append(result)
                print(
                    f"  {result['people']:>7,} {result['rate']:6.1%} {result['spread']:4.1f} "
                    f"{result['shares']:>12} {result['waves']:>3} {result['outcome']:<17} "
                    f"shown {result['shown']:6.1%}, above zero {result['gains']:5.1%} "
                    f"(any time {result['gains_any_time']:5.1%}), covered {result['covered']:6.1%}",
                    flush=True,
                )
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
