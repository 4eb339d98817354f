"""A customer built alone, from raw events and the stored population, comes out as among all."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from features.aggregates.daily_aggregates import tally
from features.sources import api_events
from features.table.population_statistics import Everybody
from features.table.snapshot_builder import Builder
from tests.oracles.histories import LATEST, Event, config, shops, write
from tests.tries import tries

QUICK = (Phase.explicit, Phase.generate)
BRANDS = (None, "x", "y", "z")


def source(file: Path) -> list[dict[str, Any]]:
    """The shop's source with its brand also read as a channel, so that answers are counted."""
    (made,) = config(file).model_dump(mode="json", by_alias=True)["sources"]
    made["columns"]["channel"] = "brand"
    return [made]


def rows(events: list[Event]) -> list[dict[str, Any]]:
    """The same events in the contract's words."""
    return [
        {
            "customer_id": e.customer,
            "event_type": e.type,
            "occurred_at": e.at.isoformat(),
            "known_at": None if e.known is None else e.known.isoformat(),
            "value": None if e.amount is None else e.amount / 100,
            "order_id": e.order,
            "is_machine": e.machine,
            "brand": e.brand,
            "channel": e.brand,
        }
        for e in events
    ]


def same(left: pd.DataFrame, right: pd.DataFrame) -> None:
    """Equal cells to the last bit; a column of nothing has no type of its own."""
    assert list(left.columns) == list(right.columns)
    for one, other in ((left, right), (right, left)):
        pairs = zip(one.items(), other.items(), strict=True)
        differing = [
            name for (name, a), (_, b) in pairs if ((a != b.astype(a.dtype)) & a.notna()).any()
        ]
        assert differing == []
        assert (one.notna() == other.notna()).all(axis=None)


@settings(max_examples=tries(6), phases=QUICK)
@given(shops(size=60), st.integers(8, 30), st.data())
def test_one_customer_alone_is_as_among_all(
    events: list[Event], days: int, data: st.DataObject
) -> None:
    branded = [
        e if e.amount is not None else replace(e, brand=BRANDS[number % 4])
        for number, e in enumerate(events)
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shop = config(write(branded, folder / "all.csv"), sources=source(folder / "all.csv"))
        aside = folder / "quarantine"
        everyone = Builder.from_tallies(shop, tally(shop, latest=LATEST, quarantine=aside)[0])
        at = min(everyone.span.first + days, everyone.last_snapshot)
        # As a scoring run stores it, and a later process reads it.
        stored = json.loads(json.dumps(everyone.everybody_at(at).as_json()))
        kept = everyone.history.customers.tolist()
        group = data.draw(st.sets(st.sampled_from(kept), min_size=1, max_size=2))
        mine = rows([e for e in branded if e.customer in group])
        alone = api_events.write_events(mine, shop, folder / "mine.parquet")
        tallies, _ = tally(alone, latest=LATEST, quarantine=aside)
        some = Builder.of_some(shop, tallies, Everybody.from_json(stored))
        for full, part in (
            (everyone.features(at), some.features(at)),
            (everyone.profile(at), some.profile(at)),
        ):
            wanted = full[full["customer_id"].isin(group)].reset_index(drop=True)
            same(part, wanted)
