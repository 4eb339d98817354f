"""Truths of the current stage told as small tables: stage records, and data that run behind."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from features.calendar import day_number
from features.table.snapshot_builder import Builder
from tests.oracles.histories import Event, builder, local
from tests.stage_tables import Record, recorded_builder

AT = day_number(dt.date(2021, 3, 16))


def bought(who: str, date: str, time: str = "12:00", **more: object) -> Event:
    return Event(who, "purchase", local(date, time), **{"amount": 1000, **more})  # type: ignore[arg-type]


def told(build: Builder, at: int = AT) -> dict[str, str]:
    frame = build.labels("stage", at)
    names = build.taxonomy.names
    found = zip(frame["customer_id"], frame["truth_code"], strict=True)
    return {who: names[int(code)] for who, code in found}


RECORDS = [
    # who, occurred, known, recorded
    Record("in force", "2021-03-10 12:00", None, "loyalty"),
    Record("last blink", "2021-03-15 23:59:59.999999", None, "loyalty"),
    Record("exactly at t", "2021-03-16 00:00", None, "loyalty"),
    Record("the one before t", "2021-03-01 12:00", None, "retention"),
    Record("the one before t", "2021-03-16 00:00", None, "loyalty"),
    Record("the latest", "2021-03-12 12:00", None, "loyalty"),
    Record("the latest", "2021-03-05 12:00", None, "retention"),
    Record("known late", "2021-03-10 12:00", "2021-03-16 00:00", "loyalty"),
    Record("known late", "2021-03-02 12:00", None, "retention"),
    Record("known before it happened", "2021-03-10 12:00", "2021-03-01 12:00", "loyalty"),
    Record("one instant, known later", "2021-03-10 12:00", "2021-03-13 12:00", "lapsed"),
    Record("one instant, known later", "2021-03-10 12:00", "2021-03-12 12:00", "retention"),
    Record("one instant, one day", "2021-03-10 12:00", None, "retention"),
    Record("one instant, one day", "2021-03-10 12:00", None, "lapsed"),
    Record("mapped", "2021-03-10 12:00", None, "VIP"),
    Record("ends unstaged", "2021-03-10 12:00", None, "partner"),
    Record("ends unstaged", "2021-03-02 12:00", None, "loyalty"),
    Record("no events", "2021-03-10 12:00", None, "loyalty"),
]
IN_FORCE = {
    "in force": "loyalty",
    "last blink": "loyalty",
    "the one before t": "retention",
    "the latest": "loyalty",
    "known late": "retention",
    "known before it happened": "loyalty",
    "one instant, known later": "lapsed",
    # The taxonomy names retention after lapsed.
    "one instant, one day": "retention",
    "mapped": "loyalty",
}


def shop(folder: Path, **changes: object) -> Builder:
    who = sorted({r.customer for r in RECORDS} - {"no events"} | {"never recorded"})
    events = [bought(one, "2021-03-01") for one in who]
    return recorded_builder(
        events, RECORDS, folder, stages={"VIP": "loyalty"}, ignored=["partner"], **changes
    )


def test_the_record_in_force_at_t_is_the_label(tmp_path: Path) -> None:
    build = shop(tmp_path)
    assert told(build) == IN_FORCE
    assert set(build.labels("stage", AT)["label_end_at"].astype(str)) == {"2021-03-16"}
    assert build.records().strangers == 1


def test_a_record_known_late_counts_once_the_label_has_settled(tmp_path: Path) -> None:
    assert told(shop(tmp_path, settle_days=1))["known late"] == "loyalty"
    # Settling tells what was known, not what happened after t.
    assert "exactly at t" not in told(shop(tmp_path, settle_days=20))


def test_everyone_is_predicted_and_no_feature_knows_the_records(tmp_path: Path) -> None:
    build = shop(tmp_path)
    without = builder(
        [bought(one, "2021-03-01") for one in build.history.customers], tmp_path / "plain.csv"
    )
    assert {"never recorded", "ends unstaged"} <= set(build.features(AT)["customer_id"])
    assert build.features(AT).equals(without.features(AT))
    assert build.profile(AT).equals(without.profile(AT))


def test_before_the_first_record_there_is_no_label(tmp_path: Path) -> None:
    assert told(shop(tmp_path), day_number(dt.date(2021, 3, 2))) == {
        "the one before t": "retention"
    }


LATE = {"stage": {"truth": "late", "late_days": 3}}
# Lapsed: no life in 6 days. Loyal: 2 purchase days in 7. Conversion: at most 1 purchase day.
LATE_EVENTS = [
    bought("stays silent", "2021-03-05"),
    bought("came back unseen", "2021-03-02"),
    bought("came back unseen", "2021-03-15", "23:59:59.999999"),
    bought("came back after t", "2021-03-02"),
    bought("came back after t", "2021-03-16", "00:00"),
    bought("seen in time", "2021-03-02"),
    bought("seen in time", "2021-03-12", "23:59:59.999999"),
    bought("one blink too late", "2021-03-02"),
    bought("one blink too late", "2021-03-13", "00:00"),
    bought("told late", "2021-03-02"),
    bought("told late", "2021-03-14", known=local("2021-03-18", "23:59")),
    bought("told after maturity", "2021-03-02"),
    bought("told after maturity", "2021-03-14", known=local("2021-03-19", "00:00")),
    bought("new", "2021-03-14"),
]


def test_the_late_truth_is_the_rule_stage_once_all_is_known(tmp_path: Path) -> None:
    build = builder(LATE_EVENTS, tmp_path / "e.csv", **LATE)
    assert told(build) == {
        "stays silent": "lapsed",
        "came back unseen": "retention",
        "came back after t": "lapsed",
        "seen in time": "retention",
        "one blink too late": "retention",
        "told late": "retention",
        "told after maturity": "lapsed",
        "new": "conversion",
    }
    assert build.horizon("stage") == 3
    assert set(build.labels("stage", AT)["label_end_at"].astype(str)) == {"2021-03-19"}


def test_late_features_know_nothing_of_the_last_days_but_count_to_the_snapshot(
    tmp_path: Path,
) -> None:
    build = builder(LATE_EVENTS, tmp_path / "e.csv", **LATE)
    frame = build.features(AT, delay=build.targets["stage"].delay_days).set_index("customer_id")
    recency = frame["purchase__recency_days"].to_dict()
    assert recency.pop("new") != recency["stays silent"]  # nothing was known of them
    assert recency == {
        "stays silent": 11.0,
        "came back unseen": 14.0,
        "came back after t": 14.0,
        "seen in time": 4.0,
        "one blink too late": 14.0,
        "told late": 14.0,
        "told after maturity": 14.0,
    }
    assert frame["stage"].drop("new").to_dict() == {
        who: "retention" if who == "seen in time" else "lapsed" for who in recency
    }
    assert frame.loc["new", "purchase__count_all"] == 0.0
    assert all(build.targets[task].delay_days == 0 for task in ("churn", "clv", "transition"))
