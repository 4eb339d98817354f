"""Own send times: learned from active days, used only if they beat the best time of all."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from campaigns.customer_context import CustomerContext
from campaigns.planning import CampaignPlan
from campaigns.send_time import (
    HOUR,
    WEEKDAY,
    WEEKDAY_NAMES,
    SendTimes,
    common_habits,
    own_times,
    send_time_test,
    send_times,
)
from tests.campaigns.campaign_examples import plan, scores
from tests.campaigns.offer_examples import offers_playbook

HABITS = np.array([1, 1, 1, 1, 1, 2, 3, 5, 6, 7, 8, 8, 9, 8, 7, 7, 8, 9, 12, 14, 12, 8, 4, 2.0])
HABITS /= HABITS.sum()


def drawn_days(people: int, strength: float, days: int, seed: int) -> np.ndarray:
    """Active days by hour of customers with habits of their own around those of all."""
    rng = np.random.default_rng(seed)
    own = rng.dirichlet(strength * HABITS, people)
    return rng.multinomial(rng.poisson(days, people), own)


@given(
    arrays.arrays(np.int64, st.tuples(st.integers(1, 12), st.just(24)), elements=st.integers(0, 9)),
)
def test_chances_are_chances_and_unknown_customers_have_the_habits_of_all(
    counts: np.ndarray,
) -> None:
    with_unknown = np.vstack([counts, np.zeros(counts.shape[1], dtype=np.int64)])
    chances, strength = own_times(with_unknown, HOUR)
    assert strength > 0
    assert (chances > 0).all()
    assert chances.sum(axis=1) == pytest.approx(1.0)
    assert chances[-1] == pytest.approx(common_habits(with_unknown))


@pytest.mark.parametrize("strength", [3.0, 12.0, 60.0])
def test_the_strength_of_the_habits_of_all_is_learned(strength: float) -> None:
    rng = np.random.default_rng(1)
    habits = np.full(7, 1 / 7)
    days = rng.multinomial(30, rng.dirichlet(strength * habits, 2000))
    _, learned = own_times(days, WEEKDAY)
    assert learned == pytest.approx(strength, rel=0.2)


def test_own_hours_are_used_where_customers_have_some() -> None:
    days = drawn_days(2000, 4.0, 40, seed=2)
    rng = np.random.default_rng(3)
    later = rng.binomial(days, 0.25)
    weekday = np.zeros((2000, 7), dtype=np.int64)
    customers = pd.Index([f"c{number}" for number in range(2000)])
    learned = send_times(customers, (days - later, later), (weekday, weekday))
    hours, weekdays = learned.tests
    assert hours.used
    assert hours.low < hours.gain < hours.high
    assert hours.own_share > hours.common_share
    assert hours.log_low > 0
    assert not weekdays.used
    assert learned.times["send_weekday"].isna().all()
    assert learned.times["send_hour"].dropna().between(0, 23).all()
    assert (learned.times["send_hour"] != hours.common).all()
    assert "own ones are used" in hours.sentence


def test_no_customer_has_an_own_hour_where_all_have_the_same_habits() -> None:
    rng = np.random.default_rng(4)
    earlier, later = (rng.multinomial(days, HABITS, 3000) for days in (30, 4))
    test = send_time_test(earlier, later, HOUR)
    assert not test.used
    assert "not used" in test.sentence


def test_of_a_hundred_shops_without_own_habits_few_use_own_hours() -> None:
    used = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        earlier, later = (rng.multinomial(days, HABITS, 600) for days in (6, 2))
        used += send_time_test(earlier, later, HOUR).used
    assert used <= 6


def planned(send_time: str, times: SendTimes | None) -> CampaignPlan:
    book = offers_playbook(send_time=send_time)
    return plan(scores(), book, context=CustomerContext(send_times=times))


def test_only_treated_members_of_a_campaign_that_asks_have_a_send_time() -> None:
    customers = pd.Index(scores()["customer_id"])
    own = pd.DataFrame({"send_hour": 19.0, "send_weekday": 2.0}, index=customers)
    own.iloc[::2] = np.nan
    times = SendTimes(own, ())
    rows = planned("customer", times).audience
    known = rows["customer_id"].isin(own.dropna().index) & (rows["arm"] == "treatment")
    assert known.any()
    assert (~known).any()
    assert (rows.loc[known, "send_hour"] == 19).all()
    assert (rows.loc[known, "send_weekday"] == WEEKDAY_NAMES[2]).all()
    assert rows.loc[~known, ["send_hour", "send_weekday"]].isna().all(axis=None)
    for silent in (planned("campaign", times).audience, planned("customer", None).audience):
        assert silent[["send_hour", "send_weekday"]].isna().all(axis=None)
        columns = ["customer_id", "arm", "offer_name", "expected_value"]
        pd.testing.assert_frame_equal(silent[columns], rows[columns])
