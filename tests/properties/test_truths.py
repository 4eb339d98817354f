"""Truths of the current stage against naive loops and copies of the data without a future."""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from features.calendar import day_number
from features.lifecycle.crm_stage_history import declared, stage_records
from features.lifecycle.crm_stage_reading import read_records
from features.lifecycle.stage_engine import stage_at
from features.lifecycle.taxonomy_parser import load_taxonomy
from tests.oracles.histories import LATEST, ZONE, Event, builder, local, shops
from tests.stage_tables import Record, recorded_config
from tests.tries import tries

QUICK = (Phase.explicit, Phase.generate)
NAMES = ("lapsed", "loyalty", "conversion", "retention", "warm", "reach")  # as in the taxonomy
DAYS = 12
FIRST = dt.date(2021, 3, 8)  # the clocks change on the 14th


def known_before(events: list[Event], day: int) -> list[Event]:
    return [e for e in events if e.day < day and e.known_day < day]


@settings(max_examples=tries(3), phases=QUICK)
@given(events=shops(), offset=st.integers(6, 45), delay=st.integers(1, 9))
def test_late_features_equal_those_of_data_that_end_there(
    events: list[Event], offset: int, delay: int
) -> None:
    at = min(e.day for e in events) + offset
    seen = known_before(events, at - delay)
    if not [e for e in seen if not e.machine]:
        return
    with tempfile.TemporaryDirectory() as folder:
        full = builder(events, Path(folder) / "all.csv")
        past = builder(seen, Path(folder) / "past.csv")
        vars(past)["spec"] = full.spec  # the same columns, whatever roles it has seen
        late, alone = full.features(at, delay=delay), past.features(at)
    known = late["customer_id"].isin(alone["customer_id"])
    pd.testing.assert_frame_equal(late[known].reset_index(drop=True), alone, check_exact=True)
    # Of the others nothing is known, so that all of them look alike.
    assert len(late[~known].drop(columns="customer_id").drop_duplicates()) <= 1
    assert set(late["customer_id"]) == set(full.features(at)["customer_id"])


@settings(max_examples=tries(3), phases=QUICK)
@given(
    events=shops(),
    offset=st.integers(6, 30),
    delay=st.integers(1, 6),
    settle=st.sampled_from((0, 3)),
)
def test_the_late_truth_is_the_rule_stage_of_what_is_known_at_maturity(
    events: list[Event], offset: int, delay: int, settle: int
) -> None:
    changes = {"stage": {"truth": "late", "late_days": delay}, "settle_days": settle}
    at = min(e.day for e in events) + offset
    with tempfile.TemporaryDirectory() as folder:
        full = builder(events, Path(folder) / "all.csv", **changes)
        mature = known_before(events, at + delay + settle)
        past = builder([e for e in mature if e.day < at], Path(folder) / "past.csv")
    labels = full.labels("stage", at).set_index("customer_id")["truth_code"]
    # All that is in this copy is known, whenever it became so.
    code = stage_at(past.taxonomy, past.history.settled, at)
    rule = dict(zip(past.history.customers, code.astype(float), strict=True))
    assert labels.to_dict() == {who: rule[who] for who in labels.index}


moments = st.builds(
    lambda day, time: f"{FIRST + dt.timedelta(days=day)} {time}",
    st.integers(0, DAYS),
    st.sampled_from(("00:00", "00:30", "12:00", "23:59:59.999999")),
)
records = st.builds(
    Record, st.sampled_from("abcd"), moments, st.none() | moments, st.sampled_from(NAMES)
)


def in_force(told: list[Record], who: str, at: int, known_before: int) -> str | None:
    """Plain loop over one customer's records."""
    best: tuple[dt.datetime, int, int] | None = None
    for one in told:
        when = local(*one.at.split(" "))
        known = max(when, local(*(one.known or one.at).split(" ")))
        day, known_day = (day_number(m.astimezone(ZONE).date()) for m in (when, known))
        if one.customer != who or day >= at or known_day >= known_before:
            continue
        candidate = (when, known_day, NAMES.index(one.stage))
        best = candidate if best is None else max(best, candidate)
    return None if best is None else NAMES[best[2]]


@settings(max_examples=tries(12), phases=QUICK)
@given(
    told=st.lists(records, min_size=1, max_size=14),
    day=st.integers(0, DAYS + 2),
    settle=st.sampled_from((0, 0, 2)),
)
def test_the_records_in_force_are_those_of_a_plain_loop(
    told: list[Record], day: int, settle: int
) -> None:
    at = day_number(FIRST) + day
    with tempfile.TemporaryDirectory() as folder:
        shop = recorded_config([], told, Path(folder), settle_days=settle)
        table, _ = read_records(shop, latest=LATEST, quarantine=Path(folder))
    taxonomy = load_taxonomy(shop)
    customers = np.array(["a", "b", "c"])
    found = stage_records(table, declared(shop), taxonomy, customers)
    names = (*taxonomy.names, None)  # code -1 takes the last: no stage
    assert names[:-1] == NAMES
    code = found.stages(at, known_before=at + settle)
    expected = [in_force(told, who, at, at + settle) for who in customers]
    assert [names[number] for number in code] == expected
