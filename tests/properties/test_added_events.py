"""Stored days of a customer and the events since give what all events give."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from features.aggregates.event_tallies import plain_tallies
from features.errors import UserError
from features.sources import api_events
from features.table.customer_tallies import added_tallies, stored_tallies
from features.table.population_statistics import Everybody
from features.table.snapshot_builder import Builder
from flows.services.update_aggregates import refresh_tallies
from flows.services.workspace import Workspace
from tests.oracles.histories import LATEST, Event, shops
from tests.properties.test_alone import BRANDS, rows, same
from tests.properties.test_increments import (
    A_LINE_COMES_LATER,
    TYPES,
    by_arrival,
    shop_of,
    write_day,
)
from tests.tries import tries


@settings(max_examples=tries(40), phases=(Phase.explicit, Phase.generate), deadline=None)
@given(events=shops(size=40), cut=st.integers(3, 40), ahead=st.integers(0, 20))
@example(events=A_LINE_COMES_LATER, cut=9, ahead=8)
@example(events=A_LINE_COMES_LATER, cut=11, ahead=2)
@example(events=A_LINE_COMES_LATER, cut=13, ahead=20)
def test_days_stored_and_events_since_equal_a_full_build(
    events: list[Event], cut: int, ahead: int
) -> None:
    branded = [
        e if e.amount is not None else replace(e, brand=BRANDS[number % 4])
        for number, e in enumerate(events)
    ]
    counted = [e for e in branded if e.type in TYPES and not e.machine]
    before, since = by_arrival(branded, [cut])
    first_new_day = min(e.day for e in branded if e.type in TYPES) + cut
    since = [e for e in since if not e.machine]
    if not since or not [e for e in before if not e.machine]:
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shop = shop_of(folder, quarantine={"max_share": 1.0})
        write_day(folder, 0, before)
        night = Workspace(folder / "night")
        refresh_tallies(night, shop)
        customers = {e.customer for e in since}
        stored = stored_tallies(night.output, customers, first_new_day)
        mine = api_events.checked_events(known(rows(since)), shop)
        new = plain_tallies(mine, shop, latest=LATEST, orders=stored.orders)
        everything = api_events.checked_events(
            known(rows([e for e in counted if e.customer in customers])), shop
        )
        full = plain_tallies(everything, shop, latest=LATEST)
        if new is None or full is None:  # parts of an order that came at once: refused
            return
        at = first_new_day + ahead
        everybody = Everybody(("purchase", "touch"), {}, {})
        alone = Builder.of_some(shop, full, everybody)
        added = Builder.of_some(shop, added_tallies(stored, new, first_new_day), everybody)
        same(added.features(at), alone.features(at))
        same(added.profile(at), alone.profile(at))
        with pytest.raises(UserError, match="known before"):
            added_tallies(stored, new, first_new_day + 400)


def known(events: list[dict[str, object]]) -> list[dict[str, object]]:
    """Events without the column that this shop does not have."""
    return [{name: value for name, value in e.items() if name != "channel"} for e in events]
