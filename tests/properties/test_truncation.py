"""The property that guards everything: at t, only what was known before t matters."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from features.calendar import day_date, day_number
from features.table.families import all_families
from features.table.prediction_targets import TASK_NAMES, TaskName
from tests.oracles.histories import TYPES, Event, builder, local, shops
from tests.tries import tries

MIDNIGHT = "00:00"
CONTRACTS = {"churn": {"horizon_days": 7, "by": "cancel"}}
# An example reads real files: shrinking one would take minutes.
QUICK = (Phase.explicit, Phase.generate)


def known_before(events: Sequence[Event], at: int) -> list[Event]:
    """Events that had happened and were known at the local midnight that begins a day."""
    return [e for e in events if e.day < at and e.known_day < at]


def same(left: pd.DataFrame, right: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(left, right, check_exact=True)


def check(events: Sequence[Event], snapshots: Sequence[int], suffix: str) -> None:
    """Compare with builders that have only ever seen what was known."""
    with tempfile.TemporaryDirectory() as folder:
        full = builder(events, Path(folder) / f"all{suffix}")
        for at in snapshots:
            past = builder(
                known_before(events, at),
                Path(folder) / f"past{suffix}",
                data_through=day_date(at - 1).isoformat(),
            )
            vars(past)["spec"] = full.spec  # the same columns, whatever roles it has seen
            same(full.features(at), past.features(at))
            same(full.profile(at), past.profile(at))


def with_cancels(events: Sequence[Event]) -> list[Event]:
    """The same events with cancel events for touches, so that purchases pay contracts."""
    return [replace(e, type="cancel") if e.type == "touch" else e for e in events]


def without(frame: pd.DataFrame, ending: str) -> pd.DataFrame:
    """The rows of customers whose id has an ending, under their id without it."""
    ids = frame["customer_id"].str
    mine = ids.endswith(ending) if ending else ~ids.contains("|", regex=False)
    return frame[mine].assign(customer_id=ids.removesuffix(ending)[mine]).reset_index(drop=True)


def bought(customer: str, date: str, time: str = "12:00", **more: object) -> Event:
    return Event(customer, "purchase", local(date, time), **{"amount": 1000, **more})  # type: ignore[arg-type]


LATE_LINE_MOVES_THE_ORDER = [
    bought("a", "2021-03-05"),
    bought("a", "2021-03-10", order="o1"),
    bought("a", "2021-03-08", order="o1", known=local("2021-03-12", MIDNIGHT), amount=500),
    bought("a", "2021-03-12", order="o1", amount=-1500),
    bought("a", "2021-03-07", order="o1", known=local("2021-03-15", "09:00"), amount=700),
]
CLOCKS_CHANGE = [
    bought("a", "2021-03-05"),
    bought("b", "2021-03-13", "23:59:59.999999"),
    bought("b", "2021-03-14", MIDNIGHT),
    bought("b", "2021-03-14", "02:30"),
    bought("b", "2021-03-15", MIDNIGHT),
    Event("c", "touch", local("2021-03-14", "23:59"), known=local("2021-03-15", MIDNIGHT)),
]  # fmt: skip


@settings(max_examples=tries(10), phases=QUICK)
@given(
    events=shops(),
    offset=st.integers(4, 10),
    suffix=st.sampled_from((".csv", ".parquet")),
    contracts=st.booleans(),
)
def test_customers_equal_their_copies_without_a_future(
    events: list[Event], offset: int, suffix: str, contracts: bool
) -> None:
    if contracts:
        events = with_cancels(events)
    # One table holds everyone, and for each of six snapshots a copy that ends before it.
    counted = [e.day for e in events if not e.machine]
    end = max(counted) + 1
    snapshots = sorted({min(min(counted) + offset * k, end) for k in range(1, 7)})
    copies = [
        replace(e, customer=f"{e.customer}|{at}")
        for at in snapshots
        for e in known_before(events, at)
    ]
    with tempfile.TemporaryDirectory() as folder:
        changes = CONTRACTS if contracts else {}
        shop = builder([*events, *copies], Path(folder) / f"e{suffix}", **changes)
    for at in snapshots:
        for frame in (shop.features(at), shop.profile(at)):
            same(without(frame, ""), without(frame, f"|{at}"))


@settings(max_examples=tries(3), phases=QUICK)
@given(events=shops(), offsets=st.lists(st.integers(5, 50), min_size=2, max_size=2, unique=True))
@example(events=LATE_LINE_MOVES_THE_ORDER, offsets=[6, 7, 8, 10, 11])
@example(events=CLOCKS_CHANGE, offsets=[9, 10, 11])
def test_a_build_equals_a_build_without_a_future(events: list[Event], offsets: list[int]) -> None:
    counted = [e.day for e in events if not e.machine]
    first, end = min(counted), max(counted) + 1
    check(events, sorted({min(first + offset, end) for offset in offsets}), ".csv")


@settings(max_examples=tries(6), phases=QUICK)
@given(
    events=shops(),
    offset=st.integers(8, 30),
    settle=st.sampled_from((0, 3)),
    task=st.sampled_from(TASK_NAMES),
)
def test_labels_see_only_what_was_known_when_they_settled(
    events: list[Event], offset: int, settle: int, task: TaskName
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        full = builder(events, Path(folder) / "all.csv", settle_days=settle)
        at = min(e.day for e in events) + offset
        end = at + full.horizon(task) + settle
        past = builder(known_before(events, end), Path(folder) / "past.csv", settle_days=settle)
        same(full.labels(task, at), past.labels(task, at))


def test_every_family_has_columns_under_the_property(tmp_path: Path) -> None:
    events = [replace(bought("a", "2021-03-10"), brand="x"), *of_other_roles("a")]
    events += with_cancels([Event("a", "touch", local("2021-03-12"))])
    shop = builder(events, tmp_path / "e.csv", **CONTRACTS)
    built = set(shop.features(day_number(dt.date(2021, 3, 20))).columns)
    for family in all_families():
        names = {feature.name for feature in family(shop.spec)}
        assert names, family.__name__
        assert names <= built


def of_other_roles(customer: str) -> list[Event]:
    """An event of each other type that made-up shops hold."""
    kinds = sorted(set(TYPES) - {"purchase"})
    at = local("2021-03-11")
    return [Event(customer, k, at, amount=100 if k == "refund" else None) for k in kinds]


def test_an_event_at_the_snapshots_midnight_is_not_seen(tmp_path: Path) -> None:
    shop = builder(
        [bought("a", "2021-03-10"), bought("a", "2021-03-14", MIDNIGHT)], tmp_path / "e.csv"
    )
    before = shop.features(day_number(dt.date(2021, 3, 14)))
    after = shop.features(day_number(dt.date(2021, 3, 15)))
    assert before["purchase__count_all"].tolist() == [1.0]
    assert after["purchase__count_all"].tolist() == [2.0]
    assert after["purchase__recency_days"].tolist() == [1.0]


def test_a_customer_known_late_does_not_exist_before(tmp_path: Path) -> None:
    late = bought("b", "2021-03-10", known=local("2021-03-12", MIDNIGHT))
    shop = builder([bought("a", "2021-03-10"), late], tmp_path / "e.csv")
    seen = {
        day: shop.features(day_number(dt.date(2021, 3, day)))["customer_id"].tolist()
        for day in (11, 12, 13)
    }
    assert seen == {11: ["a"], 12: ["a"], 13: ["a", "b"]}


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_days_are_local_days(tmp_path: Path, suffix: str) -> None:
    # 23:30 in New York is the next day in UTC, on both sides of the change of the clocks.
    events = [bought("a", "2021-03-13", "23:30"), bought("a", "2021-03-14", "23:30")]
    shop = builder(events, tmp_path / f"e{suffix}")
    rows = shop.history.roles["purchase"]
    assert [day_date(d).isoformat() for d in rows.day] == ["2021-03-13", "2021-03-14"]
    assert np.array_equal(rows.day, rows.known_day)
