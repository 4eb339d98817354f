"""Labels told as small tables: what a customer did around March 16, and what is true of them."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from features.calendar import day_number
from features.table.snapshot_builder import Builder
from tests.oracles.histories import Event, builder, local

AT = day_number(dt.date(2021, 3, 16))


def purchase(who: str, date: str, time: str = "12:00", **more: object) -> Event:
    return Event(who, "purchase", local(date, time), **{"amount": 1000, **more})  # type: ignore[arg-type]


def shop(folder: Path, events: list[Event], **changes: object) -> Builder:
    # Everyone bought on March 1, so that everyone exists.
    first = [purchase(who, "2021-03-01") for who in sorted({e.customer for e in events})]
    return builder([*first, *events], folder / "e.csv", activity_days=30, **changes)


def test_churn_and_spend_look_at_whole_days_from_the_snapshot(tmp_path: Path) -> None:
    # The horizon of 7 days is March 16 to the last blink of March 22.
    events = [
        purchase("just before", "2021-03-15", "23:59:59.999999"),
        purchase("first blink", "2021-03-16", "00:00"),
        purchase("last blink", "2021-03-22", "23:59:59.999999"),
        purchase("just after", "2021-03-23", "00:00"),
        purchase("took back", "2021-03-17"),
        Event("took back", "refund", local("2021-03-18"), amount=2500),
        purchase("twice a day", "2021-03-17", "09:00"),
        purchase("twice a day", "2021-03-17", "21:00"),
    ]
    build = shop(tmp_path, events)
    churn = build.labels("churn", AT).set_index("customer_id")["no_purchase"].to_dict()
    assert churn == {
        "just before": 1.0,
        "first blink": 0.0,
        "last blink": 0.0,
        "just after": 1.0,
        "took back": 0.0,
        "twice a day": 0.0,
    }
    clv = build.labels("clv", AT).set_index("customer_id")
    assert clv["spend"].to_dict() == {
        "just before": 0.0,
        "first blink": 10.0,
        "last blink": 10.0,
        "just after": 0.0,
        "took back": 0.0,
        "twice a day": 20.0,
    }
    assert clv["orders"].to_dict()["twice a day"] == 1.0
    assert set(clv["label_end_at"].astype(str)) == {"2021-03-23"}


@pytest.mark.parametrize(("settle", "seen"), [(0, False), (2, False), (3, True)])
def test_a_label_is_read_when_it_has_settled(tmp_path: Path, settle: int, seen: bool) -> None:
    # Known on March 25: before the label (ends March 23) settles only with three days or more.
    late = purchase("a", "2021-03-18", known=local("2021-03-25", "09:00"))
    other = purchase("b", "2021-03-30")
    build = shop(tmp_path, [late, other], settle_days=settle)
    assert build.labels("churn", AT)["no_purchase"].tolist() == [0.0 if seen else 1.0, 1.0]
    assert build.labels("clv", AT)["spend"].tolist() == [10.0 if seen else 0.0, 0.0]


def test_the_centred_truth_looks_to_both_sides(tmp_path: Path) -> None:
    # Loyal: 2 purchase days in 7, centred March 13 to 19. Lapsed: no life March 16 to 20.
    events = [
        purchase("both edges", "2021-03-13", "00:00"),
        purchase("both edges", "2021-03-19", "23:59:59.999999"),
        purchase("early", "2021-03-12", "23:59:59.999999"),
        purchase("early", "2021-03-19"),
        purchase("late", "2021-03-13"),
        purchase("late", "2021-03-20", "00:00"),
        purchase("silent", "2021-03-13"),
        purchase("silent", "2021-03-21", "00:00"),
        Event("touched", "touch", local("2021-03-20", "23:59:59.999999")),
        Event("written to", "sent", local("2021-03-17")),
    ]
    build = shop(tmp_path, events)
    names = build.taxonomy.names
    labels = build.labels("stage", AT).set_index("customer_id")["truth_code"]
    assert {who: names[int(code)] for who, code in labels.items()} == {
        "both edges": "loyalty",
        "early": "retention",
        "late": "retention",
        "silent": "lapsed",
        "touched": "conversion",
        "written to": "lapsed",
    }


def test_a_transition_is_the_first_change_on_the_grid(tmp_path: Path) -> None:
    # Grid of March 19, 22, 25 and 28. Lapsed on March 1 + 6 days.
    events = [
        purchase("moves", "2021-03-18", "23:59:59.999999"),
        purchase("one period later", "2021-03-19", "00:00"),
        purchase("returns", "2021-03-17"),
        Event("never moves", "sent", local("2021-03-17")),
    ]
    build = shop(tmp_path, events)
    labels = build.labels("transition", AT).set_index("customer_id")
    names = [*build.taxonomy.names, "no change"]
    found = {
        who: (names[int(code)], int(period))
        for who, code, period in labels[["next_code", "period"]].itertuples()
    }
    assert found == {
        "moves": ("retention", 1),
        "one period later": ("retention", 2),
        "returns": ("retention", 1),
        "never moves": ("no change", 0),
    }


def test_a_brand_counts_from_the_day_after(tmp_path: Path) -> None:
    events = [
        purchase("a", "2021-03-15", "23:59:59.999999", brand="x"),
        purchase("a", "2021-03-16", "00:00", brand="y"),
        purchase("a", "2021-03-14", brand="z", known=local("2021-03-16", "00:00")),
    ]
    build = shop(tmp_path, events)
    assert build.features(AT)["preference__brand_n"].tolist() == [1.0]
    assert build.features(AT + 1)["preference__brand_n"].tolist() == [3.0]
    assert build.profile(AT)["preferred_brand"].tolist() == ["x"]


AROUND = (-3, -2, -1, 0, 1, 2)  # days from the snapshot


@pytest.mark.parametrize(
    ("sign", "recent", "before"),
    [
        # Within 3 days: t - 1, t and t + 1; within 2: t - 1 and t.
        ("<=", {-1, 0, 1}, {-1, 0, 1}),
        ("<", {-1, 0}, {-1, 0}),
        # Longer ago, of those who had bought before t.
        (">", {-3, -2}, {-3, -2, 2}),
        (">=", {-3, -2}, {-3, -2, 1, 2}),
    ],
)
def test_recency_around_a_date_is_a_window_around_it(
    tmp_path: Path, sign: str, recent: set[int], before: set[int]
) -> None:
    rules = {
        "name": "recent",
        "life_roles": ["purchase"],
        "buying_stage": "here",
        "stages": [
            {"name": "here", "rank": 1, "when": {"days_since_last": "purchase", sign: 3}},
            {"name": "elsewhere", "rank": 0, "default": True},
        ],
    }
    day = {days: dt.date(2021, 3, 16) + dt.timedelta(days=days) for days in AROUND}
    events = [Event(f"new {n}", "touch", local("2021-03-01")) for n in AROUND]
    events += [purchase(f"new {n}", str(day[n])) for n in AROUND]
    events += [purchase(f"old {n}", "2021-03-01") for n in AROUND]
    events += [purchase(f"old {n}", str(day[n])) for n in AROUND]
    events += [Event("never", "touch", local("2021-03-01"))]
    build = builder(
        events, tmp_path / "e.csv", stages=rules, stage={"truth": "centred", "confirm_days": 1}
    )
    frame = build.labels("stage", AT).set_index("customer_id")["truth_code"]
    here = set(frame.index[frame == 0.0])
    assert here == {f"new {n}" for n in recent} | {f"old {n}" for n in before}


def test_the_truth_reaches_as_far_as_half_its_widest_window(tmp_path: Path) -> None:
    events = [purchase("a", "2021-03-10")]
    for confirm, days in ((2, 4), (6, 6)):  # the widest window is of 7 days: 3 before, 4 after
        build = shop(tmp_path, events, stage={"truth": "centred", "confirm_days": confirm})
        assert build.horizon("stage") == days


def test_the_naive_truth_is_the_rule_stage_but_for_who_shows_no_life(tmp_path: Path) -> None:
    events = [
        purchase("stays", "2021-03-15"),
        purchase("stays", "2021-03-17"),
        purchase("gone", "2021-03-15"),
        purchase("back too late", "2021-03-15"),
        purchase("back too late", "2021-03-19", "00:00"),
    ]
    build = shop(tmp_path, events, stage={"truth": "naive", "confirm_days": 3})
    frame = build.labels("stage", AT).set_index("customer_id")["truth_code"]
    names = build.taxonomy.names
    assert {who: names[int(code)] for who, code in frame.items()} == {
        "stays": "retention",
        "gone": "lapsed",
        "back too late": "lapsed",
    }
