"""How soon the monitor finds planted drift, and how often it cries in months without any.

Simulated at the level of what the monitor reads (features, scores, daily counts, matured rates),
so that many months cost little: `uv run python benchmarks/monitoring.py`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import pandas as pd

from features.config.monitoring import Monitoring
from models.monitoring.drift import column_distributions, psi
from models.monitoring.monitor import DayObservation, Reference, monitor_findings
from models.monitoring.performance import BaseRate, MaturedFigure
from models.monitoring.volume import HISTORY_DAYS

DAYS = 30
PLANTED_ON = 10  # of the days, where drift is planted
CUSTOMERS = 3000
FEATURES = 60
SHIFTED = 5
TYPES = 10
WEEK = np.array([1.1, 1.0, 0.95, 1.0, 1.15, 1.3, 0.7])
TRAINED = 18_000  # day number of the training
SNAPSHOTS = 10  # training snapshots that tell the usual base rates
LABELS = ("bought in 60 days", "changed stage in 84 days")


@dataclass(frozen=True)
class World:
    """A business: how its features, events and rates come about.

    Attributes
    ----------
    seed
        Of everything random.
    drifts
        Whether drift is planted.
    """

    seed: int
    drifts: bool

    def random(self, *what: int) -> np.random.Generator:
        """Random numbers of one purpose, the same whoever asks."""
        return np.random.default_rng([self.seed, *what])

    def drifted(self, day: int) -> bool:
        """Whether a day is one after the drift began."""
        return self.drifts and day >= TRAINED + PLANTED_ON

    def features(self, day: int) -> pd.DataFrame:
        """Of kinds as real ones are: skewed, counted, mostly zero, partly missing; the same
        customers every day, who change a little, and weekdays that move everybody.
        """
        lasting = self.random(0).normal(size=(FEATURES, CUSTOMERS))
        fresh = self.random(1, day).normal(size=(FEATURES, CUSTOMERS))
        z = 0.9 * lasting + np.sqrt(1 - 0.81) * fresh
        z += 0.05 * (WEEK[day % 7] - 1)
        if self.drifted(day):
            z[:SHIFTED] += 0.75  # a PSI of .25 to .6, by the kind of the feature
        columns = {}
        for number in range(FEATURES):
            x = z[number]
            kind = number % 4
            if kind == 0:
                x = np.exp(x)
            elif kind == 1:
                x = np.floor(np.exp(0.8 * x + 1))
            elif kind == 2:
                x = np.where(x > 0, np.floor(3 * x), 0.0)
            else:
                x = np.where(self.random(2, number).random(CUSTOMERS) < 0.2, np.nan, x)
            columns[f"feature_{number:02d}"] = x
        return pd.DataFrame(columns)

    def scores(self, day: int) -> pd.DataFrame:
        """Two numbers and a name."""
        random = self.random(3, day)
        p = 1 / (1 + np.exp(-self.random(4).normal(size=CUSTOMERS) - 0.1 * random.normal()))
        return pd.DataFrame(
            {
                "p_churn": p,
                "clv": np.exp(random.normal(3, 1, CUSTOMERS)),
                "stage": np.array(["a", "b", "c"])[random.choice(3, CUSTOMERS, p=[0.5, 0.3, 0.2])],
            }
        )

    def daily(self) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
        """Counts and buyers of every day, with what becomes known late, and customers."""
        first, last = TRAINED - HISTORY_DAYS, TRAINED + DAYS
        days = np.arange(first, last + 1)
        random = self.random(5)
        counts = [
            _late(random, days, self._volume(random, days, number), f"type_{number}")
            for number in range(TYPES)
        ]
        customers = np.round(20_000 * 1.001 ** (days - first)).astype(int)
        chance = 0.03 * WEEK[days % 7] * _day_noise(random, len(days), 0.08)
        if self.drifts:
            chance = np.where(days >= TRAINED + PLANTED_ON, 1.5 * chance, chance)
        buyers = _late(random, days, random.binomial(customers, chance), "buyers")
        return pd.concat(counts, ignore_index=True), buyers, customers

    def _volume(self, random: np.random.Generator, days: np.ndarray, number: int) -> np.ndarray:
        level = np.geomspace(20, 20_000, TYPES)[number]
        noise = _day_noise(random, len(days), 0.06 + 0.01 * (number % 6))
        rate = level * WEEK[(days + number) % 7] * 1.001 ** (days - days[0]) * noise
        if self.drifts and number == TYPES // 2:
            rate = np.where(days >= TRAINED + PLANTED_ON, rate / 2, rate)
        return random.poisson(rate)

    def rates(self, day: int) -> list[BaseRate]:
        """Matured base rates, which slide slowly; what is planted shows in them much later."""
        random = self.random(6)
        phase = random.random(len(LABELS)) * 6
        found = []
        for number, label in enumerate(LABELS):
            usual = (0.45, 0.25)[number] * (1 + 0.05 * np.sin(day / 30 + phase[number]))
            rate = self.random(7, day, number).binomial(5000, usual) / 5000
            found.append(BaseRate(label, day, float(rate), 5000))
        return found

    def matured(self, day: int) -> list[MaturedFigure]:
        """Figures that vary as much as their errors say, and are those of the gate."""
        random = self.random(8, day)
        about: dict[str, Any] = {"run_id": f"r{day}", "version": "1", "snapshot_at": "2020-01-01"}
        drawn = {"auc": (0.78, 0.01), "bias_pct": (2.0, 3.0)}
        return [
            MaturedFigure(
                **about, task="churn", metric=m, value=random.normal(*d), error=d[1], n=5000
            )
            for m, d in drawn.items()
        ]

    def reference(self) -> Reference:
        """What the training kept."""
        earlier = {30 * k: self.features(TRAINED - 30 * k) for k in range(1, 4)}
        rates = [r for k in range(SNAPSHOTS) for r in self.rates(TRAINED - 100 - 30 * k)]
        return Reference(
            trained_at=TRAINED,
            inputs=tuple(column_distributions(self.features(TRAINED), earlier)),
            scores=tuple(column_distributions(self.scores(TRAINED))),
            base_rates=tuple(rates),
            at_gate={"churn.auc": 0.78, "churn.bias_pct": 2.0},
        )

    def observed(self) -> Iterator[DayObservation]:
        """What the monitor sees on each of the days."""
        counts, buyers, customers = self.daily()
        for day in range(TRAINED + 1, TRAINED + DAYS + 1):
            yield DayObservation(
                at=day + 1,
                through=day,
                inputs=self.features(day),
                scores=self.scores(day),
                counts=_known(counts, day),
                buyers=_known(buyers, day),
                customers=customers[: day - (TRAINED - HISTORY_DAYS) + 1],
                base_rates=self.rates(day),
                matured=self.matured(day),
            )


def _day_noise(random: np.random.Generator, days: int, size: float) -> np.ndarray:
    """Good and bad days, each a little like the one before; a level that wanders slowly."""
    shocks, noise = random.normal(size=days), np.zeros(days)
    for day in range(1, days):
        noise[day] = 0.3 * noise[day - 1] + np.sqrt(1 - 0.09) * shocks[day]
    return np.exp(size * noise)


def _late(
    random: np.random.Generator, days: np.ndarray, counts: np.ndarray, name: str
) -> pd.DataFrame:
    """Counts by the day they became known: a tenth a day late, a fiftieth three days."""
    one, three = random.binomial(counts, 0.1), random.binomial(counts, 0.02)
    parts = [(0, np.maximum(counts - one - three, 0)), (1, one), (3, three)]
    return pd.concat(
        [
            pd.DataFrame({"event_type": name, "day": days, "known_day": days + lag, "count": n})
            for lag, n in parts
        ],
        ignore_index=True,
    )


def _known(rows: pd.DataFrame, day: int) -> pd.DataFrame:
    return rows[(rows["day"] <= day) & (rows["known_day"] <= day)]


PLANTS = {
    "PSI of five features": tuple(f"input: feature_{n:02d}" for n in range(SHIFTED)),
    "volume of one type halved": (f"volume: type_{TYPES // 2}",),
    "base rate + 50 %": ("base_rate: buyers a day",),
}


def month(arguments: tuple[int, bool]) -> dict[str, Any]:
    """First day of every alarm in a month of one world."""
    seed, drifts = arguments
    world, limits = World(seed, drifts), Monitoring()
    reference = world.reference()
    first: dict[str, int] = {}
    for number, seen in enumerate(world.observed(), start=1):
        for finding in monitor_findings(seen, reference, limits):
            if finding.alarm:
                first.setdefault(finding.key, number)
    shift = [
        psi(np.array(d.counts), d.count(world.features(TRAINED + PLANTED_ON)[d.name]))
        for d in reference.inputs[:SHIFTED]
    ]
    return {"seed": seed, "drifts": drifts, "first": first, "psi": min(shift)}


def delays(month: dict[str, Any], keys: Sequence[str]) -> float:
    """Days from the first drifted one until all of the keys are found; that day itself is 1."""
    found = [month["first"].get(key, np.inf) for key in keys]
    return max(found) - PLANTED_ON + 1


def simulated(seeds: int) -> list[dict[str, Any]]:
    worlds = [(seed, drifts) for seed in range(1, seeds + 1) for drifts in (True, False)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        months = pool.map(month, worlds, chunksize=1)
    drifted = [m for m in months if m["drifts"]]
    still = [m for m in months if not m["drifts"]]
    print(f"smallest planted PSI {min(m['psi'] for m in drifted):.2f}")
    print(f"\n| planted | found after days, median of {seeds} seeds | longest |\n|---|---:|---:|")
    for name, keys in PLANTS.items():
        found = [delays(m, keys) for m in drifted]
        print(f"| {name} | {np.median(found):g} | {max(found):g} |")
    alarms = [len(m["first"]) for m in still]
    print("\n| 30 stationary days | alarms |\n|---|---:|")
    print(f"| most in one of {seeds} seeds | {max(alarms)} |")
    print(f"| seeds with any | {sum(a > 0 for a in alarms)} |")
    planted = {key for keys in PLANTS.values() for key in keys}
    beside = [len(set(m["first"]) - planted) for m in drifted]
    print(f"| beside what is planted, most in one seed | {max(beside)} |")
    return months


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    months = simulated(options.seeds)
    if options.json:
        options.json.write_text(json.dumps(months, indent=1))


if __name__ == "__main__":
    main()
