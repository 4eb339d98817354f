"""Grids and the embargo."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.config_parts.task_config import TrainGrid
from features.errors import UserError
from features.timeline import (
    MIN_HISTORY_DAYS,
    Span,
    day_date,
    day_number,
    grid_back,
    require_history,
    training_snapshots,
)


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
