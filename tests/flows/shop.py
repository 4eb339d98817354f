"""A small made-up shop: enough customers to train on in seconds."""

from __future__ import annotations

import atexit
import datetime as dt
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from models.registry import registry
from models.registry.registry import SCORER
from models.registry.tracking import Tracking
from tests.local_servers import local_server

QUIET = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
CONFIG = """\
name: {name}
timezone: America/Chicago
sources:
  - events: orders.csv
    columns: {{customer_id: customer, occurred_at: {{column: at, zone: UTC}}, value: amount,
      order_id: order, brand: brand}}
    event_type: purchase
stages: {{file: stages/recency_frequency.yaml, params: {{L: 60, w: 120, k: 4, m: 1}}}}
activity_days: 90
snapshots: {{every_days: 30}}
churn: {{horizon_days: 45}}
clv: {{horizon_days: 45}}
stage: {{confirm_days: 45}}
transition: {{periods: 6, period_days: 7, fits: 1}}
campaigns: [campaigns/win_back.yaml, campaigns/save_valuable_customers.yaml]
backtest: {{origins: [2020-11-01]}}
"""


@dataclass(frozen=True)
class Shop:
    """A config and the output folder of a finished run."""

    config: Path
    output: Path
    printed: str


def orders(customers: int, seed: int) -> pd.DataFrame:
    """Order lines over 14 months: own rates, drop-outs, some orders with two lines."""
    random = np.random.default_rng(seed)
    rows = []
    for customer in range(customers):
        rate, alive = random.gamma(1.5, 1 / 18), random.exponential(300)
        day, left = random.uniform(0, 300), 0.0
        while day < 425 and left < alive:
            at = dt.datetime(2020, 1, 1) + dt.timedelta(days=day)
            for _ in range(1 + (random.random() < 0.3)):
                amount = round(float(random.gamma(4, 8)), 2)
                brand = str(random.choice(["north", "south", "east"]))
                rows.append((f"c{customer:04d}", at, amount, f"o{len(rows) // 1}", brand))
            gap = random.exponential(1 / rate)
            day, left = day + gap, left + gap
    frame = pd.DataFrame(rows, columns=["customer", "at", "amount", "order", "brand"])
    # Lines of one visit share the order number.
    frame["order"] = frame.groupby(["customer", "at"]).ngroup().map("o{}".format)
    frame["at"] = frame["at"].dt.strftime("%Y-%m-%d %H:%M:%S")
    return frame


def write_shop(folder: Path, *, customers: int = 250, seed: int = 7, name: str = "shop") -> Path:
    """Write orders and config; returns the config's path."""
    folder.mkdir(parents=True, exist_ok=True)
    orders(customers, seed).to_csv(folder / "orders.csv", index=False)
    path = folder / "shop.yaml"
    path.write_text(CONFIG.format(name=name), encoding="utf-8")
    return path


def settle(output: Path, **monitoring: object) -> None:
    """Put the monitor's limits into the config of an output folder."""
    config = yaml.safe_load((output / "config.yaml").read_text())
    config["monitoring"] = monitoring
    (output / "config.yaml").write_text(yaml.safe_dump(config))


@functools.cache
def shared_prefect() -> dict[str, str]:
    """Address of one Prefect server for the tests of schedules: starting takes seconds."""
    folder = Path(tempfile.mkdtemp(prefix="stagecast-prefect-"))
    database = f"sqlite+aiosqlite:///{folder}/prefect.db"
    up = ExitStack()
    atexit.register(up.close)
    up.callback(shutil.rmtree, folder, ignore_errors=True)
    server = up.enter_context(
        local_server(
            "prefect", "server", "start",
            health="/api/health", env={"PREFECT_API_DATABASE_CONNECTION_URL": database, **QUIET},
        )
    )  # fmt: skip
    return {"PREFECT_API_URL": f"{server.address}/api"}


def flat(context: Mapping[str, Any]) -> dict[str, float]:
    """A scoring context without nesting."""
    return {
        f"{name}.{part}": number
        for name, numbers in context.items()
        for part, number in (numbers if isinstance(numbers, dict) else {"": numbers}).items()
    }


def another_champion(tracking: Tracking) -> None:
    """Make the champion's parts a version of their own, and that one champion."""
    loaded = registry.load(tracking)
    with tracking.run("another scorer") as run:
        parts, head = loaded.scorer.parts, loaded.scorer.head
        made = registry.log_version(run, SCORER, parts, head=head, description="", tags={})
    registry.set_champion(tracking, SCORER, made.version, reason="a test")


def stagecast(
    *arguments: str | Path, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, as a user does."""
    command = [sys.executable, "-m", "flows.commands.cli", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "160", **(env or {})}
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=1800, check=False
    )
