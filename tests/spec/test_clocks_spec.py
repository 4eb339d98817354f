"""What the rules' own clocks say, told as a small table, and stages at dates of each customer.

The stages are those of `TAXONOMY`: lapsed after more than 5 days, loyal with 2 purchase days in 7.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.calendar import day_number
from features.config.yaml_with_lines import Spot
from features.lifecycle.rule_evaluation import Facts
from features.lifecycle.stage_engine import (
    FURTHEST_CLOCK,
    MOST_PURCHASES_ASKED,
    decide,
    stage_at,
    timers,
)
from features.lifecycle.taxonomy import Taxonomy
from features.lifecycle.taxonomy_parser import parse
from features.table.snapshot_builder import Builder
from tests.oracles import loops
from tests.oracles.histories import TAXONOMY, Event, builder, local

AT = day_number(dt.date(2021, 3, 20))
NAMES = [stage["name"] for stage in TAXONOMY["stages"]]

# Four periods of three days ahead, and twice as many back. "-": no number, as it never comes.
CLOCKS = """
| who        | bought      | touched    | now        | in silence    | bought today | to | lapse | held |
| just now   | 18          |            | conversion | lapsed 2      | loyalty      | 1  | 4     | 0    |
| last day   | 15          |            | conversion | lapsed 1      | loyalty      | 1  | 1     | 1    |
| loyal      | 14 18       |            | loyalty    | retention 1   | loyalty      | 11 | 4     | 0    |
| two moves  | 13 18       | 1          | loyalty    | retention 1   | loyalty      | 11 | 4     | 0    |
| long ago   | 1           |            | lapsed     | lapsed 5      | retention    | 1  | 0     | 4    |
| longer ago | -20         |            | lapsed     | lapsed 5      | retention    | 1  | 0     | 8    |
| looked     |             | 19         | warm       | reach 1       | conversion   | 1  | -     | 0    |
| cooled     |             | 1          | reach      | reach 5       | conversion   | 1  | -     | 5    |
| told late  | 18 known 22 | 1          | reach      | reach 5       | conversion   | 1  | -     | 5    |
| told once  | 2 known 16  | -8         | lapsed     | lapsed 5      | retention    | 1  | 0     | 1    |
"""  # noqa: E501


def march(day: str) -> dt.datetime:
    return local(dt.date(2021, 2, 28) + dt.timedelta(days=int(day)))


def events_of(who: str, kind: str, days: str) -> list[Event]:
    found = []
    for said in days.replace(" known ", "~").split():
        day, _, known = said.partition("~")
        found.append(
            Event(who, kind, march(day), march(known) if known else None, 1000)
            if kind == "purchase"
            else Event(who, kind, march(day))
        )
    return found


def lines(table: str) -> list[list[str]]:
    return [[c.strip() for c in line.strip("|").split("|")] for line in table.split("\n")[2:-1]]


def test_clocks(tmp_path: Path) -> None:
    rows = lines(CLOCKS)
    events = [
        event
        for who, bought, touched, *_ in rows
        for event in (*events_of(who, "purchase", bought), *events_of(who, "touch", touched))
    ]
    shop = builder(events, tmp_path / "e.csv")
    found = timers(shop.taxonomy, shop.history, AT, periods=4, period_days=3)
    told = {
        who: [
            NAMES[found.code[i]],
            f"{NAMES[found.silent_code[i]]} {found.silent_period[i]}",
            NAMES[found.after_purchase_code[i]],
            f"{found.purchases_needed[i]}",
            "-" if np.isnan(found.days_to_lapse[i]) else f"{found.days_to_lapse[i]:g}",
            f"{found.periods_in_stage[i]}",
        ]
        for i, who in enumerate(shop.history.customers)
    }
    assert told == {who: said for who, _, _, *said in rows}
    assert stage_at(shop.taxonomy, shop.history, AT).tolist() == found.code.tolist()
    # Who bought on the 18th lapses on the 24th: in the fourth period of a day, if asked for.
    who = list(shop.history.customers).index("just now")
    for periods, silent in ((3, ("conversion", 4)), (4, ("lapsed", 4)), (5, ("lapsed", 4))):
        found = timers(shop.taxonomy, shop.history, AT, periods=periods, period_days=1)
        assert (NAMES[found.silent_code[who]], found.silent_period[who]) == silent


def stages(*given: dict[str, Any]) -> Taxonomy:
    content = {"buying_stage": "rest", "stages": [*given, {"name": "rest", "default": True}]}
    return parse(Spot(content, "stages of a test"), {})


@pytest.fixture(scope="module")
def one_order(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    """A shop of one customer, who bought on the day before the date."""
    folder = tmp_path_factory.mktemp("order")
    return builder(events_of("a", "purchase", "19"), folder / "e.csv")


def test_purchases_are_asked_for_up_to_ten(one_order: Builder) -> None:
    none = MOST_PURCHASES_ASKED + 1
    for purchases, needed in ((2, 1), (3, 2), (11, 10), (12, none), (40, none)):
        taxonomy = stages({"name": "often", "when": {"count": "purchase", ">=": purchases}})
        found = timers(taxonomy, one_order.history, AT, periods=1, period_days=7)
        assert found.purchases_needed.tolist() == [needed]


def test_the_clock_is_read_as_far_as_it_goes(one_order: Builder) -> None:
    for days in (1, 2, 3, FURTHEST_CLOCK, FURTHEST_CLOCK + 1):
        quiet = {"days_since_last": "purchase", ">=": days + 1}
        taxonomy = stages({"name": "lapsed", "silent": True, "when": quiet})
        found = timers(taxonomy, one_order.history, AT, periods=1, period_days=7)
        expected = days if days <= FURTHEST_CLOCK else np.nan
        np.testing.assert_equal(found.days_to_lapse, [expected])


EVENTS = [
    *events_of("a", "purchase", "3 9 18"),
    *events_of("b", "purchase", "2 12 known 15 14"),
    *events_of("c", "purchase", "4 known 9 11 known 21"),
    *events_of("d", "touch", "5 17"),
    *events_of("e", "touch", "2"),
    *events_of("e", "purchase", "10 known 19 16 known 18"),
    *events_of("f", "purchase", "13 17"),
]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Builder:
    return builder(EVENTS, tmp_path_factory.mktemp("shop") / "e.csv")


def one_by_one(who: Sequence[str], at: Sequence[int], known: Sequence[int]) -> list[int]:
    """The stage of each customer at a date of their own, by loops over their events."""
    return [
        loops.stage(TAXONOMY, loops.as_of(EVENTS, name, min(day, before)), day)
        for name, day, before in zip(who, at, known, strict=True)
    ]


def test_everyone_may_have_a_date_of_their_own(shop: Builder) -> None:
    for some in ([0, 1, 2, 3, 4, 5], [1, 4], [0, 2, 4, 5], [3]):
        who, names = np.array(some), [shop.history.customers[i] for i in some]
        for first in range(AT - 15, AT + 4):
            at = first + (who * 5) % 4
            for known in (at, at - 4, at - (who % 3) * 3):
                found = stage_at(shop.taxonomy, shop.history, at, known_before=known, positions=who)
                assert found.tolist() == one_by_one(names, at, known)
            found = stage_at(shop.taxonomy, shop.history, at, positions=who)
            assert found.tolist() == one_by_one(names, at, at)
            days = (first, first - 3)
            found = stage_at(
                shop.taxonomy, shop.history, days[0], known_before=days[1], positions=who
            )
            assert found.tolist() == one_by_one(names, *([day] * len(who) for day in days))


def test_a_purchase_imagined_counts_for_those_with_something_under_way_too(shop: Builder) -> None:
    for at in range(AT - 15, AT + 4):
        found = stage_at(shop.taxonomy, shop.history, at, added_purchases=1)
        for name, code in zip(shop.history.customers, found, strict=True):
            past = loops.as_of(EVENTS, name, at)
            # On a day of its own, after whatever else there is.
            past = {**past, "purchase": [*past.get("purchase", []), (at - 0.5, 0)]}
            assert code == loops.stage(TAXONOMY, past, at)


def test_a_truth_takes_the_place_of_a_rule(shop: Builder) -> None:
    facts = Facts(shop.history.settled, AT, AT)
    by_rules = decide(shop.taxonomy, facts)
    instead = np.array([True, False, False, True, False, False])
    found = decide(shop.taxonomy, facts, stage_truths={0: instead})
    assert (found[instead] == 0).all()
    assert (found[~instead] > 0).all()
    same = ~instead & (by_rules != 0)
    assert (found[same] == by_rules[same]).all()
    assert decide(shop.taxonomy, facts, stage_truths={}).tolist() == by_rules.tolist()
