"""Active days by hour and weekday against a plain reading of the events."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from campaigns.send_time import send_times
from features.calendar import day_number
from features.table.activity_hours import HABIT_DAYS, LATER_DAYS, Activity, activity_hours
from flows.services.workspace import Workspace
from flows.simulate import write_config
from simulator import simulate
from tests.flows.planned import with_tallies

AT = dt.date(2024, 9, 30)
TOUCHES = ("page_view", "email_open", "message_click")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Workspace]:
    """Simulated customers with daily rhythms of their own; the time zone has summer time."""
    folder = tmp_path_factory.mktemp("rhythms")
    reference = Path("configs/scenarios/reference.yaml").read_text(encoding="utf-8")
    scenario = folder / "rhythms.yaml"
    rhythms = reference.replace("  order_shape: 3.0", "  hour_shift_sd: 7\n  order_shape: 3.0")
    # Few messages: opens follow the hour of the send, not the customer's.
    scenario.write_text(rhythms.replace("{email: 0.44,", "{email: 0.05,"), encoding="utf-8")
    data = folder / "shop"
    simulate.write_simulation(str(scenario), customers=3000, seed=3, output=data, workers=1)
    config = write_config(data, "reference")
    settings = ("experiments=[]", "timezone=America/New_York")
    return data, with_tallies(config, folder / "out", *settings)


def plain_days(data: Path, space: Workspace) -> pd.DataFrame:
    """First sign of every customer and day, read from the events themselves."""
    events = pd.concat(pd.read_parquet(file) for file in sorted((data / "events").glob("*")))
    zone = space.config().timezone
    events = events[~events["is_machine"].fillna(False).astype(bool)]
    at, known = (
        pd.to_datetime(events[name], utc=True).dt.tz_convert(zone)
        for name in ("occurred_at", "known_at")
    )
    first, last = (pd.Timestamp(AT - dt.timedelta(days=n)).tz_localize(zone)
                   for n in (HABIT_DAYS, 0))  # fmt: skip
    events = events.assign(at=at)[(at >= first) & (at < last) & (known < last)]
    touches = events[events["event_type"].isin(TOUCHES)]
    orders = events[events["event_type"] == "purchase"]
    orders = orders[~orders["customer_id"].isin(touches["customer_id"])]
    signs = pd.concat([touches, orders]).sort_values("at", kind="stable")
    days = signs["at"].dt.date
    return signs.assign(day=days).drop_duplicates(["customer_id", "day"])


def cells(activity: Activity, kind: str) -> Iterator[tuple[str, int, int]]:
    """Customer, time and number of active days, where there are any."""
    later = f"later_{kind}"
    total = getattr(activity, kind) + getattr(activity, later)
    for row, column in np.argwhere(total):
        yield str(activity.customers[row]), int(column), int(total[row, column])


def test_days_count_as_in_a_plain_reading(shop: tuple[Path, Workspace]) -> None:
    data, space = shop
    days = plain_days(data, space)
    activity = activity_hours(space.output, space.config(), at=day_number(AT))
    named = set(days["customer_id"])
    for kind, times in (("hours", days["at"].dt.hour), ("weekdays", days["at"].dt.weekday)):
        expected = days.groupby([days["customer_id"], times]).size()
        counted = pd.Series({(c, t): n for c, t, n in cells(activity, kind) if c in named})
        # Visits before a customer gave a name lie in another table.
        same = counted.reindex(expected.index).fillna(0) >= expected
        assert same.mean() > 0.97
    later = day_number(AT) - LATER_DAYS
    in_test = days["day"].map(lambda day: day_number(day) >= later)
    counts = activity.later_hours.sum()
    assert counts == pytest.approx(int(in_test.sum()), rel=0.03)


def test_own_hours_of_the_simulation_are_recovered(shop: tuple[Path, Workspace]) -> None:
    data, space = shop
    activity = activity_hours(space.output, space.config(), at=day_number(AT))
    learned = send_times(
        activity.customers,
        (activity.hours, activity.later_hours),
        (activity.weekdays, activity.later_weekdays),
    )
    hours = learned.tests[0]
    assert hours.used
    assert hours.log_low > 0
    truth = pd.read_parquet(data / "truth" / "customers").set_index("customer_id")["hour_shift"]
    known = learned.times["send_hour"].dropna()
    shift = (known - hours.common + 12) % 24 - 12
    agreement = np.cos((shift - truth.reindex(known.index)) * np.pi / 12)
    assert agreement.mean() > 0.3
