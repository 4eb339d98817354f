"""Drift planted into the events of a small shop, through `stagecast score` and `stagecast monitor`.

benchmarks/monitoring.py asks how soon and how often, of many simulated months; here the commands
themselves must find what is planted by the second morning, and nothing where nothing has changed.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.flows.shop import stagecast

Day = dict[str, pd.DataFrame]  # orders and visits
pytestmark = pytest.mark.slow

FIRST, HISTORY, NEW = dt.date(2023, 1, 1), 240, 2
ACTIVE, STAYS = 500, 150  # customers at any time, and days that each stays on average
BUYS, VISITS = 0.35, 0.6  # a day, of each who is there
WEEK = (0.95, 0.95, 1.0, 1.0, 1.1, 1.1, 0.9)
CONFIG = """\
name: cafe
timezone: UTC
sources:
  - events: orders-*.csv
    columns: {customer_id: customer, occurred_at: {column: at, zone: UTC}, value: amount,
      order_id: order}
    event_type: purchase
  - events: visits-*.csv
    columns: {customer_id: customer, occurred_at: {column: at, zone: UTC}}
    event_type: visit
roles: {purchase: [purchase], touch: [visit]}
stages: {file: stages/recency_frequency.yaml, params: {L: 30, w: 60, k: 5, m: 1}}
activity_days: 30
windows: [7, 14, 30, 60]
snapshots: {every_days: 15}
churn: {horizon_days: 30}
clv: {horizon_days: 30}
stage: {confirm_days: 30}
transition: {periods: 4, period_days: 7}
"""


@dataclass(frozen=True)
class Cafe:
    """Customers who come, buy and visit at rates of their own, and leave; in balance for ever."""

    start: np.ndarray
    end: np.ndarray
    rate: np.ndarray

    @classmethod
    def opened(cls, seed: int) -> Cafe:
        random = np.random.default_rng([seed, 0])
        days = HISTORY + NEW
        came = random.uniform(0, days, random.poisson(ACTIVE * days / STAYS))
        start = np.concatenate([np.zeros(ACTIVE), came])
        end = start + random.exponential(STAYS, len(start))
        return cls(start, end, random.gamma(8, 1 / 8, len(start)))

    def day(self, number: int, *, buyers: float = 1.0, visits: float = 1.0) -> Day:
        """Orders and visits of one day, as frames; drift multiplies how likely they are."""
        random = np.random.default_rng([11, number])
        there = (self.start <= number) & (number < self.end)
        usual = self.rate * WEEK[number % 7] * there
        bought = random.random(len(usual)) < np.minimum(BUYS * buyers * usual, 0.95)
        came = random.poisson(VISITS * visits * usual)
        who = np.flatnonzero(bought)
        orders = _rows(random, who, number)
        orders["amount"] = np.round(random.gamma(4, 3, len(who)), 2)
        orders["order"] = [f"o{number}-{customer}" for customer in who]
        return {
            "orders": orders,
            "visits": _rows(random, np.repeat(np.arange(len(came)), came), number),
        }


def _rows(random: np.random.Generator, who: np.ndarray, number: int) -> pd.DataFrame:
    midnight = pd.Timestamp(FIRST) + pd.Timedelta(days=number)
    at = midnight + pd.to_timedelta(random.integers(0, 86_400, len(who)), unit="s")
    return pd.DataFrame(
        {"customer": [f"k{w:05d}" for w in who], "at": pd.DatetimeIndex(at).astype(str)}
    )


def deliver(folder: Path, name: str, days: list[Day]) -> None:
    for kind in ("orders", "visits"):
        rows = pd.concat([day[kind] for day in days])
        rows.to_csv(folder / f"{kind}-{name}.csv", index=False)


@pytest.fixture(scope="module")
def cafe() -> Cafe:
    return Cafe.opened(5)


@pytest.fixture(scope="module")
def trained(cafe: Cafe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The café after `stagecast run`, with config and data in one folder."""
    folder = tmp_path_factory.mktemp("cafe")
    (folder / "cafe.yaml").write_text(CONFIG, encoding="utf-8")
    deliver(folder, "0", [cafe.day(number) for number in range(HISTORY)])
    done = stagecast("run", "--config", folder / "cafe.yaml", "--output", folder / "out")
    assert done.returncode == 0, done.stderr
    return folder


def copied(trained: Path, folder: Path) -> Path:
    """Data and output of its own, which the config names."""
    shutil.copytree(trained, folder / "cafe")
    config = folder / "cafe" / "out" / "config.yaml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace(str(trained), str(folder / "cafe")), encoding="utf-8")
    return folder / "cafe"


def morning(folder: Path) -> tuple[int, str, set[str]]:
    """Score what is new and look at it: exit code, what is printed, and what raises an alarm."""
    scored = stagecast("score", "--output", folder / "out")
    assert scored.returncode == 0, scored.stderr
    looked = stagecast("monitor", "--output", folder / "out")
    assert looked.returncode in (0, 3), looked.stderr
    latest = max((folder / "out" / "monitoring").glob("*/findings.json"))
    findings = json.loads(latest.read_text(encoding="utf-8"))["findings"]
    alarms = {f"{f['check']}: {f['subject']}" for f in findings if f["alarm"]}
    return looked.returncode, looked.stdout, alarms


def test_planted_drift_is_named_by_the_second_morning(
    cafe: Cafe, trained: Path, tmp_path: Path
) -> None:
    folder = copied(trained, tmp_path)
    wanted = {"volume: visit", "base_rate: buyers a day"}
    named: set[str] = set()
    for number in range(HISTORY, HISTORY + NEW):
        deliver(folder, str(number), [cafe.day(number, buyers=1.5, visits=0.5)])
        code, printed, alarms = morning(folder)
        assert (code == 3) == bool(alarms)
        for alarm in wanted & alarms:
            assert alarm.split(": ")[1] in printed
        named |= alarms
    assert wanted <= named
    # Scored since the training, and no older than usual: nothing is said that was not planted.
    assert not any(alarm.startswith(("freshness", "performance")) for alarm in named)


def test_days_like_those_before_raise_no_alarm(cafe: Cafe, trained: Path, tmp_path: Path) -> None:
    folder = copied(trained, tmp_path)
    deliver(folder, "more", [cafe.day(number) for number in range(HISTORY, HISTORY + NEW)])
    code, printed, alarms = morning(folder)
    assert not alarms
    assert code == 0
    assert "no alarm" in printed
