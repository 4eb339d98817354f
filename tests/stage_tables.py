"""Stage records as a small table, read by way of a real file."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.aggregates.daily_aggregates import tally
from features.config.config import Config
from features.lifecycle.crm_stage_reading import read_records
from features.table.snapshot_builder import Builder
from tests.oracles.histories import LATEST, Event, config, local, write

COLUMNS = {
    "customer_id": "who",
    "occurred_at": {"column": "at", "zone": "UTC"},
    "known_at": {"column": "known", "zone": "UTC"},
    "stage": "stage",
}


@dataclass(frozen=True)
class Record:
    """What the CRM noted; local times, `known` by default the moment it occurred."""

    customer: str
    at: str
    known: str | None
    stage: str


def instant(text: str) -> dt.datetime:
    day, time = text.split(" ")
    return local(day, time).astimezone(dt.UTC).replace(tzinfo=None)


def write_stages(records: Sequence[Record], file: Path) -> Path:
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(["who", "at", "known", "stage"])
        for r in records:
            writer.writerow([r.customer, instant(r.at), instant(r.known or r.at), r.stage])
    return file


def recorded_config(
    events: Sequence[Event], records: Sequence[Record], folder: Path, *,
    stages: dict[str, str] | None = None, ignored: Sequence[str] = (), **changes: Any,
) -> Config:  # fmt: skip
    """A shop whose truth is the stage history."""
    block = {
        "table": str(write_stages(records, folder / "crm.csv")),
        "columns": COLUMNS,
        "stages": stages or {},
        "ignored": list(ignored),
    }
    told = {"stage": {"truth": "history"}, "stage_history": block}
    return config(write(events, folder / "e.csv"), **told, **changes)


def recorded_builder(
    events: Sequence[Event], records: Sequence[Record], folder: Path, **changes: Any
) -> Builder:
    shop = recorded_config(events, records, folder, **changes)
    quarantine = folder / "quarantine"
    tallies, _ = tally(shop, latest=LATEST, quarantine=quarantine)
    found, _ = read_records(shop, latest=LATEST, quarantine=quarantine)
    return Builder.from_tallies(shop, tallies, found)
