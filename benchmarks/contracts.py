"""Churn and CLV of made-up contracts: the served models against every baseline.

    uv run python -m benchmarks.contracts --work build/contracts     # a quarter of an hour

Monthly payments of 3,000 customers over 1,000 days. The chance to cancel in a month is
beta-distributed over customers; a tenth of those who cancel begin anew after 20 to 200 days.
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
DAYS, CUSTOMERS, PERIOD = 1_000, 3_000, 30.4375
START = dt.date(2022, 1, 1)
ORIGINS = "2024-01-01,2024-04-01,2024-06-01"
LOSSES = {"churn": ("log_loss",), "clv": ("rmse", "tweedie")}
CONFIG = """name: {name}
timezone: UTC
currency: EUR
sources:
  - events: {name}.csv
    columns:
      customer_id: member
      occurred_at: {{column: day, as: local_date}}
      value: amount
    event_type: {{column: event}}
roles: {{purchase: [payment], cancel: [cancelled]}}
stages: {{file: stages/omnisend.yaml, preset: contracts, params: {{billing: 30}}}}
activity_days: 45
churn: {{by: cancel, horizon_days: 60}}
clv: {{horizon_days: 90}}
stage: {{confirm_days: 45}}
transition: {{periods: 6, period_days: 14}}
"""


@dataclass(frozen=True)
class Case:
    """Beta shapes and duration exponent of the chance to cancel, and the share that has a trial."""

    name: str
    seed: int
    alpha: float
    beta: float
    c: float = 1.0
    trials: float = 0.0
    conversion: float = 0.6


CASES = (
    Case("plain", 1, 0.7, 7.0),
    Case("trial", 2, 0.7, 7.0, trials=0.5),
    Case("bdw", 3, 1.0, 8.0, c=0.7),
)


def events(case: Case) -> list[tuple[int, int, str, Any]]:
    """Customer, day, event and amount of all payments and cancellations, by day."""
    random = np.random.default_rng(case.seed)
    rows: list[tuple[int, int, str, Any]] = []
    for customer in range(CUSTOMERS):
        start, chance = int(random.integers(0, DAYS - 30)), random.beta(case.alpha, case.beta)
        price = (9.9, 19.9, 49.9)[random.choice(3, p=[0.5, 0.35, 0.15])]
        if case.trials and random.random() < case.trials:
            rows.append((customer, start, "payment", 0.0))
            if random.random() > case.conversion:
                rows.append((customer, start + int(random.integers(1, 31)), "cancelled", ""))
                continue
            start += 30
        renewal = 0
        while (day := start + round(renewal * PERIOD)) < DAYS:
            rows.append((customer, day, "payment", price))
            renewal += 1
            survives = (1 - chance) ** (renewal**case.c - (renewal - 1) ** case.c)
            if random.random() < 1 - survives:
                end = day + int(random.integers(1, 30))
                rows.append((customer, end, "cancelled", ""))
                if random.random() >= 0.1:
                    break
                start, renewal = end + int(random.integers(20, 200)), 0
                chance = random.beta(case.alpha, case.beta)
    return sorted((row for row in rows if row[1] < DAYS), key=lambda row: (row[1], row[0]))


def write_case(case: Case, folder: Path) -> Path:
    """Write the events and the config of a case; return the config's path."""
    with (folder / f"{case.name}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["member", "day", "event", "amount"])
        for customer, day, event, amount in events(case):
            writer.writerow([f"m{customer:05d}", START + dt.timedelta(day), event, amount])
    config = folder / f"{case.name}.yaml"
    config.write_text(CONFIG.format(name=case.name), encoding="utf-8")
    return config


def table(records: list[dict[str, Any]], name: str) -> list[str]:
    """One line a model, loss and date: served, `contract` and the best other baseline."""
    lines = []
    for model, metrics in LOSSES.items():
        for metric in metrics:
            chosen = [r for r in records if (r["model"], r["metric"]) == (model, metric)]
            chosen = [r for r in chosen if r["subset"] == "all" and r["value"] is not None]
            for at in sorted({r["snapshot_at"] for r in chosen}):
                losses = {r["method"]: r["value"] for r in chosen if r["snapshot_at"] == at}
                served, contract = losses.pop("champion"), losses.pop("contract", np.nan)
                other = min(losses, key=lambda method: losses[method])
                lines.append(
                    f"| {name} | {model} | {metric} | {at[:10]} | {served:.4g} | {contract:.4g} "
                    f"| {losses[other]:.4g} ({other}) |"
                )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("build/contracts"))
    parser.add_argument("--cases", nargs="*", default=[case.name for case in CASES])
    parser.add_argument("--write-only", action="store_true", help="data and configs, no back-test")
    arguments = parser.parse_args()
    work = arguments.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    print("| data | model | loss | date | served | contract | best other |")
    print("|---|---|---|---|---:|---:|---|")
    for case in (case for case in CASES if case.name in arguments.cases):
        config = write_case(case, work)
        if arguments.write_only:
            continue
        command = [sys.executable, "-m", "flows.commands.cli", "backtest", "--config", str(config)]
        command += ["--output", str(work / case.name), "--origins", ORIGINS]
        command += ["--models", "churn,clv"]
        subprocess.run(command, check=True, cwd=HERE.parent)
        text = (work / case.name / "backtest.json").read_text(encoding="utf-8")
        print("\n".join(table(json.loads(text), case.name)))


if __name__ == "__main__":
    main()
