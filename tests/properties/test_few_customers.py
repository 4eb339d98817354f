"""Few customers are looked at on all of their days at once: with the same results as of many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.lifecycle import stage_engine, stage_spells
from features.lifecycle.stage_engine import timers
from features.lifecycle.stage_spells import present_stay
from tests.oracles.histories import Event, shops
from tests.oracles.test_loops_oracle import shop_of
from tests.tries import tries


@settings(max_examples=tries(40), deadline=None)
@given(events=shops(size=60), days=st.integers(2, 60))
def test_timers_and_stays_are_equal(events: list[Event], days: int) -> None:
    shop = shop_of(events)
    at = min(event.day for event in events) + days
    results = []
    for few in (0, 10_000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stage_engine, "FEW_CUSTOMERS", few)
            patch.setattr(stage_spells, "FEW_CUSTOMERS", few)
            clocks = timers(shop.taxonomy, shop.history, at, periods=4, period_days=3)
            results.append({**vars(clocks), **vars(present_stay(shop.taxonomy, shop.history, at))})
    for name, values in results[0].items():
        np.testing.assert_array_equal(values, results[1][name], err_msg=name)
