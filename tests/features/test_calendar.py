"""Grids and the embargo."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.calendar import Span, day_date, day_number, grid_back, local_days
from features.config.tasks import TrainGrid
from features.errors import UserError
from features.table.training_snapshots import MIN_HISTORY_DAYS, require_history, training_snapshots


def test_days_and_dates_are_inverse() -> None:
    assert day_number(dt.date(1970, 1, 1)) == 0
    assert day_date(day_number(dt.date(2024, 2, 29))) == dt.date(2024, 2, 29)


def test_a_grid_hangs_from_its_last_day() -> None:
    assert grid_back(100, every_days=30, first=20) == [40, 70, 100]
    assert grid_back(100, every_days=30, first=20, at_most=2) == [70, 100]
    assert grid_back(10, every_days=30, first=20) == []


@given(
    origin=st.integers(50, 2000),
    horizon=st.integers(1, 400),
    settle=st.integers(0, 60),
    every=st.integers(1, 60),
    at_most=st.none() | st.integers(1, 20),
)
def test_every_training_label_matures_by_the_origin(
    origin: int, horizon: int, settle: int, every: int, at_most: int | None
) -> None:
    span = Span(first=0, through=3000)
    grid = TrainGrid(every_days=every, at_most=at_most)
    days = training_snapshots(
        origin, span, grid, horizon_days=horizon, settle_days=settle, default_every=30
    )
    assert days == sorted(set(days))
    assert all(t + horizon + settle <= origin for t in days)
    assert all(t >= MIN_HISTORY_DAYS for t in days)
    if days:
        assert days[-1] == origin - horizon - settle


def test_two_horizons_back_is_in_the_grid() -> None:
    days = training_snapshots(
        1000,
        Span(0, 2000),
        TrainGrid(every_days=70, at_most=3),
        horizon_days=60,
        settle_days=0,
        default_every=30,
    )
    assert {940, 880} <= set(days)


def test_short_history_names_what_is_needed_and_what_is_there() -> None:
    require_history(Span(0, 27 + 120), horizon_days=60, settle_days=0, task="churn")
    with pytest.raises(UserError, match=r"churn: history: found 147 days") as error:
        require_history(Span(0, 26 + 120), horizon_days=60, settle_days=0, task="churn")
    assert "at least 148 days" in str(error.value)


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kathmandu", "Pacific/Apia", "UTC"])
def test_a_local_day_is_that_of_the_calendar_also_where_clocks_change(zone: str) -> None:
    begun = int(dt.datetime(2011, 10, 1, tzinfo=dt.UTC).timestamp())
    seconds = [begun + 1800 * n for n in range(48 * 180)]
    found = local_days(np.array(seconds) * 1_000_000, zone)
    days = [dt.datetime.fromtimestamp(s, ZoneInfo(zone)).date() for s in seconds]
    assert found.tolist() == [day_number(day) for day in days]
    last_blink = local_days(np.array([begun * 1_000_000 - 1, begun * 1_000_000]), "UTC")
    assert np.diff(last_blink).tolist() == [1]
    assert local_days(np.array([], dtype=np.int64), zone).dtype == np.int64


def test_a_grid_may_begin_at_a_date_and_never_on_the_first_day() -> None:
    def first(begin: int) -> int:
        grid = TrainGrid.model_validate(
            {"from": str(day_date(begin)), "every_days": 1, "at_most": 150}
        )
        days = training_snapshots(
            200, Span(100, 300), grid, horizon_days=10, settle_days=0, default_every=30
        )
        return days[0]

    assert [first(begin) for begin in (90, 100, 101, 102, 150)] == [101, 101, 101, 102, 150]
