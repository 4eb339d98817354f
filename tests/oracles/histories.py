"""Small made-up shops: events as plain records, their files, their config, and strategies."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from features.aggregates.daily_aggregates import tally
from features.calendar import day_number
from features.config.config import Config
from features.table.snapshot_builder import Builder

ZONE = ZoneInfo("America/New_York")
LATEST = day_number(dt.date(2030, 1, 1))
WINDOWS = (1, 7, 14, 30)
# One line an event; several purchase lines of one order are one purchase.
COLUMNS = ("customer", "type", "at", "known", "amount", "order", "brand", "machine")

TAXONOMY: dict[str, Any] = {
    "name": "small",
    "params": {"L": 5, "w": 7, "k": 2, "m": 1},
    "life_roles": ["purchase", "touch"],
    "buying_stage": "conversion",
    "stages": [
        {"name": "lapsed", "rank": 0, "silent": True,
         "when": {"days_since_last": "purchase", ">": "L"}},
        {"name": "loyalty", "rank": 3,
         "when": {"count_distinct_days": "purchase", "window": "w", ">=": "k"}},
        {"name": "conversion", "rank": 1, "when": {"all": [
            {"count": "purchase", ">=": 1}, {"count_distinct_days": "purchase", "<=": "m"}]}},
        {"name": "retention", "rank": 2, "when": {"count": "purchase", ">=": 1}},
        {"name": "warm", "rank": 1, "when": {"any": [
            {"count": "touch", "window": 3, ">=": 2}, {"days_since_last": "touch", "<=": 2}]}},
        {"name": "reach", "rank": 0, "default": True},
    ],
}  # fmt: skip


@dataclass(frozen=True)
class Event:
    """One line of the event table; amounts in cents, moments as instants."""

    customer: str
    type: str
    at: dt.datetime
    known: dt.datetime | None = None
    amount: int | None = None
    order: str | None = None
    brand: str | None = None
    machine: bool = False

    @property
    def day(self) -> int:
        """Local day number of the event."""
        return day_number(self.at.astimezone(ZONE).date())

    @property
    def known_day(self) -> int:
        """Local day number from which it is known; never before it occurred."""
        known = self.at if self.known is None else max(self.known, self.at)
        return day_number(known.astimezone(ZONE).date())


def local(date: str | dt.date, time: str = "12:00", *, fold: int = 0) -> dt.datetime:
    """Instant of a New York wall-clock time; a skipped hour moves on as clocks do."""
    day = dt.date.fromisoformat(date) if isinstance(date, str) else date
    wall = dt.datetime.combine(day, dt.time.fromisoformat(time))
    return wall.replace(tzinfo=ZONE, fold=fold).astimezone(dt.UTC)


def config(file: Path, **changes: Any) -> Config:
    """Config of a shop whose events lie in one file."""
    content: dict[str, Any] = {
        "name": "small-shop",
        "timezone": "America/New_York",
        "sources": [
            {
                "events": str(file),
                "columns": {
                    "customer_id": "customer",
                    "occurred_at": {"column": "at", "zone": "UTC"},
                    "known_at": {"column": "known", "zone": "UTC"},
                    "value": "amount",
                    "order_id": "order",
                    "is_machine": "machine",
                    "brand": "brand",
                },
                "event_type": {"column": "type"},
            }
        ],
        "roles": {"purchase": ["purchase"], "touch": ["open", "touch"]},
        "windows": list(WINDOWS),
        "stages": TAXONOMY,
        "activity_days": 14,
        "churn": {"horizon_days": 7},
        "clv": {"horizon_days": 7},
        "transition": {"periods": 4, "period_days": 3},
        "stage": {"confirm_days": 5},
    }
    return Config.model_validate({**content, **changes})


def write(events: Sequence[Event], file: Path) -> Path:
    """The event table as csv (UTC text) or parquet (typed instants), by the file's ending."""
    rows = [
        (
            e.customer,
            e.type,
            e.at,
            e.at if e.known is None else e.known,
            None if e.amount is None else e.amount / 100,
            e.order,
            e.brand,
            e.machine,
        )
        for e in events
    ]
    if file.suffix == ".parquet":
        instant = pa.timestamp("us", tz="UTC")
        types = [pa.string(), pa.string(), instant, instant, pa.float64(), pa.string(), pa.string()]
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(COLUMNS)
        arrays = [pa.array(c, t) for c, t in zip(columns, [*types, pa.bool_()], strict=True)]
        pq.write_table(pa.table(dict(zip(COLUMNS, arrays, strict=True))), file)
        return file
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(COLUMNS)
        for row in rows:
            writer.writerow(
                [v.replace(tzinfo=None) if isinstance(v, dt.datetime) else v for v in row]
            )
    return file


def builder(events: Sequence[Event], file: Path, **changes: Any) -> Builder:
    """The engine's builder of a shop, by way of a real file."""
    shop = config(write(events, file), **changes)
    tallies, _ = tally(shop, latest=LATEST, quarantine=file.parent / "quarantine")
    return Builder.from_tallies(shop, tallies)


TIMES = ("00:00", "00:00:00.000001", "01:30", "02:30", "03:00", "12:00", "23:59:59.999999")
TYPES = ("purchase", "purchase", "purchase", "open", "touch", "sent", "refund", "redemption")


@st.composite
def moments(draw: st.DrawFn, first: dt.date, days: int) -> dt.datetime:
    """Instants on some local days, often at midnight, in skipped and in repeated hours."""
    day = first + dt.timedelta(days=draw(st.integers(0, days - 1)))
    return local(day, draw(st.sampled_from(TIMES)), fold=draw(st.integers(0, 1)))


@st.composite
def event(draw: st.DrawFn, first: dt.date, days: int) -> Event:
    """An event: ties are likely, some are learned late, purchases have lines and amounts."""
    at = draw(moments(first, days))
    kind = draw(st.sampled_from(TYPES))
    late = draw(st.sampled_from((None, None, None, "midnight", "later", "before")))
    known = None
    if late == "midnight":
        day = at.astimezone(ZONE).date() + dt.timedelta(days=draw(st.integers(1, 9)))
        known = local(day, "00:00")
    elif late is not None:
        hours = draw(st.integers(1, 200)) * (1 if late == "later" else -1)
        known = at + dt.timedelta(hours=hours)
    money = kind in ("purchase", "refund")
    cents = st.one_of(st.integers(0, 5000), st.integers(-2000, 5000), st.just(1999))
    return Event(
        customer=draw(st.sampled_from("abcd")),
        type=kind,
        at=at,
        known=known,
        amount=draw(cents) if money else None,
        order=draw(st.sampled_from((None, None, "o1", "o2", "o3"))) if money else None,
        brand=draw(st.sampled_from((None, "x", "y", "ü"))) if money else None,
        machine=kind == "open" and draw(st.booleans()),
    )


@st.composite
def shops(draw: st.DrawFn, *, size: int = 45, days: int = 40) -> list[Event]:
    """Event tables around a change of the clocks, with at least one purchase."""
    first = draw(st.sampled_from((dt.date(2021, 2, 20), dt.date(2021, 10, 20))))
    bought = Event("a", "purchase", local(first + dt.timedelta(days=3), "00:00"), amount=1000)
    return [bought, *draw(st.lists(event(first, days), min_size=15, max_size=size))]
