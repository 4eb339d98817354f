"""The interval of a total: chance and level errors, drawn and counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.fitting.total_interval import level_error, total_interval
from tests.tries import tries


def test_the_interval_holds_the_total_as_often_as_it_says():
    random, held = np.random.default_rng(2), []
    for _ in range(2000):
        level = np.exp(random.normal(0.0, 0.1))
        total = 10_000 * level + random.normal(0.0, 500)
        low, high = total_interval(10_000, variance=500.0**2, level_error=0.1)
        held.append(low <= total <= high)
    assert np.mean(held) == pytest.approx(0.8, abs=0.03)


def test_the_level_error_is_the_root_mean_square_of_logs():
    assert level_error(np.array([110.0, 90.0]), np.array([100.0, 100.0])) == pytest.approx(
        np.sqrt((np.log(1.1) ** 2 + np.log(0.9) ** 2) / 2)
    )
    assert level_error(np.array([0.0, 110.0]), np.array([100.0, 100.0])) == pytest.approx(
        np.log(1.1)
    )
    assert level_error(np.array([0.0]), np.array([0.0])) == 0.0


@given(
    expected=st.floats(0, 1e6), spread=st.floats(0, 1e4), error=st.floats(0, 1),
    more=st.floats(0, 1),
)  # fmt: skip
@settings(max_examples=tries(50), deadline=None)
def test_the_interval_holds_what_is_expected_and_grows_with_the_error(
    expected, spread, error, more
):
    low, high = total_interval(expected, variance=spread**2, level_error=error)
    wider = total_interval(expected, variance=spread**2, level_error=error + more)
    assert 0 <= wider[0] <= low <= expected <= high <= wider[1]
