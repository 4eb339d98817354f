"""A shop whose orders lie in one small file, and what reading it gives."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from features.aggregates.daily_aggregates import tally
from features.aggregates.tallies import Tallies
from features.calendar import day_number
from features.config.config import Config
from features.errors import UserError
from features.history.history import history
from features.sources.events import ReadReport
from features.table.snapshot_builder import Builder

LATEST = day_number(dt.date(2022, 1, 1))
STAGES = {
    "buying_stage": "new",
    "stages": [
        {"name": "new", "when": {"count": "purchase", ">=": 1}},
        {"name": "reach", "default": True},
    ],
}
COLUMNS: dict[str, Any] = {
    "customer_id": "customer",
    "occurred_at": {"column": "at", "zone": "UTC"},
    "value": "amount",
}
LOCAL = COLUMNS | {"occurred_at": {"column": "at", "as": "local_date"}}
HEADER = "customer,at,amount\n"
GOOD = "a,2021-01-05 12:00:00,10.50\nb,2021-01-06 12:00:00,3\n"


def shop(events: Path | str, **changes: Any) -> Config:
    """Config of one source; `source_*` changes go into the source."""
    source: dict[str, Any] = {"events": str(events), "columns": COLUMNS, "event_type": "purchase"}
    source |= {k[7:]: changes.pop(k) for k in list(changes) if k.startswith("source_")}
    content = {"name": "shop", "timezone": "America/New_York", "sources": [source]}
    return Config.model_validate({**content, "stages": STAGES, **changes})


def read(config: Config, folder: Path) -> tuple[Tallies, list[ReadReport]]:
    return tally(config, latest=LATEST, quarantine=folder / "quarantine")


def rows(config: Config, folder: Path) -> pd.DataFrame:
    """The tally as (customer, day, count, value in minor units)."""
    daily = read(config, folder)[0].daily.to_pandas()
    daily["day"] = pd.to_datetime(daily["day"], unit="D").dt.date.astype(str)
    return daily[["customer_id", "day", "count", "value"]]


def csv(folder: Path, text: str | bytes, name: str = "orders.csv") -> Path:
    file = folder / name
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def refusal(config: Config, folder: Path) -> str:
    """The one message that reading gives."""
    with pytest.raises(UserError) as caught:
        read(config, folder)
    message = str(caught.value)
    assert "found " in message
    assert "expected: " in message
    assert len(message) < 700
    return message


def build(folder: Path, text: str, **changes: Any) -> Builder:
    """The engine's builder of orders given as text."""
    config = shop(csv(folder, text), **changes)
    tallies, _ = read(config, folder)
    return Builder.of(config, history(tallies, config.role_types()))
