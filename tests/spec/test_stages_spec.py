"""Stages told as small tables: what a customer did (New York time), and the stage that follows.

A trailing ``~ moment`` says when an event became known; ``x2`` repeats it.
"""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

import pytest

from features.calendar import day_number
from features.config.yaml_with_lines import Spot
from features.lifecycle.stage_engine import stage_at, timers
from features.lifecycle.taxonomy_parser import parse
from features.table.snapshot_builder import Builder
from tests.oracles.histories import Event, builder, local

# L 5: lapsed after more than 5 days; w 7, k 2: loyal with 2 purchase days in 7; m 1: new buyer.
AT_THE_SPRING_CHANGE = """
stage on 2021-03-16 00:00
| who                  | did                                                         | stage      |
| nobody yet           | purchase 2021-03-16 00:00                                   | -          |
| a blink before       | purchase 2021-03-15 23:59:59.999999                         | conversion |
| five days ago        | purchase 2021-03-11 00:00                                   | conversion |
| six, by a second     | purchase 2021-03-10 23:59:59.999999                         | lapsed     |
| at the window's edge | purchase 2021-03-09 00:00, purchase 2021-03-12 12:00        | loyalty    |
| a blink outside it   | purchase 2021-03-08 23:59:59.999999, purchase 2021-03-12    | retention  |
| twice in one day     | purchase 2021-03-14 00:00, purchase 2021-03-14 23:59        | conversion |
| around a midnight    | purchase 2021-03-14 23:59:59.999999, purchase 2021-03-15    | loyalty    |
| in the skipped hour  | purchase 2021-03-14 02:30                                   | conversion |
| one instant, thrice  | purchase 2021-03-15 09:00 x3                                | conversion |
| touched twice        | touch 2021-03-13 00:00 x2                                   | warm       |
| touched too early    | touch 2021-03-12 23:59:59.999999 x2                         | reach      |
| touched two days ago | touch 2021-03-14 00:00                                      | warm       |
| only ever written to | sent 2021-03-15 x3                                          | reach      |
| known at midnight    | touch 2021-03-01, purchase 2021-03-15 ~ 2021-03-16 00:00    | reach      |
| known just before    | touch 2021-03-01, purchase 2021-03-15 ~ 2021-03-15 23:59:59 | conversion |
| known beforehand     | touch 2021-03-01, purchase 2021-03-16 ~ 2021-03-14 00:00    | reach      |
| took all of it back  | purchase 2021-03-15, refund 2021-03-15                      | conversion |
"""
AT_THE_AUTUMN_CHANGE = """
stage on 2021-11-09 00:00
| who                  | did                                                        | stage      |
| first half past one  | purchase 2021-11-07 01:30                                  | conversion |
| both half past ones  | purchase 2021-11-07 01:30, purchase 2021-11-07 01:30 again | conversion |
| end of the long day  | purchase 2021-11-07 23:59:59.999999, purchase 2021-11-08   | loyalty    |
| six days, across it  | purchase 2021-11-03 23:59:59                               | lapsed     |
| five days, across it | purchase 2021-11-04 00:00                                  | conversion |
"""
WHAT = re.compile(
    r"(?P<type>[a-z]+) (?P<date>[\d-]{10})(?: (?P<time>[\d:.]+))?(?P<again> again)?"
    r"(?: ~ (?P<kdate>[\d-]{10}) (?P<ktime>[\d:.]+))?(?: x(?P<n>\d))?"
)


def rows_of(table: str) -> tuple[int, list[tuple[str, list[Event], str]]]:
    """Day of the snapshot, and each line's name, events and stage."""
    head, _, *lines = table.strip().splitlines()
    at = day_number(dt.date.fromisoformat(head.split()[2]))
    cases = []
    for line in lines:
        who, did, stage = (cell.strip() for cell in line.strip().strip("|").split("|"))
        events: list[Event] = []
        for said in did.split(", "):
            found = WHAT.fullmatch(said)
            assert found is not None, said
            known = local(found["kdate"], found["ktime"]) if found["kdate"] else None
            moment = local(found["date"], found["time"] or "12:00", fold=1 if found["again"] else 0)
            amount = 1000 if found["type"] in ("purchase", "refund") else None
            event = Event(who, found["type"], moment, known=known, amount=amount)
            events += [event] * int(found["n"] or 1)
        cases.append((who, events, stage))
    return at, cases


@pytest.mark.parametrize("table", [AT_THE_SPRING_CHANGE, AT_THE_AUTUMN_CHANGE])
def test_stage_tables(table: str, tmp_path: Path) -> None:
    at, cases = rows_of(table)
    shop = builder([e for _, events, _ in cases for e in events], tmp_path / "e.csv")
    frame = shop.features(at).set_index("customer_id")["stage"].to_dict()
    assert {who: frame.get(who, "-") for who, _, _ in cases} == {who: s for who, _, s in cases}


@pytest.fixture(scope="module")
def two_orders(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    """A shop of one customer, who bought for 10 on March 14 and on March 15."""
    days = ("2021-03-14", "2021-03-15")
    events = [Event("a", "purchase", local(day), amount=1000) for day in days]
    return builder(events, tmp_path_factory.mktemp("orders") / "e.csv")


@pytest.mark.parametrize(
    ("rule", "stage"),
    [
        ({"sum": "purchase", ">=": 20}, "yes"),
        ({"sum": "purchase", ">": 20}, "no"),
        ({"sum": "purchase", "window": 1, "==": 10}, "yes"),
        ({"mean": "purchase", "==": 10}, "yes"),
        ({"mean": "purchase", "<": 10}, "no"),
        ({"sum": "refund", "<": 5}, "no"),
        ({"not": {"sum": "refund", "<": 5}}, "yes"),
        ({"days_since_last": "purchase", ">=": 1, "<=": 1}, "yes"),
        ({"days_since_first": "purchase", "==": 2}, "yes"),
        ({"count": "purchase", "window": 2, "==": 2}, "yes"),
        ({"count": "advocacy", "==": 0}, "yes"),
        ({"days_since_last": "advocacy", ">": 0}, "no"),
        ({"not": {"days_since_last": "advocacy", ">": 0}}, "yes"),
        ({"count": "sent", ">=": 1}, "no"),
    ],
)
def test_measures(rule: dict[str, Any], stage: str, two_orders: Builder) -> None:
    stages = [{"name": "yes", "when": rule}, {"name": "no", "default": True}]
    taxonomy = parse(Spot({"buying_stage": "no", "stages": stages}, "one rule"), {})
    code = stage_at(taxonomy, two_orders.history, day_number(dt.date(2021, 3, 16)))
    assert taxonomy.names[int(code[0])] == stage


def test_the_clock_says_when_silence_leads_to_lapsed(tmp_path: Path) -> None:
    bought = Event("a", "purchase", local("2021-03-10"), amount=1000)
    shop = builder([bought], tmp_path / "e.csv")
    at = day_number(dt.date(2021, 3, 12))
    # Silent for more than 5 days on March 16, the sixth day after; that is 4 days on from the 12th.
    clocks = timers(shop.taxonomy, shop.history, at, periods=4, period_days=3)
    assert clocks.days_to_lapse.tolist() == [4.0]
    assert (clocks.silent_code.tolist(), clocks.silent_period.tolist()) == ([0], [2])
    assert clocks.purchases_needed.tolist() == [1]
    assert shop.profile(at)["lapses_at_if_silent"].astype(str).tolist() == ["2021-03-16"]
    assert stage_at(shop.taxonomy, shop.history, at + 3).tolist() != [0]
    assert stage_at(shop.taxonomy, shop.history, at + 4).tolist() == [0]


def test_a_stay_tells_its_cause(tmp_path: Path) -> None:
    shop = builder(
        [
            Event("clock", "purchase", local("2021-03-01"), amount=100),
            Event("deed", "purchase", local("2021-03-01"), amount=100),
            Event("deed", "purchase", local("2021-03-10"), amount=100),
            Event("new", "purchase", local("2021-03-10"), amount=100),
        ],
        tmp_path / "e.csv",
    )
    profile = shop.profile(day_number(dt.date(2021, 3, 12))).set_index("customer_id")
    assert profile["stage_change_cause"].to_dict() == {
        "clock": "clock",
        "deed": "behaviour",
        "new": "first_load",
    }
    assert profile["stage_since"].astype(str).to_dict() == {
        "clock": "2021-03-07",
        "deed": "2021-03-11",
        "new": "2021-03-11",
    }
    assert profile["previous_stage"].to_dict()["deed"] == "lapsed"
