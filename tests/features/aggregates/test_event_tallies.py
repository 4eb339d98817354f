"""Tallies of a few events in plain Python: those of the engine, or none."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.aggregates.daily_aggregates import tally
from features.aggregates.event_tallies import plain_tallies
from features.aggregates.tallies import Tallies
from features.config.config import Config
from features.errors import UserError
from features.sources.api_events import checked_events, write_checked
from tests.oracles.histories import LATEST, config
from tests.tries import tries

CHANNEL = {"channel": "brand"}
MOMENTS = [
    "2024-03-09",
    "2024-03-10T01:59:59.999999-05:00",
    "2024-03-10T04:00:00Z",
    "2024-03-11T03:59:00+00:00",
    "2024-11-03T01:30:00-04:00",
    "2024-11-03T01:30:00-05:00",
    "2024-11-04 12:00:00.5+00:00",
]
event = st.fixed_dictionaries(
    {
        "customer_id": st.sampled_from(["a", "b", " A ", "7.0", "é"]),
        "event_type": st.sampled_from(["purchase", "purchase", "refund", "open", "left"]),
        "occurred_at": st.sampled_from(MOMENTS),
        "value": st.sampled_from([0, 5, 1.005, "2.675", -3, "-0.125", 1e6, 19.99]),
    },
    optional={
        "known_at": st.sampled_from([None, *MOMENTS]),
        "order_id": st.sampled_from(["o1", "o2", "o3.0", ""]),
        "is_machine": st.sampled_from([True, False, "Yes", "no", 0]),
        "brand": st.sampled_from(["x", "y ", "", None]),
        "channel": st.sampled_from(["email", "ads", None]),
    },
)


def shop(**changes: Any) -> Config:
    (source,) = config(Path("shop.csv")).model_dump(mode="json", by_alias=True)["sources"]
    source["columns"]["channel"] = "channel"
    changes = {"ignored_event_types": ["left"], "placeholder_ids": ["é"], **changes}
    return config(Path("shop.csv"), sources=[source], **changes)


def by_engine(checked: list[dict[str, str]], shop: Config) -> Tallies:
    with tempfile.TemporaryDirectory() as name:
        written = write_checked(checked, shop, Path(name) / "events.parquet")
        return tally(written, latest=LATEST, quarantine=Path(name) / "bad")[0]


def rows(table: pa.Table) -> list[dict[str, Any]]:
    return table.to_pylist()


@settings(max_examples=tries(60), deadline=None)
@given(
    events=st.lists(event, min_size=1, max_size=12),
    refunds=st.sampled_from(["net", "separate", "reject"]),
    signs=st.sampled_from(["either", "negative", "positive"]),
    minor_units=st.sampled_from([0, 2]),
)
def test_they_are_those_of_the_engine(
    events: list[dict[str, Any]], refunds: str, signs: str, minor_units: int
) -> None:
    made = shop(refunds=refunds, refund_amounts=signs, minor_units=minor_units)
    checked = checked_events(events, made)
    plain = plain_tallies(checked, made, latest=LATEST)
    if plain is None:
        # Refused by the engine, nothing that counts, or an order of which two parts are tied.
        return
    engine = by_engine(checked, made)
    assert rows(plain.daily) == rows(engine.daily)
    assert rows(plain.attributes) == rows(engine.attributes)


@settings(max_examples=tries(60), deadline=None)
@given(events=st.lists(event, min_size=1, max_size=12))
def test_only_what_cannot_be_counted_plainly_is_left_to_the_engine(
    events: list[dict[str, Any]],
) -> None:
    made = shop(refunds="net")
    usual = [
        {**e, "customer_id": "a", "is_machine": False, "event_type": "purchase"} for e in events
    ]
    single = [{**e, "order_id": f"o{number}"} for number, e in enumerate(usual)]
    assert plain_tallies(checked_events(single, made), made, latest=LATEST) is not None


GOOD = {"customer_id": "a", "event_type": "purchase", "occurred_at": "2024-05-01", "value": 3}


@pytest.mark.parametrize(
    "change",
    [
        {"event_type": "bougth"},
        {"value": None},
        {"value": "many"},
        {"value": "nan"},
        {"value": 1e15},
        {"occurred_at": "2199-01-01"},
        {"occurred_at": "1969-01-01"},
        {"known_at": "2199-01-01"},
        {"customer_id": "1.03E+19"},
        {"order_id": "1.03E+19"},
    ],
)
def test_what_the_engine_refuses_is_left_to_it(change: dict[str, Any]) -> None:
    made = shop()
    checked = checked_events([GOOD, {**GOOD, **change}], made)
    assert plain_tallies(checked, made, latest=LATEST) is None
    with pytest.raises(UserError):
        by_engine(checked, made)


@pytest.mark.parametrize("value", ["$5", "1,000.50", "(3)", "1e3", "٣"])
def test_amounts_with_other_signs_are_left_to_the_engine(value: str) -> None:
    made = shop()
    assert (
        plain_tallies(checked_events([{**GOOD, "value": value}], made), made, latest=LATEST) is None
    )


def test_event_ids_must_be_unique_and_complete() -> None:
    made = shop()
    for ids, is_plain in ((["1", "2"], True), (["1", "1"], False), (["1", None], False)):
        events = [{**GOOD, "event_id": name} for name in ids]
        plain = plain_tallies(checked_events(events, made), made, latest=LATEST)
        assert (plain is not None) == is_plain
