"""Total of all campaigns from a global hold-out, against planted effects.

    uv run python -m benchmarks.programme_total --runs 200

A shop of a year: customers come month by month, order at rates and prices of their own, and every
treated customer orders more from the first score on, by a factor that differs between customers.
The arms come from the product's own draw. In each run the interval of the total (and of a month)
must hold the orders' revenue that the campaigns really added.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from campaigns.holdout import TREATMENT
from campaigns.measurement import CampaignEntries, campaign_effects
from features.config.customers import GlobalHoldout
from flows.services.programme import global_entries, is_month

MONTHS = 12
START = dt.date(2024, 1, 1)
THROUGH = pd.Timestamp("2024-12-31")


def one_run(customers: int, share: float, seed: int) -> pd.DataFrame:
    """Lines of the measurement of a simulated year, with the true total of each."""
    rng = np.random.default_rng(seed)
    names = np.array([f"c{i}" for i in range(customers)])
    comes = np.sort(rng.integers(0, MONTHS, customers) * (rng.random(customers) < 0.4))
    rate = rng.gamma(0.8, 0.4, customers)  # orders a month
    price = rng.lognormal(3.0, 0.6, customers)
    lift = np.maximum(rng.normal(0.15, 0.2, customers), -1)
    days = [dt.date(2024, month, 1) for month in range(1, MONTHS + 1)]
    runs: list[Any] = [SimpleNamespace(snapshot_at=day) for day in days]
    holdout = GlobalHoldout(share=share, until=dt.date(2025, 1, 31))
    config: Any = SimpleNamespace(
        name="shop", seed=seed, contact_policy=SimpleNamespace(global_holdout=holdout)
    )

    def scores_of(run: Any) -> pd.DataFrame:
        known = comes <= days.index(run.snapshot_at)
        expected = rate[known] * price[known] * rng.lognormal(0, 0.3, known.sum())
        return pd.DataFrame({"stage": "active", "clv": expected}, index=pd.Index(names[known]))

    rows = global_entries(runs, config, THROUGH, scores_of)
    place = rows["customer_id"].str[1:].astype(int).to_numpy()
    treated = (rows["arm"] == TREATMENT).to_numpy()
    arm = np.zeros(customers, dtype=bool)
    arm[place] = treated
    # Orders of every customer and month; all lines below are sums of them.
    mean = rate[:, None] * (1 + lift * arm)[:, None] * (np.arange(MONTHS) >= comes[:, None])
    orders = rng.poisson(mean)
    spend = orders * price[:, None] * rng.lognormal(0, 0.4, (customers, MONTHS))
    amount = price * np.exp(0.4**2 / 2)
    extra = (rate * lift * amount)[:, None] * (np.arange(MONTHS) >= comes[:, None])
    first = (rows["entered_at"].dt.month - 1).to_numpy()
    last = np.where(is_month(rows["campaign_id"]), first, MONTHS - 1)
    inside = (np.arange(MONTHS) >= first[:, None]) & (np.arange(MONTHS) <= last[:, None])
    rows["orders"] = (orders[place] * inside).sum(axis=1)
    rows["revenue"] = (spend[place] * inside).sum(axis=1)
    rows["response"] = (rows["orders"] > 0).astype(float)
    rows["margin"] = np.nan
    rows["extra"] = (extra[place] * inside).sum(axis=1) * treated
    effects = campaign_effects(CampaignEntries(rows, THROUGH), seed=seed, dimensions=())
    true_total = rows.groupby("campaign_id")["extra"].sum()
    lines = effects[effects["outcome"] == "revenue"].copy()
    return lines.assign(true_total=lines["campaign_id"].map(true_total))


def main() -> None:
    """Print the shares of runs in which each interval holds the truth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--customers", type=int, default=4000)
    parser.add_argument("--share", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    parts = [one_run(asked.customers, asked.share, asked.seed + run) for run in range(asked.runs)]
    lines = pd.concat(parts)
    people = lines["n_treatment"]
    once = (lines["low"] * people <= lines["true_total"]) & (
        lines["true_total"] <= lines["high"] * people
    )
    any_time = (lines["incremental_low"] <= lines["true_total"]) & (
        lines["true_total"] <= lines["incremental_high"]
    )
    result = {
        name: {
            "lines": int(chosen.sum()),
            "shown": float(lines.loc[chosen, "low"].notna().mean()),
            "true_total": float(lines.loc[chosen, "true_total"].mean()),
            "estimate": float(lines.loc[chosen, "incremental_total"].mean()),
            "covered": float(once[chosen & lines["low"].notna()].mean()),
            "covered_any_time": float(any_time[chosen & lines["low"].notna()].mean()),
            "answers": float(lines.loc[chosen, "answer"].isin(["gain", "loss"]).mean()),
            "variance_left": float(lines.loc[chosen, "variance_left"].mean()),
        }
        for name, chosen in (
            ("the year", ~is_month(lines["campaign_id"])),
            ("a month", is_month(lines["campaign_id"])),
        )
    }
    print(json.dumps(result, indent=1))
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
