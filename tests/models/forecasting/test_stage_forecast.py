"""Forecasts of stage counts: customers are neither lost nor made, and the intervals hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.arrays import Array
from models.forecasting.stage_forecast import StageForecast, forecast_stages
from models.forecasting.stage_moves import GRID_DAYS, last_month_matrix, past_steps
from models.forecasting.stage_states import STATES_OF_STAGE, StageStates, is_active
from tests.tries import tries

NAMES = ("buying", "silent")


def codes() -> tuple[int, int]:
    """A state of the first stage that was active in the last step, and one of the second."""
    first = np.arange(STATES_OF_STAGE)
    active = int(first[is_active(first)][-1])
    quiet = int(first[~is_active(first)][-1])
    return active, STATES_OF_STAGE + quiet


def base(seed: int, *, dates: int = 60, customers: int = 1500, shock: float = 0.3) -> StageStates:
    """Customers who move between two stages; how many do is the same luck for all in a month."""
    rng = np.random.default_rng(seed)
    buying, silent = codes()
    stage = np.where(rng.random(customers) < 0.6, 0, 1)
    joins = rng.integers(-dates, dates, customers)  # half are there from the beginning
    rows = []
    for date in range(dates):
        if date % 3 == 0:
            luck = rng.normal(0, shock)
        chances = np.array([[0.08, 0.92], [0.94, 0.06]])  # of being silent, buying
        leave = chances[0, 0] * np.exp(luck)
        back = chances[1, 1] * np.exp(-luck)
        moved = rng.random(customers)
        stage = np.where(stage == 0, moved < leave, moved >= back).astype(int)
        rows.append(np.where(joins <= date, np.where(stage == 0, buying, silent), -1))
    days = tuple(range(18_000, 18_000 + GRID_DAYS * dates, GRID_DAYS))
    return StageStates(days, np.array(rows, dtype=np.int32), NAMES)


def forecast(states: StageStates, months: int = 4) -> StageForecast:
    made = forecast_stages(states, months=months)
    assert made is not None
    return made


def counts(states: StageStates) -> Array:
    """Customers by date and stage, by a plain loop."""
    table = np.zeros((len(states.days), len(NAMES)))
    for date, row in enumerate(states.cell):
        for code in row:
            if code >= 0:
                table[date, code // STATES_OF_STAGE] += 1
    return table


@given(st.integers(0, 10_000), st.integers(34, 60))
@settings(max_examples=tries(15), deadline=None)
def test_customers_are_kept_and_newcomers_join(seed: int, dates: int) -> None:
    states = base(seed, dates=dates, customers=400)
    made = forecast(states)
    whole = made.mean.sum(axis=1)
    growth = np.diff(np.r_[made.today.sum(), whole])
    assert made.today == pytest.approx(counts(states)[-1])
    assert growth == pytest.approx(np.full(4, growth[0]))
    assert (growth >= 0).all()
    assert (made.low <= made.mean + 1e-9).all()
    assert (made.mean <= made.high + 1e-9).all()
    assert (made.low >= 0).all()
    assert (made.high <= whole[:, None] + 1e-9).all()


@given(st.integers(0, 10_000))
@settings(max_examples=tries(9), deadline=None)
def test_steps_count_as_a_plain_loop_does(seed: int) -> None:
    states = base(seed, customers=60, dates=40)
    steps = past_steps(states)
    place = {day: number for number, day in enumerate(states.days)}
    for number, end in enumerate(steps.days):
        before, after = states.cell[place[int(end)] - 3], states.cell[place[int(end)]]
        moved = np.zeros((2, 2))
        joined = np.zeros(2)
        for old, new in zip(before, after, strict=True):
            if old >= 0:
                moved[old // STATES_OF_STAGE, new // STATES_OF_STAGE] += 1
            elif new >= 0:
                joined[new // STATES_OF_STAGE] += 1
        both = np.zeros((2, 2))
        np.add.at(both, (steps.stage[:, None], steps.stage[None, :]), steps.moves[number])
        assert (both == moved).all()
        assert (steps.counts(steps.newcomers[number]) == joined).all()


def test_what_comes_later_changes_no_forecast() -> None:
    states = base(3)
    early = states.until(states.days[44])
    changed = StageStates(states.days, states.cell.copy(), NAMES)
    changed.cell[45:] = codes()[1]
    again = forecast(changed.until(states.days[44]))
    assert again.table().equals(forecast(early).table())


def test_a_change_moves_customers_and_nothing_changes_without_one() -> None:
    made = forecast(base(5))
    assert made.what_if(1.0).mean == pytest.approx(made.mean)
    more, fewer = made.what_if(1.2, ["silent"]), made.what_if(0.8, ["silent"])
    assert (more.mean[:, 0] > made.mean[:, 0]).all()
    assert (fewer.mean[:, 0] < made.mean[:, 0]).all()
    assert more.mean.sum(axis=1) == pytest.approx(made.mean.sum(axis=1))
    assert (made.what_if(0.9).mean[:, 1] >= made.what_if(0.9, ["buying"]).mean[:, 1]).all()


def test_four_of_five_intervals_hold_where_all_customers_share_the_luck_of_a_month() -> None:
    inside, ours, theirs = [], [], []
    for seed in range(6):
        states = base(seed)
        actual = counts(states)
        for date in range(36, len(states.days) - 3, 3):
            made = forecast_stages(states.until(states.days[date]), months=3)
            assert made is not None
            naive = last_month_matrix(made.steps, made.day, 3)
            for month in range(3):
                later = date + 3 * (month + 1)
                if later < len(actual):
                    came = actual[later]
                    inside.append((came >= made.low[month]) & (came <= made.high[month]))
                    ours.append(np.abs(came - made.mean[month]))
                    theirs.append(np.abs(came - naive[month]))
    assert 0.65 <= float(np.mean(inside)) <= 0.93
    assert np.mean(ours) < np.mean(theirs)


def test_a_short_past_gives_no_forecast() -> None:
    states = base(1)
    assert forecast_stages(states.until(states.days[15])) is None
    assert forecast_stages(states.until(states.days[3])) is None
    empty = StageStates(states.days, np.full_like(states.cell, -1), NAMES)
    assert forecast_stages(empty) is None
